import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { signalWords, stopCode } from '../protocol/signals.ts';
import type { PyodideModule } from './pyodide-internals.ts';
import { SafePoint } from './safepoint.ts';

let now = 0;
beforeEach(() => {
  now = 5000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
});
afterEach(() => vi.restoreAllMocks());

function make(): { point: SafePoint; signals: Int32Array<SharedArrayBuffer>; visits: number[] } {
  const signals = new Int32Array(new SharedArrayBuffer(4 * signalWords.length));
  const visits: number[] = [];
  return { point: new SafePoint(signals, (at) => visits.push(at)), signals, visits };
}

/** Sleeps as if it took so long. */
function sleepFor(ms: number): void {
  vi.spyOn(Atomics, 'wait').mockImplementation((_words, _index, _value, timeout) => {
    now += Math.min(ms, timeout ?? Number.POSITIVE_INFINITY);
    return 'timed-out';
  });
}

describe('SafePoint', () => {
  it('lets a run be that has no limits', () => {
    const { point, visits } = make();
    point.begin(0, 0);
    now += 1e9;
    expect(point.visit()).toBe(0);
    expect(visits).toStrictEqual([now]);
    expect(point.end()).toStrictEqual({ runMs: 1e9, cpuMs: 1e9 });
    expect(point.stopped).toBe(null);
  });

  it('raises at the deadline, and every fifty milliseconds after', () => {
    const { point } = make();
    point.begin(100, 0);
    now += 99;
    expect(point.visit()).toBe(0);
    now += 1;
    expect([point.visit(), point.stopped]).toStrictEqual([2, 'timeout']);
    const raised: number[] = [];
    for (let ms = 1; ms <= 120; ms++) {
      now += 1;
      if (point.visit() === 2) raised.push(ms);
    }
    expect(raised).toStrictEqual([50, 100]);
  });

  it('counts no sleep as processor time', () => {
    const { point } = make();
    sleepFor(500);
    point.begin(0, 100);
    now += 60;
    point.sleep(500);
    expect(point.visit()).toBe(0);
    now += 39;
    expect(point.visit()).toBe(0);
    now += 1;
    expect([point.visit(), point.stopped]).toStrictEqual([2, 'cpu']);
    expect(point.end()).toStrictEqual({ runMs: 600, cpuMs: 100 });
  });

  it('obeys the interrupt word, with its reason, before anything else', () => {
    for (const reason of ['interrupted', 'timeout', 'cpu'] as const) {
      const { point, signals } = make();
      point.begin(10, 10);
      now += 20;
      Atomics.store(signals, signalWords.interrupt, stopCode(reason));
      expect([point.visit(), point.stopped]).toStrictEqual([2, reason]);
    }
  });

  it('keeps its first reason', () => {
    const { point, signals } = make();
    point.begin(10, 0);
    now += 10;
    point.visit();
    Atomics.store(signals, signalWords.interrupt, stopCode('interrupted'));
    now += 1000;
    expect([point.visit(), point.stopped]).toStrictEqual([2, 'timeout']);
  });

  it('takes an interrupt that came before the run began', () => {
    const { point, signals } = make();
    Atomics.store(signals, signalWords.interrupt, stopCode('interrupted'));
    point.begin(0, 0);
    expect([point.visit(), point.stopped]).toStrictEqual([2, 'interrupted']);
  });

  it('starts each run anew, and does nothing between runs', () => {
    const { point, visits } = make();
    point.begin(10, 0);
    now += 10;
    point.visit();
    point.end();
    now += 100;
    const before = visits.length;
    expect(point.visit()).toBe(0);
    expect(visits.length).toBe(before);
    point.begin(10, 0);
    expect([point.visit(), point.stopped]).toStrictEqual([0, null]);
  });

  it('never sleeps beyond the deadline, nor when it has passed, nor once stopped', () => {
    const { point } = make();
    sleepFor(1e9);
    point.begin(100, 0);
    point.sleep(1e9);
    expect(now).toBe(5100);
    expect(point.visit()).toBe(2);
    point.sleep(1e9);
    expect(now).toBe(5100);
  });

  it.each([0, -1, Number.NaN, Number.NEGATIVE_INFINITY])('does not sleep for %d ms', (ms) => {
    const { point } = make();
    sleepFor(1);
    point.begin(0, 0);
    point.sleep(ms);
    expect(now).toBe(5000);
  });

  it('sends all output before it sleeps', () => {
    const { point, visits } = make();
    sleepFor(1);
    point.begin(0, 0);
    point.sleep(10);
    expect(visits).toStrictEqual([Number.POSITIVE_INFINITY]);
  });

  it('charges a run nothing while it waits for the host, after all output has gone out', () => {
    const { point, signals, visits } = make();
    point.begin(100, 100);
    now += 90;
    const given = point.uncharged(() => {
      expect(visits).toStrictEqual([Number.POSITIVE_INFINITY]);
      now += 5000;
      return 'given';
    });
    expect(given).toBe('given');
    now += 9;
    expect(point.visit()).toBe(0);
    expect(() =>
      point.uncharged(() => {
        now += 1000;
        throw new Error('refused');
      }),
    ).toThrow('refused');
    expect(point.visit()).toBe(0);
    Atomics.store(signals, signalWords.interrupt, 0);
    now += 1;
    expect([point.visit(), point.stopped]).toStrictEqual([2, 'timeout']);
    expect(point.end()).toStrictEqual({ runMs: 100, cpuMs: 100 });
  });

  it('stops a run that was interrupted while it waited for the host', () => {
    const { point, signals } = make();
    point.begin(0, 0);
    point.uncharged(() => Atomics.store(signals, signalWords.interrupt, stopCode('interrupted')));
    expect([point.visit(), point.stopped]).toStrictEqual([2, 'interrupted']);
  });

  it('is woken by another thread', async () => {
    const { point, signals } = make();
    const code = `
      const { workerData, parentPort } = require('node:worker_threads');
      parentPort.postMessage('up');
      Atomics.store(workerData, ${signalWords.interrupt}, ${stopCode('interrupted')});
      Atomics.notify(workerData, ${signalWords.interrupt});
    `;
    const thread = new Worker(code, { eval: true, workerData: signals });
    await new Promise((resolve) => thread.once('message', resolve));
    point.begin(0, 0);
    point.sleep(20_000);
    expect([point.visit(), point.stopped]).toStrictEqual([2, 'interrupted']);
    await thread.terminate();
  });

  it('sits where Python looks, and survives being cleared there', () => {
    const { point, signals } = make();
    const module = { HEAP8: new Int8Array(8), _Py_EMSCRIPTEN_SIGNAL_HANDLING: 3 } as unknown as PyodideModule;
    point.install(module);
    expect([...module.HEAP8]).toStrictEqual([0, 0, 0, 1, 0, 0, 0, 0]);
    const buffer = module.Py_EmscriptenSignalBuffer;
    if (buffer === undefined) throw new Error('no buffer');
    point.begin(0, 0);
    expect(buffer[0]).toBe(0);
    Atomics.store(signals, signalWords.interrupt, stopCode('interrupted'));
    expect(buffer[0]).toBe(2);
    buffer[0] = 0;
    now += 50;
    expect(buffer[0]).toBe(2);
  });
});
