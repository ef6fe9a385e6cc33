import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { type TracePoint, type TracePoints, traceChannel } from '../../src/util/trace.ts';

/** Calls back each time that something passes the point, until it's disposed of. */
export function at<Point extends TracePoint>(
  point: Point,
  act: (facts: TracePoints[Point]) => void,
): Disposable {
  const listener = (facts: unknown): void => act(facts as TracePoints[Point]);
  subscribe(traceChannel(point), listener);
  return { [Symbol.dispose]: () => void unsubscribe(traceChannel(point), listener) };
}

/** Calls back once; resolves then, with what was published. */
export function once<Point extends TracePoint>(
  point: Point,
  act: (facts: TracePoints[Point]) => void = () => undefined,
): Promise<TracePoints[Point]> {
  return new Promise((resolve) => {
    const listening = at(point, (facts) => {
      listening[Symbol.dispose]();
      act(facts);
      resolve(facts);
    });
  });
}
