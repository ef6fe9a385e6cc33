import { beforeAll, expect, it } from 'vitest';
import { loadInside } from './inside.ts';
import type { RealmReport } from './realm.inside.ts';

let report: RealmReport;
beforeAll(async () => {
  await using inside = await loadInside('realm');
  report = await inside.run<RealmReport>({});
});

it('has the language in it, and nothing of a platform that does more than compute', () => {
  const language = Object.getOwnPropertyNames(globalThis).filter((name) =>
    /^[A-Z]\w+(Error|Array)$/.test(name),
  );
  expect(report.globals).toEqual(expect.arrayContaining(language));
  const platform = [
    'process',
    'Buffer',
    'fetch',
    'WebSocket',
    'Worker',
    'MessageChannel',
    'MessagePort',
    'Event',
  ];
  const more = [
    'postMessage',
    'onmessage',
    'addEventListener',
    'close',
    'setImmediate',
    'queueMicrotask',
    'Blob',
  ];
  for (const name of [...platform, ...more, 'URL', 'structuredClone', 'navigator', 'global', 'caches'])
    expect(report.globals).not.toContain(name);
});

it('hides its globals, timers and messages from all that Pyodide keeps', () => {
  expect(report.seen).toBeGreaterThan(10_000);
  // The walk finds what is there.
  expect(report.reached.map(([name]) => name)).toStrictEqual(['Table']);
});

it('can’t be changed, but for the one number that Pyodide sets', () => {
  expect(report.open.filter((path) => !path.endsWith('.stackTraceLimit'))).toStrictEqual([]);
  expect(report.open.length).toBe(1);
  for (const [name, outcome] of Object.entries(report.changes)) expect(outcome, name).toBe('did: false');
});

it('lets objects have properties of their own that frozen ones have too', () => {
  expect(report.assigned).toStrictEqual({
    error: 'Named: b',
    plain: '{"toString":"own","constructor":1}',
    others: ['[object Object]', 'Error'],
    stackTraceLimit: 3,
  });
});

it('makes no code from text', () => {
  expect(Object.keys(report.functionsFromText).length).toBe(6);
  for (const [name, outcome] of Object.entries(report.functionsFromText))
    expect(outcome, name).toBe('EvalError');
});

it('hands Python’s C side nothing of JavaScript', () => {
  expect(report.bridge.size).toBeGreaterThan(100);
  // Those are about sockets, and about the table of references itself.
  const apart = /^(_maybe_(connect|recvfrom|sendto)_async|__hiwire_deduplicate_(get|set|delete))$/;
  expect(report.bridge.looked.length).toBeGreaterThan(0);
  expect(report.bridge.looked.filter((name) => !apart.test(name))).toStrictEqual([]);
});
