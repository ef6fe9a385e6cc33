import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Queue, type QueueEntry } from './queue.ts';

it('behaves as an array does', () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ do: fc.constant('push' as const), value: fc.integer() }),
      fc.record({ do: fc.constant('shift' as const), value: fc.constant(0) }),
      fc.record({ do: fc.constant('remove' as const), value: fc.nat(30) }),
    ),
  );
  fc.assert(
    fc.property(steps, (list) => {
      const queue = new Queue<number>();
      const entries: QueueEntry<number>[] = [];
      let model: QueueEntry<number>[] = [];
      for (const step of list) {
        if (step.do === 'push') {
          const entry = queue.push(step.value);
          entries.push(entry);
          model.push(entry);
        } else if (step.do === 'shift') {
          expect(queue.shift()).toBe(model.shift()?.item);
        } else {
          const entry = entries[step.value];
          if (!entry) continue;
          expect(queue.remove(entry)).toBe(model.includes(entry));
          model = model.filter((other) => other !== entry);
        }
        expect(queue.size).toBe(model.length);
        expect(queue.peek()).toBe(model[0]?.item);
        expect([...queue]).toEqual(model.map(({ item }) => item));
      }
    }),
  );
});

it('refuses to remove an entry of another queue', () => {
  const entry = new Queue<number>().push(1);
  expect(new Queue<number>().remove(entry)).toBe(false);
});
