import { expect, it, vi } from 'vitest';
import { InstallError } from '../../src/errors/errors.ts';
import type { Question } from '../../src/protocol/messages.ts';
import type { FakeOutcome, Installed, Installer } from '../../src/testing.ts';
import { fakeImage } from '../../src/testing.ts';
import { type Subject, settled, subject } from './subject.ts';

const install = (...requirements: string[]): Question => ({ kind: 'install', requirements });
const wheel = new Uint8Array([1, 2, 3]);
const numpy: Installed = { packages: [{ name: 'numpy', version: '2.4.3' }], wheels: [wheel] };

/** An installer that answers when a test says so. */
function slow() {
  const calls: {
    requirements: readonly string[];
    signal: AbortSignal;
    done: PromiseWithResolvers<Installed>;
  }[] = [];
  const given: Installer = {
    install(requirements, { signal, onProgress }) {
      const done = Promise.withResolvers<Installed>();
      calls.push({ requirements, signal, done });
      onProgress({ stage: 'packages', done: 0, total: 1, message: requirements.join() });
      return done.promise;
    },
  };
  return { installer: given, calls };
}

async function asking(
  outcome: FakeOutcome,
  installer: Installer | undefined,
  options: Parameters<typeof subject>[0] = {},
): Promise<Subject> {
  const it = subject(options, { run: () => outcome, ...(installer && { installer }) });
  await it.runtime.warm();
  return it;
}

const answers = ({ runtime }: Subject) => runtime.engine.workers[0]?.answers ?? [];

it('answers with packages and wheels, for the image of the run, with progress', async () => {
  const contexts: string[] = [];
  const installer: Installer = {
    async install(requirements, { image, onProgress }) {
      contexts.push(image.name, ...requirements);
      onProgress({ stage: 'packages', done: 3, total: 3, message: 'numpy' });
      return { ...numpy, packages: [{ name: 'numpy', version: '2.4.3', ...{ secret: 1 } }] };
    },
  };
  const asks = [{ question: install('numpy>=2') }, { question: install('x') }];
  const it = subject({}, { image: fakeImage('own'), run: () => ({ asks, value: 1 }), installer });
  const stages: string[] = [];
  const run = it.runtime.run('x', { onProgress: ({ stage }) => stages.push(stage) });
  expect((await run).unwrap()).toBe(1);
  expect(contexts).toEqual(['own', 'numpy>=2', 'own', 'x']);
  expect(answers(it)[0]).toEqual({ body: '[{"name":"numpy","version":"2.4.3"}]', parts: [wheel] });
  expect(stages).toEqual(['ready', 'packages', 'packages']);
});

it('counts what all installs of a run have fetched together, and for each run anew', async () => {
  const budgets: unknown[] = [];
  const installer: Installer = {
    install: (_, { budget }) => {
      budgets.push(budget);
      return Promise.resolve(numpy);
    },
  };
  const asks = [{ question: install('x') }, { question: install('y') }];
  const it = await asking({ asks, value: 1 }, installer);
  await it.runtime.run('x');
  await it.runtime.run('x');
  expect(budgets[0]).toBe(budgets[1]);
  expect(budgets[2]).toBe(budgets[3]);
  expect(budgets[0]).not.toBe(budgets[2]);
});

it('tells the operator what the run isn’t told', async () => {
  const whole = new InstallError('no room in /var/cache', { reason: 'disk', package: 'x', suggestion: '' });
  const told = new InstallError(
    'no room in <cache>',
    { reason: 'disk', package: 'x', suggestion: '' },
    whole,
  );
  const it = await asking(
    { asks: [{ question: install('x') }], value: 1 },
    { install: () => Promise.reject(told) },
  );
  const warnings: string[] = [];
  it.runtime.subscribe((event) => event.type === 'warning' && warnings.push(event.message));
  await it.runtime.run('x');
  expect(warnings).toEqual(['an install failed: no room in /var/cache']);
  expect(answers(it)).toMatchObject([{ message: 'no room in <cache>' }]);
});

it('has the deadline stand while it lasts, and go on with what was left', async () => {
  const { installer, calls } = slow();
  const outcome = {
    asks: [{ question: install('numpy'), afterMs: 600 }],
    delayMs: Infinity,
    forgetsDeadline: true,
  };
  const it = await asking(outcome, installer);
  const run = it.runtime.run('x', { timeoutMs: 1000 });
  await it.advance(600);
  await it.advance(200_000);
  expect(it.runtime.stats().running).toBe(1);
  calls[0]?.done.resolve(numpy);
  await settled();
  // 400 ms are left, and the slack.
  await it.advance(499);
  expect(it.runtime.stats().running).toBe(1);
  await it.advance(1);
  expect(await run).toMatchObject({
    status: 'timeout',
    timings: { runMs: 1100, installMs: 200_000, totalMs: 201_100 },
  });
});

it('gives a worker time to unpack what it got', async () => {
  const { installer, calls } = slow();
  const outcome = { asks: [{ question: install('scipy') }], delayMs: Infinity, forgetsDeadline: true };
  const it = await asking(outcome, installer);
  const run = it.runtime.run('x', { timeoutMs: 1000 });
  await settled();
  calls[0]?.done.resolve({ packages: [], wheels: [new Uint8Array(4096 * 2000)] });
  await settled();
  // The limit, the slack, and a millisecond for every 4 KiB.
  await it.advance(3099);
  expect(it.runtime.stats().running).toBe(1);
  await it.advance(1);
  expect((await run).status).toBe('timeout');
});

it.each([1000, Infinity])(
  'ends well when the time in Python is within the limit, %d ms',
  async (timeoutMs) => {
    const { installer, calls } = slow();
    const it = await asking(
      { asks: [{ question: install('numpy'), afterMs: 600 }], delayMs: 399 },
      installer,
    );
    const run = it.runtime.run('x', { timeoutMs });
    await it.advance(600);
    await it.advance(5000);
    calls[0]?.done.resolve(numpy);
    await settled();
    await it.advance(399);
    expect(await run).toMatchObject({ status: 'ok', timings: { runMs: 999, installMs: 5000 } });
    expect(it.clock.pending).toBe(2); // health checks, and the watchdog's of an idle worker
  },
);

it('gives up after its own time and tells Python so', async () => {
  const { installer, calls } = slow();
  const outcome = { asks: [{ question: install('numpy') }] };
  const it = await asking(outcome, installer, { installTimeoutMs: 2000 });
  const run = it.runtime.run('x', { timeoutMs: 1000 });
  await it.advance(2000);
  expect(calls[0]?.signal.aborted).toBe(true);
  const execution = await run;
  expect(execution).toMatchObject({
    status: 'error',
    error: { name: 'InstallError' },
    timings: { installMs: 2000 },
  });
  expect(execution.error?.message).toMatch(/Installing numpy was given up: .* 2000 ms/);
  // What comes late is nobody's.
  calls[0]?.done.resolve(numpy);
  await settled();
  expect(answers(it)).toHaveLength(1);
});

it('gives up when all that a run installs took that time together', async () => {
  const { installer, calls } = slow();
  const asks = ['numpy', 'pandas', 'scipy'].map((name) => ({ question: install(name) }));
  const it = await asking({ asks }, installer, { installTimeoutMs: 2000 });
  const run = it.runtime.run('x', { timeoutMs: 1000 });
  await it.advance(1500);
  calls[0]?.done.resolve(numpy);
  await settled();
  await it.advance(499);
  expect(calls[1]?.signal.aborted).toBe(false);
  await it.advance(1);
  expect(calls[1]?.signal.aborted).toBe(true);
  expect(await run).toMatchObject({ error: { name: 'InstallError' }, timings: { installMs: 2000 } });
  expect(calls).toHaveLength(2);
});

it.each(['signal', 'interrupt()'])('answers before it interrupts the run by its %s', async (way) => {
  const { installer, calls } = slow();
  const it = await asking({ asks: [{ question: install('numpy') }], delayMs: Infinity }, installer);
  const controller = new AbortController();
  const run = it.runtime.run('x', { signal: controller.signal });
  await settled();
  const [worker] = it.runtime.engine.workers;
  const order: string[] = [];
  vi.spyOn(worker?.answers ?? [], 'push').mockImplementation(() => order.push('answer'));
  if (worker) worker.interrupt = () => order.push('interrupt');
  if (way === 'signal') controller.abort();
  else run.interrupt();
  expect(calls[0]?.signal.aborted).toBe(true);
  expect(await run).toMatchObject({ status: 'interrupted', worker: { lost: false } });
  expect(order[0]).toBe('answer');
});

it('interrupts code that goes on after the answer, and then kills it', async () => {
  const { installer } = slow();
  const outcome = {
    asks: [{ question: install('numpy'), catches: true }],
    delayMs: Infinity,
    unstoppable: true,
  };
  const it = await asking(outcome, installer, { killGraceMs: 500 });
  const run = it.runtime.run('x');
  await settled();
  run.interrupt();
  await it.advance(499);
  expect(answers(it)).toMatchObject([{ code: 'interrupted' }]);
  expect(it.runtime.engine.workers[0]?.interrupts).toEqual(['interrupted']);
  await it.advance(1);
  expect(await run).toMatchObject({ status: 'interrupted', worker: { lost: true } });
});

it('ends with its worker', async () => {
  const { installer, calls } = slow();
  const it = await asking({ asks: [{ question: install('numpy') }] }, installer);
  const run = it.runtime.run('x');
  await it.advance(300);
  it.runtime.engine.workers[0]?.die();
  expect(await run).toMatchObject({ status: 'crashed', timings: { runMs: 0, installMs: 300 } });
  expect(calls[0]?.signal.aborted).toBe(true);
});

it('is what a run rejects with when a callback throws meanwhile', async () => {
  const { installer, calls } = slow();
  const it = await asking({ asks: [{ question: install('numpy') }] }, installer);
  const run = it.runtime.run('x', {
    onProgress: () => {
      throw new Error('the terminal is gone');
    },
  });
  await expect(run).rejects.toThrow('the terminal is gone');
  expect(calls[0]?.signal.aborted).toBe(true);
  expect(it.runtime.stats().running).toBe(0);
});

const noWheel = new InstallError('there is no wheel of xyz', {
  reason: 'no_wheel',
  package: 'xyz',
  suggestion: '',
});

it.each<[string, Question, Installer | undefined, string]>([
  ['no installer', install('numpy'), undefined, 'Installing is switched off: '],
  [
    'a fetch',
    { kind: 'fetch', url: 'https://a.example/', headers: {} },
    slow().installer,
    'Code has no network.',
  ],
  ['many packages', install(...Array.from({ length: 201 }, () => 'x')), slow().installer, '200 packages'],
  ['what fails', install('xyz'), { install: () => Promise.reject(noWheel) }, 'there is no wheel of xyz'],
  [
    'what throws',
    install('xyz'),
    {
      install: () => {
        throw noWheel;
      },
    },
    'there is no wheel of xyz',
  ],
  [
    'what is too large',
    install('xyz'),
    { install: async () => ({ ...numpy, wheels: [new Uint8Array(129 * 2 ** 20)] }) },
    'more than a run can be handed',
  ],
])('refuses %s', async (_, question, installer, message) => {
  const it = await asking({ asks: [{ question }] }, installer);
  const execution = await it.runtime.run('x');
  expect(execution).toMatchObject({
    status: 'error',
    error: { name: 'InstallError' },
    worker: { lost: false },
  });
  expect(execution.error?.value).toContain(message);
  expect(answers(it)[0]).toBeInstanceOf(InstallError);
});

it('refuses the twenty-first install of a run, and a second one at a time', async () => {
  const many = await asking(
    { asks: Array.from({ length: 21 }, () => ({ question: install('numpy') })) },
    { install: async () => numpy },
  );
  expect((await many.runtime.run('x')).error?.value).toContain('20 times');
  expect(answers(many)).toHaveLength(21);

  const { installer, calls } = slow();
  const two = await asking({}, installer);
  const [worker] = two.runtime.engine.workers;
  const refused: unknown[] = [];
  if (worker)
    worker.run = (_, { onAsk }) => {
      onAsk?.(install('a')).catch(() => undefined);
      onAsk?.(install('b')).catch((error: unknown) => refused.push(error));
      return new Promise(() => undefined);
    };
  void two.runtime.run('x');
  await settled();
  expect(calls).toHaveLength(1);
  expect(refused).toMatchObject([
    { code: 'install', message: expect.stringContaining('one install at a time') },
  ]);
});

it('tells code nothing of a failure of the host, but its operator', async () => {
  const fault = new Error('EACCES: /home/somebody/.cache');
  const it = await asking(
    { asks: [{ question: install('numpy') }] },
    { install: () => Promise.reject(fault) },
  );
  const { error } = await it.runtime.run('x');
  expect(error).toMatchObject({ name: 'InternalError', value: expect.not.stringContaining('somebody') });
  expect(it.events).toContainEqual({ type: 'warning', message: `an install failed: ${fault}` });
});
