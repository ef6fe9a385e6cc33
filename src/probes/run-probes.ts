import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import type { Execution, Runtime } from '../runtime.ts';
import type { Canaries } from './canaries.ts';
import type { Probe } from './probes.ts';

export interface ProbeResult {
  id: string;
  title: string;
  ok: boolean;
  /** Names of the attempts that were made. */
  attempts: string[];
  /** In one line: what came of its attempts, or what went wrong. */
  detail: string;
  ms: number;
}

export interface ProbeRunOptions {
  /**
   * How often a probe is run at most: one whose attempt ended the run is run again without that one. Each may cost a worker.
   * Default 50, which is enough for all attempts.
   */
  rounds?: number;
  onResult?: (result: ProbeResult) => void;
}

/** Where the build puts `python/probes`: the same place from `src/` and from `dist/`. */
const scriptsUrl = new URL('../../dist/probes/', import.meta.url);
const tenant = 'vivarium probes';
/** The attempts of a script that may end its run, one each, and some. */
const defaultRounds = 50;
const defaultTimeoutMs = 20_000;

/**
 * Runs each probe on the runtime, whose size should be 1, and judges it by the canaries, by what its runs said, by how they
 * ended, and by whether the next run works. Nothing is thrown for a probe that got through: its result isn't `ok`.
 */
export async function runProbes(
  runtime: Runtime,
  canaries: Canaries,
  probes: readonly Probe[],
  { rounds = defaultRounds, onResult }: ProbeRunOptions = {},
): Promise<ProbeResult[]> {
  const results: ProbeResult[] = [];
  for (const probe of probes) {
    const started = performance.now();
    const judged = await judge(runtime, canaries, probe, rounds).catch((error: unknown) => ({
      ok: false,
      attempts: [],
      detail: `it could not be run: ${error instanceof Error ? error.message : String(error)}`,
    }));
    const result = {
      id: probe.id,
      title: probe.title,
      ...judged,
      ms: Math.round(performance.now() - started),
    };
    results.push(result);
    onResult?.(result);
  }
  return results;
}

async function judge(
  runtime: Runtime,
  canaries: Canaries,
  probe: Probe,
  rounds: number,
): Promise<Pick<ProbeResult, 'ok' | 'attempts' | 'detail'>> {
  const marker = `marker-of-a-run-${randomUUID().replaceAll('-', '')}`;
  const run = (script: string, tried: readonly string[], whose: string, known: string): Promise<Execution> =>
    runScript(runtime, script, { ...canaries.targets, marker: known, tried }, { ...probe, tenant: whose });
  const problems: string[] = [];
  const attempts = new Map<string, string>();
  const look = (execution: Execution, secrets: readonly string[]): void => {
    if (secrets.some((secret) => said(execution).includes(secret))) problems.push('it learned a secret');
    if (probe.ends.includes(execution.status)) return;
    problems.push(`it ended as '${execution.status}' (${execution.error?.message ?? 'without an error'})`);
  };

  let isWhole = false;
  let cameToItsEnd = false;
  for (let round = 0; round < rounds && !isWhole; round += 1) {
    const before = attempts.size;
    const execution = await run(probe.script, [...attempts.keys()], tenant, marker);
    note(execution, attempts);
    look(execution, canaries.secrets);
    await expectAlive(runtime, problems);
    // A run that ended in an attempt is followed by one that leaves that out.
    cameToItsEnd = execution.status === 'ok' || execution.status === 'error';
    isWhole = cameToItsEnd || attempts.size === before;
  }
  // One that was ended may not have come to say what it tried.
  if (cameToItsEnd && attempts.size === 0 && (await read(probe.script)).includes('import attempt')) {
    problems.push('it ended before its first attempt');
  }
  if (probe.afterwards !== undefined) {
    for (const whose of [tenant, `${tenant}, another`]) {
      look(await run(probe.afterwards, [], whose, ''), [...canaries.secrets, marker]);
    }
  }
  problems.push(...(await canaries.touched()));
  const ok = problems.length === 0;
  const came = isWhole ? sum(attempts) : `${sum(attempts)}; the rest was not tried`;
  return { ok, attempts: [...attempts.keys()], detail: ok ? came : [...new Set(problems)].join(', ') };
}

async function runScript(
  runtime: Runtime,
  script: string,
  given: object,
  { options, tenant }: Pick<Probe, 'options'> & { tenant: string },
): Promise<Execution> {
  const [code, attempts] = await Promise.all([read(script), read('attempts.py')]);
  return runtime.run(code, {
    filename: script,
    files: { 'attempts.py': attempts },
    argv: [JSON.stringify(given)],
    timeoutMs: defaultTimeoutMs,
    tenant,
    ...options,
  });
}

/** The next run on the pool is clean, works, and hears nothing of the one before. */
async function expectAlive(runtime: Runtime, problems: string[]): Promise<void> {
  const { status, stdout, stderr, value } = await runtime.run(await read('alive.py'), { tenant });
  if (status !== 'ok' || stdout !== 'alive\n' || stderr !== '' || JSON.stringify(value) !== '[42,false]') {
    problems.push(
      `the next run ended as '${status}'${stdout === 'alive\n' ? '' : ` and said '${stdout.slice(0, 80)}'`}`,
    );
  }
}

function read(script: string): Promise<string> {
  return readFile(new URL(script, scriptsUrl), 'utf8');
}

/** Everything of an execution that its caller sees. */
function said({ stdout, stderr, text, value, error, results, files }: Execution): string {
  const bytes = files.map((file) => Buffer.from(file.bytes).toString('latin1'));
  const rest = inspect([text, value, error, results], {
    depth: 100,
    maxArrayLength: null,
    maxStringLength: null,
  });
  return [stdout, stderr, rest, ...bytes].join('\n');
}

/** What the lines of `attempts.py` say. They are the guest's own words: nothing is judged by them. */
function note({ stdout, status }: Execution, attempts: Map<string, string>): void {
  for (const line of stdout.split('\n')) {
    if (!line.startsWith('{')) continue;
    let told: Record<string, unknown>;
    try {
      told = JSON.parse(line);
    } catch {
      continue;
    }
    if (typeof told.try === 'string') attempts.set(told.try, status);
    else if (typeof told.tried === 'string')
      attempts.set(told.tried, 'raised' in told ? 'refused' : 'did nothing');
  }
}

function sum(attempts: ReadonlyMap<string, string>): string {
  const counts = new Map<string, number>();
  for (const outcome of attempts.values()) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  if (counts.size === 0) return 'came back as data';
  const words: Record<string, string> = {
    timeout: 'stopped',
    crashed: 'lost their worker',
    oom: 'out of memory',
  };
  return [...counts].map(([outcome, count]) => `${count} ${words[outcome] ?? outcome}`).join(', ');
}
