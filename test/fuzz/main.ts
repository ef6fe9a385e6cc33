/**
 * Coverage-guided fuzzing of what the host reads:
 *
 *     node test/fuzz/main.ts [--seconds N] [--target name]… [--seed n] [--timeout ms]
 *     node test/fuzz/main.ts --target name --replay file
 *
 * `--seconds` is for each target, default 10; 0 tries only what is kept in `corpus/`, and the seeds. An input that breaks
 * something is kept there too, as small as it could be made. `--timeout` is for one input, by the clock on the wall.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { check, type Target } from './target.ts';
import { type Failure, watch } from './watch.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    target: { type: 'string', multiple: true },
    seed: { type: 'string' },
    timeout: { type: 'string', default: '20000' },
    replay: { type: 'string' },
    /** Where inputs are kept; for tests of this program. */
    corpus: { type: 'string', default: join(here, 'corpus') },
  },
});
const names = values.target ?? targetNames();
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed);

if (values.replay === undefined) await fuzzAll();
else await replay(names[0] ?? '', values.replay);

function targetNames(): string[] {
  return readdirSync(join(here, 'targets'))
    .filter((file) => file.endsWith('.ts'))
    .sort()
    .map((file) => basename(file, '.ts'));
}

/** A name, or the path of a module. */
function moduleOf(name: string): string {
  const path = name.endsWith('.ts') ? name : join(here, 'targets', `${name}.ts`);
  return pathToFileURL(path).href;
}

async function fuzzAll(): Promise<void> {
  console.log(`seed ${seed}`);
  for (const name of names) {
    const corpusDir = join(values.corpus, basename(name, '.ts'));
    const { done, failures } = await watch({
      module: moduleOf(name),
      corpusDir,
      seconds: Number(values.seconds),
      seed,
      timeoutMs: Number(values.timeout),
    });
    const speed = done === undefined ? '' : Math.round(done.execs / done.cpuSeconds);
    console.log(
      done === undefined
        ? `${name}: ended`
        : `${name}: ${done.execs} inputs, ${speed} a second of processor time, ${done.percent.toFixed(1)} % covered, ${done.corpus} kept`,
    );
    for (const failure of failures) report(name, corpusDir, failure);
    if (failures.length > 0) process.exitCode = 1;
  }
}

function report(name: string, corpusDir: string, { input, why }: Failure): void {
  const hash = createHash('sha256').update(input).digest('hex').slice(0, 12);
  const path = join(corpusDir, hash);
  mkdirSync(corpusDir, { recursive: true });
  writeFileSync(path, input);
  const text =
    input.length > 2000 ? `${input.length} bytes` : JSON.stringify(Buffer.from(input).toString('latin1'));
  const command = `node test/fuzz/main.ts --target ${name} --replay ${relative(process.cwd(), path)}`;
  console.error(`${name} FAILED: ${why}\n  input (latin1): ${text}\n  replay: ${command}`);
}

async function replay(name: string, path: string): Promise<void> {
  const target = (await import(moduleOf(name))) as Target;
  await check(target, new Uint8Array(readFileSync(path)));
  console.log('ok');
}
