/** `npm test`: vitest, then pytest; the last line is the sum of both. Arguments are names of vitest files. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pythonTool } from './python.ts';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/**
 * V8's list of pages with code gets out of step when threads with WebAssembly come and go, rarely, and it aborts the
 * process: nothing in that process can help it. Remove when Node has the fix.
 */
const v8Fault = /Check failed: (jit_page\.has_value\(\)|jit_page_->allocations_\.erase)/;

const root = fileURLToPath(new URL('..', import.meta.url));
const reports = mkdtempSync(join(tmpdir(), 'vivarium-test-'));
const suites = process.argv.length > 2 ? [vitest] : [vitest, pytest];

let sum: Counts = { passed: 0, failed: 0, skipped: 0 };
for (const suite of suites) {
  const counts = await suite().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : String(error));
    return { passed: 0, failed: 1, skipped: 0 };
  });
  sum = {
    passed: sum.passed + counts.passed,
    failed: sum.failed + counts.failed,
    skipped: sum.skipped + counts.skipped,
  };
}
rmSync(reports, { recursive: true, force: true });
// A machine that checks changes has what every test needs: one that is skipped there would never be run.
const mustNotSkip = Boolean(process.env.CI) && sum.skipped > 0;
if (sum.failed > 0 || sum.passed === 0 || mustNotSkip) process.exitCode = 1;
if (mustNotSkip) console.error(`${sum.skipped} tests were skipped, which CI doesn't allow`);
const skipped = sum.skipped > 0 ? `, ${sum.skipped} skipped` : '';
console.log(`${sum.passed} passed, ${sum.failed} failed${skipped}`);

async function vitest(): Promise<Counts> {
  const report = join(reports, 'vitest.json');
  const program = join(root, 'node_modules/vitest/vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const once = () => run(process.execPath, [program, 'run', ...reporters, ...process.argv.slice(2)]);
  let { code, output } = await once();
  if (code !== 0 && v8Fault.test(output)) {
    console.log('A fault of V8 ended a test process (nodejs/node#64500): once more.');
    ({ code, output } = await once());
  }
  if (!existsSync(report)) throw new Error('vitest made no report');
  const json = JSON.parse(readFileSync(report, 'utf8'));
  return settle(code, {
    passed: json.numPassedTests,
    failed: json.numFailedTests,
    skipped: json.numPendingTests + json.numTodoTests,
  });
}

async function pytest(): Promise<Counts> {
  const report = join(reports, 'pytest.xml');
  const { code } = await run(pythonTool('pytest'), ['python', `--junit-xml=${report}`]);
  const suite = existsSync(report) ? /<testsuite [^>]*>/.exec(readFileSync(report, 'utf8'))?.[0] : undefined;
  if (suite === undefined) throw new Error('pytest made no report');
  const count = (name: string): number => Number(new RegExp(` ${name}="(\\d+)"`).exec(suite)?.[1] ?? 0);
  const failed = count('failures') + count('errors');
  return settle(code, {
    passed: count('tests') - failed - count('skipped'),
    failed,
    skipped: count('skipped'),
  });
}

/** A suite that ended badly without a failed test (a file that doesn't load, an unhandled error) counts as one. */
function settle(code: number, counts: Counts): Counts {
  return code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

/** Shows the output as it comes, and returns it. */
function run(command: string, args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const colours = process.stdout.isTTY ? { FORCE_COLOR: '1' } : {};
    const env = { ...process.env, ...colours };
    const child = spawn(command, args, { cwd: root, env, stdio: ['inherit', 'pipe', 'pipe'] });
    let output = '';
    for (const [from, to] of [
      [child.stdout, process.stdout],
      [child.stderr, process.stderr],
    ] as const) {
      from.on('data', (chunk: Buffer) => {
        output += chunk.toString('utf8');
        to.write(chunk);
      });
    }
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}
