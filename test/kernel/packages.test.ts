import { zipSync } from 'fflate';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ImageBytes } from '../../src/image/format.ts';
import type { AnswerMessage } from '../../src/protocol/messages.ts';
import { type Inside, loadInside } from './inside.ts';
import type { KernelReport } from './kernel.inside.ts';
import { outputOf, resultOf, runOf } from './run-message.ts';

let inside: Inside;
/** Of the standard library. */
let stdlib: ImageBytes;
beforeAll(async () => {
  inside = await loadInside('kernel');
  const { image } = await build('');
  if (image === undefined) throw new Error('no image');
  stdlib = image;
});
afterAll(() => inside[Symbol.asyncDispose]());

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const helper = 'import warnings\nanswer = 42\ndef warn(): warnings.warn("careful")\n';

/** A kernel whose boot runs this script. */
function build(code: string): Promise<KernelReport> {
  const warm = code === '' ? [] : [{ filename: 'warm.py', code }];
  const packages = { wheels: [], files: new Map([['helper.py', bytes(helper)]]), imports: [], warm };
  return inside.run<KernelReport>({ packages, freeze: true, runs: [] });
}

it('an image has the files and descriptors that its scripts left, and every run finds them so', async () => {
  const left = [
    'import os',
    'open("/tmp/data", "w").write("0123456789")',
    'number = os.open("/tmp/data", os.O_RDWR)',
    'os.lseek(number, 4, 0)',
    'open("/tmp/number", "w").write(str(number))',
  ].join('\n');
  const { image } = await build(left);
  if (image === undefined) throw new Error('no image');
  const code = [
    'import os, helper',
    'number = int(open("/tmp/number").read())',
    'print(os.read(number, 3), helper.answer)',
    'os.pwrite(number, b"X", 5)',
    'print(open("/tmp/data").read())',
    'os.close(number)',
  ].join('\n');
  const { booted, runs } = await inside.run<KernelReport>({ image, runs: [runOf(code), runOf(code)] });
  for (const { messages, after } of runs) {
    expect(resultOf(messages)).toMatchObject({ status: 'ok', error: null });
    expect(outputOf(messages)).toBe("b'456' 42\n01234X6789\n");
    expect(messages.at(-1)).toMatchObject({ kind: 'rewound', dirty: null });
    expect(after).toStrictEqual(booted);
  }
});

it('what was warned of while the image was built is told again, in every run', async () => {
  const { image } = await build('import helper\nhelper.warn()');
  if (image === undefined) throw new Error('no image');
  const code = 'import helper, sys\nsys.stderr = sys.stdout\nhelper.warn()\nhelper.warn()';
  const { runs } = await inside.run<KernelReport>({ image, runs: [runOf(code), runOf(code)] });
  for (const { messages } of runs) expect(outputOf(messages).match(/careful\n/g)).toHaveLength(1);
});

it.each([
  ['a pipe that is open', 'import os\nos.pipe()', /descriptor \d+ \(.*\) is open: an image can't hold it/],
  [
    'a removed file that is open',
    'import os\nos.open("/tmp/x", os.O_CREAT | os.O_RDWR)\nos.unlink("/tmp/x")',
    /descriptor \d+ \(\/tmp\/x\) is open: an image can't hold it/,
  ],
  ['a script that fails', '1 / 0', /warm\.py.* ZeroDivisionError/],
])('%s is refused when the image is built', async (_name, code, reason) => {
  await expect(build(code)).rejects.toThrow(reason);
});

// ---- questions -----------------------------------------------------------------------------------------------------

const wheel = (files: Record<string, string>): Uint8Array =>
  zipSync(
    Object.fromEntries(
      Object.entries({
        ...files,
        'thing-1.dist-info/METADATA': 'Metadata-Version: 2.1\nName: thing\nVersion: 1\n',
        'thing-1.dist-info/RECORD': '',
      }).map(([path, text]) => [path, bytes(text)]),
    ),
    { level: 0 },
  );
const answer = (...parts: Uint8Array[]): AnswerMessage => ({
  kind: 'answer',
  id: 'run',
  error: null,
  body: JSON.stringify([{ name: 'thing', version: '1' }]),
  parts,
});
const install = 'import micropip\nawait micropip.install("thing")\n';

/** Runs the code in a clean kernel, which gets that answer; then looks for what has stayed. */
async function ask(code: string, ...answers: AnswerMessage[]): Promise<KernelReport> {
  const look = 'import importlib.util\nimportlib.util.find_spec("thing") is None';
  const report = await inside.run<KernelReport>({
    image: stdlib,
    runs: [runOf(code), runOf(look)],
    answers,
  });
  const [run, next] = report.runs;
  expect(run?.thrown).toBeUndefined();
  expect(run?.messages.at(-1)).toMatchObject({ kind: 'rewound', dirty: null });
  expect(resultOf(next?.messages ?? [])).toMatchObject({ text: 'True' });
  expect(run?.after).toStrictEqual(report.booted);
  return report;
}

it('what the host hands in is there for the run, and gone after it', async () => {
  const files = { 'thing/__init__.py': 'from .part import value', 'thing/part.py': 'value = 6 * 7' };
  const { runs } = await ask(`${install}import thing\nprint(thing.value)`, answer(wheel(files)));
  const messages = runs[0]?.messages ?? [];
  expect(messages.filter(({ kind }) => kind === 'ask')).toStrictEqual([
    { kind: 'ask', id: 'run', question: { kind: 'install', requirements: ['thing'] } },
  ]);
  expect(outputOf(messages)).toBe('42\n');
  expect(resultOf(messages)).toMatchObject({ status: 'ok', files: [] });
});

it('what was printed goes out before the question', async () => {
  const { runs } = await ask(`print("first", end="")\n${install}`, answer());
  const kinds = runs[0]?.messages.map(({ kind }) => kind);
  expect(kinds).toStrictEqual(['stdout', 'ask', 'result', 'rewound']);
});

it('installing takes none of the room that the run has for its own files', async () => {
  const big = { 'thing.py': 'x = 1', 'thing_data.bin': 'x'.repeat(40 * 2 ** 20) };
  const code = `${install}import os\nwith open("mine", "wb") as file:\n    for _ in range(30):\n        file.write(bytes(1 << 20))\nos.remove("mine")`;
  const report = await inside.run<KernelReport>({
    image: stdlib,
    runs: [runOf(code, { limits: { memoryBytes: 34 * 2 ** 20 } })],
    answers: [answer(wheel(big))],
  });
  expect(resultOf(report.runs[0]?.messages ?? [])).toMatchObject({ status: 'ok', error: null });
});

it('files that can’t be written where a package has its own are an error in Python', async () => {
  const code = `import os, site\nos.makedirs(site.getsitepackages()[0] + "/thing.py")\ntry:\n    import micropip\n    await micropip.install("thing")\nexcept Exception as error:\n    print(error.reason)`;
  const { runs } = await ask(code, answer(wheel({ 'thing.py': 'x = 1' })));
  expect(outputOf(runs[0]?.messages ?? [])).toBe('conflict\n');
});

it('a question that the host would not take is an error in Python', async () => {
  const code = `import micropip\ntry:\n    await micropip.install("thing\\n" * 1000)\nexcept Exception as error:\n    print(type(error).__name__, error)`;
  const { runs } = await ask(code);
  expect(outputOf(runs[0]?.messages ?? [])).toMatch(/^InstallError .*requirements\[0\]: 6000 chars/);
});

it('a refusal is an error in Python, and the run may go on', async () => {
  const details = { reason: 'not_allowed', package: 'thing', suggestion: 'ask the operator' };
  const error = { code: 'install', message: 'no', details, stack: null, cause: null };
  const code = `try:\n    import micropip\n    await micropip.install("thing")\nexcept Exception as error:\n    print(type(error).__name__, error, error.reason)`;
  const { runs } = await ask(code, { kind: 'answer', id: 'run', error, body: 'null' });
  expect(outputOf(runs[0]?.messages ?? [])).toBe('InstallError no ask the operator not_allowed\n');
});

it.each<[string, () => Uint8Array]>([
  ['climbs out of its folder', () => wheel({ '../../../home/pyodide/thing.py': '' })],
  ['stands in for the runtime', () => wheel({ 'vivarium/_harness.py': '' })],
  ['is no archive', () => bytes('PK nonsense')],
])('a wheel that %s is refused whole, with those that came before it', async (_name, bad) => {
  const good = wheel({ 'thing.py': 'x = 1' });
  const code = `import micropip\ntry:\n    await micropip.install("thing")\nexcept Exception as error:\n    print(error.reason)\ntry:\n    import thing\nexcept ImportError:\n    print("nothing")`;
  const { runs } = await ask(code, answer(good, bad()));
  expect(outputOf(runs[0]?.messages ?? [])).toBe('unsafe_wheel\nnothing\n');
});

it('an answer to another run, or none, ends the kernel', async () => {
  for (const answers of [[{ ...answer(), id: 'other' }], []]) {
    const report = await inside.run<KernelReport>({ image: stdlib, runs: [runOf(install)], answers });
    expect(report.runs[0]?.thrown).toMatch(/'answer' in answer|nobody answers/);
  }
});

it('nothing can be installed while an image is built', async () => {
  await expect(build(install)).rejects.toThrow(/Nothing can be installed while an image is built/);
});
