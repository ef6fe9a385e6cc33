/**
 * A program with a runtime, for tests to kill and to starve. The first argument: the runtime's options as JSON. It takes commands
 * as lines of JSON on stdin and tells as lines of JSON on stdout, which are written before it goes on.
 */
import { closeSync, openSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { RuntimeOptions } from '../../src/node.ts';
import type { WantedWheel } from '../../src/packages/wheel-cache.ts';
import type { RunOptions, RuntimeStats } from '../../src/runtime.ts';
import type { TracePoint } from '../../src/util/trace.ts';

export type Command =
  | { do: 'run'; id: string; code: string; options?: RunOptions }
  /** At that point, the next time. */
  | { do: 'at'; point: TracePoint; signal: NodeJS.Signals }
  /** Takes all descriptors that there are and that get free, until `release`. */
  | { do: 'hoard' }
  | { do: 'release' }
  /** Into its cache. */
  | { do: 'fetch'; mirror: string; wheel: WantedWheel }
  | { do: 'lock'; path: string }
  | { do: 'stats' }
  | { do: 'close'; graceMs: number };

/** How a run ended. */
export interface ToldEnding {
  id: string;
  /** The execution's status, or the code of the error. */
  outcome: string;
  value: unknown;
  message: string;
}

export type Told =
  | { kind: 'up'; pid: number }
  | { kind: 'point'; point: TracePoint; facts: { pid?: number; path?: string; temporary?: string } }
  | ({ kind: 'end' } & ToldEnding)
  | { kind: 'warning'; message: string }
  | { kind: 'stats'; stats: RuntimeStats }
  | { kind: 'done' }
  | { kind: 'closed' };

async function main(options: RuntimeOptions): Promise<void> {
  const { createRuntime, writeLock } = await import('../../src/node.ts');
  const { VivariumError } = await import('../../src/errors/errors.ts');
  const { at, once } = await import('./points.ts');
  const tell = (told: Told): void => void process.stdout.write(`${JSON.stringify(told)}\n`);
  const points = [
    'worker.spawned',
    'worker.ready',
    'worker.exited',
    'run.sent',
    'run.result',
    'image.reading',
    'image.writing',
    'wheel.writing',
    'lock.writing',
  ] as const;
  for (const point of points) at(point, (facts) => tell({ kind: 'point', point, facts }));

  const fetchWheel = async (mirror: string, wheel: WantedWheel): Promise<void> => {
    const { WheelCache } = await import('../../src/packages/wheel-cache.ts');
    const { resolveSources } = await import('../../src/packages/sources.ts');
    const sources = resolveSources({ mirror }, {});
    await new WheelCache({ cacheDir: options.cacheDir ?? '', sources }).fetch([wheel]);
  };
  const writeEmptyLock = (path: string): Promise<void> =>
    writeLock({ version: 1, pyodide: '', abi: '', requirements: [], packages: [] }, path);

  const runtime = await createRuntime(options);
  runtime.subscribe((event) => event.type === 'warning' && tell({ kind: 'warning', message: event.message }));
  let hoard: number[] | undefined;
  const fill = (): void => {
    try {
      while (hoard) hoard.push(openSync('/dev/null', 'r'));
    } catch {
      // None is left.
    }
  };
  at('worker.exited', fill);
  const act = (command: Command): void => {
    switch (command.do) {
      case 'run': {
        const { id, code } = command;
        runtime.run(code, command.options).then(
          ({ status, value, error }) =>
            tell({ kind: 'end', id, outcome: status, value, message: error?.message ?? '' }),
          (error: unknown) => {
            const outcome = error instanceof VivariumError ? error.code : 'untyped';
            tell({ kind: 'end', id, outcome, value: null, message: String(error) });
          },
        );
        return;
      }
      case 'at':
        void once(command.point, () => process.kill(process.pid, command.signal));
        return;
      case 'hoard':
        hoard ??= [];
        fill();
        tell({ kind: 'done' });
        return;
      case 'release':
        for (const fd of hoard ?? []) closeSync(fd);
        hoard = undefined;
        tell({ kind: 'done' });
        return;
      case 'fetch':
        void fetchWheel(command.mirror, command.wheel).then(() => tell({ kind: 'done' }));
        return;
      case 'lock':
        void writeEmptyLock(command.path).then(() => tell({ kind: 'done' }));
        return;
      case 'stats':
        tell({ kind: 'stats', stats: runtime.stats() });
        return;
      case 'close':
        close(command.graceMs);
        return;
      default:
        command satisfies never;
    }
  };
  const close = (graceMs: number): void => {
    void runtime.close({ graceMs }).then(() => {
      tell({ kind: 'closed' });
      process.exit(0);
    });
  };
  // As a service does it: the first signal lets runs end, the second one doesn't.
  let signals = 0;
  process.on('SIGTERM', () => close(signals++ === 0 ? 60_000 : 0));
  createInterface(process.stdin).on('line', (line) => act(JSON.parse(line) as Command));
  tell({ kind: 'up', pid: process.pid });
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? '{}') as RuntimeOptions);
