/** The points that faults are injected at, and that tracing tools listen to: see `src/util/trace.ts`. */
import { expect, it } from 'vitest';
import { createRuntime } from '../../src/node.ts';
import { type TracePoint, trace } from '../../src/util/trace.ts';
import { imageIn, makeFolders } from './folders.ts';
import { at } from './points.ts';

const folders = await makeFolders();

it('tells the life of a worker and its runs, in order', async () => {
  const told: [TracePoint, object][] = [];
  const points = [
    'image.reading',
    'worker.spawned',
    'worker.ready',
    'run.sent',
    'run.asked',
    'run.answered',
    'run.result',
    'run.rewound',
    'worker.exited',
  ] as const;
  using listening = new DisposableStack();
  for (const point of points) listening.use(at(point, (facts) => told.push([point, facts])));
  const runtime = await createRuntime({ size: 1, cacheDir: folders.cache, install: 'never' });
  const run = runtime.run('import micropip\ntry: await micropip.install("x")\nexcept Exception: pass');
  const { worker } = await run;
  await runtime.close();
  const ofWorker = { pid: worker.pid };
  const ofRun = { pid: worker.pid, run: run.id };
  // A result and what follows it may come at once.
  expect(told.filter(([point]) => point !== 'run.rewound')).toEqual([
    ['image.reading', { path: await imageIn(folders.cache) }],
    ['worker.spawned', ofWorker],
    ['worker.ready', ofWorker],
    ['run.sent', ofRun],
    ['run.asked', ofRun],
    ['run.answered', ofRun],
    ['run.result', ofRun],
    ['worker.exited', { ...ofWorker, reason: expect.stringContaining('ended') }],
  ]);
});

it('calls back at the point itself, and only those that listen', () => {
  const urls: string[] = [];
  {
    using _listening = at('fetch', ({ url }) => urls.push(url));
    trace('fetch', { url: 'https://a.invalid/' });
    expect(urls).toEqual(['https://a.invalid/']);
  }
  trace('fetch', { url: 'https://b.invalid/' });
  expect(urls).toEqual(['https://a.invalid/']);
});
