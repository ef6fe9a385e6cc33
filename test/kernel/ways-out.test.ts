import { zipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ImageBytes } from '../../src/image/format.ts';
import type { AnswerMessage, ResultMessage } from '../../src/protocol/messages.ts';
import { type Inside, loadInside } from './inside.ts';
import type { KernelReport } from './kernel.inside.ts';
import { outputOf, resultOf, runOf } from './run-message.ts';
import { sideModule } from './side-module.ts';

const site = '/lib/python3.14/site-packages';
const packages = {
  wheels: [],
  imports: [],
  warm: [],
  files: new Map([
    ['honest.so', sideModule({ answer: 42 })],
    ['scripted.so', sideModule({ answer: 1, script: 'return 6 * 7' })],
    ['outward.so', sideModule({ answer: 2, calls: 'emscripten_cancel_main_loop' })],
    ['shell.so', sideModule({ answer: 3, calls: '_emscripten_system' })],
  ]),
};

let inside: Inside;
let image: ImageBytes;
beforeAll(async () => {
  inside = await loadInside('kernel');
  const built = await inside.run<KernelReport>({ packages, freeze: true, runs: [] });
  if (built.image === undefined) throw new Error('no image');
  image = built.image;
});
afterAll(() => inside[Symbol.asyncDispose]());

/** What a run says, in a kernel that must go on working in the same session. */
async function refused(code: string, answers: AnswerMessage[] = []): Promise<ResultMessage> {
  const { booted, runs } = await inside.run<KernelReport>({
    image,
    runs: [runOf(code, { after: 'none' }), runOf('6 * 7')],
    answers,
  });
  const [first, second] = runs;
  expect(first?.thrown, code).toBeUndefined();
  expect(first?.after.libraries, code).toBe(booted.libraries);
  expect(resultOf(second?.messages ?? []).text, code).toBe('42');
  return resultOf(first?.messages ?? []);
}

/** What a run comes to that loads libraries, and isn't clean any more. */
async function run(code: string, answers: AnswerMessage[] = []): Promise<ResultMessage> {
  const { runs } = await inside.run<KernelReport>({ image, runs: [runOf(code)], answers });
  expect(runs[0]?.thrown).toBeUndefined();
  return resultOf(runs[0]?.messages ?? []);
}

const load = (path: string): string => `import ctypes\nctypes.CDLL(${JSON.stringify(path)}).answer()`;

describe('a dynamic library', () => {
  it('of the image can be loaded', async () => {
    expect(await run(load(`${site}/honest.so`))).toMatchObject({ status: 'ok', text: '42' });
  });

  it('can be loaded by another name that leads to it', async () => {
    const code = `import os\nos.symlink("${site}/honest.so", "/tmp/link.so")\n${load('/tmp/link.so')}`;
    expect(await run(code)).toMatchObject({ status: 'ok', text: '42' });
  });

  it.each([
    ['a run wrote', 'open("/tmp/x.so", "wb").write(bytes_)', '/tmp/x.so'],
    ['a run linked to', 'open("/tmp/x", "wb").write(bytes_)\nos.symlink("/tmp/x", "/tmp/y.so")', '/tmp/y.so'],
    ['a run overwrote', `open("${site}/honest.so", "wb").write(bytes_)`, `${site}/honest.so`],
    [
      'a run wrote to',
      `f = open("${site}/honest.so", "r+b")\nf.write(b"\\0asm")\nf.close()`,
      `${site}/honest.so`,
    ],
    ['a run cut', `os.truncate("${site}/honest.so", 10)`, `${site}/honest.so`],
    [
      'a run put in another’s place',
      `open("/tmp/x", "wb").write(bytes_)\nos.replace("/tmp/x", "${site}/honest.so")`,
      `${site}/honest.so`,
    ],
    ['a run renamed', `os.rename("${site}/honest.so", "/tmp/z.so")`, '/tmp/z.so'],
    [
      'a run put in place of its folder',
      `os.rename("${site}", "/tmp/s")\nos.mkdir("${site}")\nopen("${site}/honest.so", "wb").write(bytes_)`,
      `${site}/honest.so`,
    ],
    [
      'a run mapped',
      `f = open("${site}/honest.so", "r+b")\nimport mmap\nm = mmap.mmap(f.fileno(), 8)\nm[:4] = b"\\0asm"\nm.flush()`,
      `${site}/honest.so`,
    ],
    [
      'a run opened',
      'open("/tmp/x", "wb").write(bytes_)\nfd = os.open("/tmp/x", os.O_RDONLY)',
      '/proc/self/fd/3',
    ],
  ])('that %s is refused, twice', async (_name, change, path) => {
    const code = `import ctypes, os
bytes_ = open("${site}/honest.so", "rb").read()
${change}
for _ in range(2):
    try:
        ctypes.CDLL(${JSON.stringify(path)})
    except OSError as error:
        assert "only libraries of the image" in str(error), error
    else:
        raise AssertionError("loaded")`;
    expect((await refused(code)).error).toBeNull();
  });

  it('that a run wrote can’t be imported either', async () => {
    const code = `import os, sys
bytes_ = open("${site}/honest.so", "rb").read()
open("/tmp/own.so", "wb").write(bytes_)
sys.path.insert(0, "/tmp")
import own`;
    expect((await refused(code)).error).toMatchObject({
      name: 'ImportError',
      value: expect.stringContaining('only libraries of the image'),
    });
  });

  it('isn’t taken from memory: a handle of the run’s own is good for a file’s name only', async () => {
    const code = `import ctypes
data = open("${site}/honest.so", "rb").read()
data = ctypes.create_string_buffer(data, len(data))
handle = ctypes.create_string_buffer(256)
words = ctypes.cast(handle, ctypes.POINTER(ctypes.c_uint32))
words[7], words[8] = ctypes.addressof(data), len(data)
handle[36:46] = b"/tmp/own.so"[:10]
opened = ctypes.CDLL(None)._dlopen_js(handle)
assert opened == 0 and words[7] == ctypes.addressof(data), (opened, words[7])`;
    expect((await run(code)).error).toBeNull();
  });

  const wheel = zipSync({
    'thing/__init__.py': new Uint8Array(),
    'thing/installed.so': sideModule({ answer: 7 }),
    'thing-1.dist-info/METADATA': new TextEncoder().encode(
      'Metadata-Version: 2.1\nName: thing\nVersion: 1\n',
    ),
    'thing-1.dist-info/RECORD': new Uint8Array(),
  });
  const answer: AnswerMessage = {
    kind: 'answer',
    id: 'run',
    error: null,
    body: JSON.stringify([{ name: 'thing', version: '1' }]),
    parts: [wheel],
  };
  const install = 'import micropip\nawait micropip.install("thing")\nimport thing\n';

  it('that was installed for the run can be loaded', async () => {
    const result = await run(`${install}${load(`${site}/thing/installed.so`)}`, [answer]);
    expect(result).toMatchObject({ status: 'ok', text: '7' });
  });

  it('that was installed and then written to is refused', async () => {
    const code = `${install}open("${site}/thing/installed.so", "ab").write(b"\\0")\n${load(`${site}/thing/installed.so`)}`;
    expect((await refused(code, [answer])).error?.name).toBe('OSError');
  });

  it('with scripts in it is refused: no code is made from text', async () => {
    const { error } = await run(load(`${site}/scripted.so`));
    expect(error).toMatchObject({ name: 'OSError', value: expect.stringContaining('not made from text') });
  });

  it.each(['outward', 'shell'])(
    'links against what is refused, which returns an error (%s)',
    async (name) => {
      const code = `import ctypes\nlib = ctypes.CDLL("${site}/${name}.so")\n[lib.answer() > 0, lib.call()]`;
      const result = await run(code);
      expect(result).toMatchObject({ status: 'ok' });
      expect(result.text).toMatch(/^\[True, (0|-52)\]$/);
    },
  );
});

describe('a function of Emscripten’s', () => {
  it('is found only if it does nothing but compute', async () => {
    const refused = [
      'emscripten_run_script',
      'emscripten_run_script_int',
      'emscripten_run_script_string',
      'emscripten_async_run_script',
      'emscripten_async_load_script',
      'emscripten_asm_const_double',
      'emscripten_async_wget',
      'emscripten_websocket_new',
      'emscripten_create_worker',
      'emscripten_set_timeout',
      'emscripten_set_main_loop',
      'emscripten_force_exit',
      'glClear',
      '_emscripten_system',
      '_setitimer_js',
      '_emscripten_dlopen_js',
    ];
    const found = [
      'emscripten_asm_const_int',
      'emscripten_math_sqrt',
      'strptime',
      'getpid',
      'no_such_function',
    ];
    const code = `import ctypes
libc = ctypes.CDLL(None)
for name in ${JSON.stringify([...refused, ...found])}:
    try:
        getattr(libc, name)
        print("found")
    except AttributeError as error:
        print(error)`;
    const [report] = (await inside.run<KernelReport>({ image, runs: [runOf(code)] })).runs;
    const said = outputOf(report?.messages ?? [])
      .trimEnd()
      .split('\n');
    expect(said.slice(0, refused.length)).toStrictEqual(
      refused.map((name) => `${name} is not available here`),
    );
    expect(said.slice(refused.length)).toStrictEqual([
      ...Array(4).fill('found'),
      expect.stringContaining('unknown symbol "no_such_function"'),
    ]);
  });

  it('that runs scripts of the main module runs none of them', async () => {
    const code = 'import ctypes\nctypes.CDLL(None).emscripten_asm_const_int(3964903, b"", 0)';
    expect(await run(code)).toMatchObject({ status: 'ok', text: '-1' });
  });
});
