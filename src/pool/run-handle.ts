import type { Execution, Run, RunEvent } from '../runtime.ts';

/** Events for one `for await`: what came and wasn't taken yet, or the taker that waits. */
class EventStream implements AsyncIterator<RunEvent> {
  #events: RunEvent[] = [];
  #waiting: PromiseWithResolvers<IteratorResult<RunEvent>>[] = [];
  #ended = false;
  #error: { reason: unknown } | undefined;
  readonly #onReturn: (stream: EventStream) => void;

  constructor(onReturn: (stream: EventStream) => void) {
    this.#onReturn = onReturn;
  }

  push(event: RunEvent): void {
    const waiting = this.#waiting.shift();
    if (waiting) waiting.resolve({ done: false, value: event });
    else this.#events.push(event);
  }

  end(error?: { reason: unknown }): void {
    this.#ended = true;
    this.#error = error;
    while (this.#waiting.length > 0) this.#waiting.shift()?.resolve(this.next());
  }

  next(): Promise<IteratorResult<RunEvent>> {
    const event = this.#events.shift();
    if (event) return Promise.resolve({ done: false, value: event });
    if (this.#error) {
      const { reason } = this.#error;
      this.#error = undefined;
      return Promise.reject(reason);
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    const waiting = Promise.withResolvers<IteratorResult<RunEvent>>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  return(): Promise<IteratorResult<RunEvent>> {
    this.#events = [];
    this.#onReturn(this);
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }
}

/**
 * A run as its caller sees it. Events are live: an iteration starts with the run's present status and gets what
 * comes after it, so begin it before awaiting anything else to see all of them. It ends with `done`, also when it
 * begins after the run's end. Nothing is kept for a run that isn't iterated.
 */
export class RunHandle implements Run {
  readonly id: string;
  readonly [Symbol.toStringTag]: string = 'Run';
  readonly #settled: PromiseWithResolvers<Execution> = Promise.withResolvers<Execution>();
  readonly #interrupt: () => void;
  readonly #streams: Set<EventStream> = new Set();
  #status: RunEvent | undefined;
  #last: RunEvent | undefined;
  #error: { reason: unknown } | undefined;

  constructor(id: string, interrupt: () => void) {
    this.id = id;
    this.#interrupt = interrupt;
  }

  /** True while somebody iterates: events needn't be built otherwise. */
  get observed(): boolean {
    return this.#streams.size > 0;
  }

  // biome-ignore lint/suspicious/noThenProperty: a run is a promise.
  then<A = Execution, B = never>(
    onDone?: ((execution: Execution) => A | PromiseLike<A>) | null,
    onError?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#settled.promise.then(onDone, onError);
  }

  catch<B = never>(onError?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<Execution | B> {
    return this.#settled.promise.catch(onError);
  }

  finally(onEnd?: (() => void) | null): Promise<Execution> {
    return this.#settled.promise.finally(onEnd);
  }

  interrupt(): void {
    this.#interrupt();
  }

  [Symbol.asyncIterator](): AsyncIterator<RunEvent> {
    // The iteration throws what the promise rejects with; nobody else needs to look at it.
    this.#settled.promise.catch(() => undefined);
    const stream = new EventStream((done) => this.#streams.delete(done));
    if (this.#last ?? this.#status) stream.push((this.#last ?? this.#status) as RunEvent);
    if (this.#last || this.#error) stream.end(this.#error);
    else this.#streams.add(stream);
    return stream;
  }

  status(status: 'queued' | 'booting' | 'running'): void {
    this.#status = { type: 'status', status };
    this.emit(this.#status);
  }

  emit(event: RunEvent): void {
    for (const stream of this.#streams) stream.push(event);
  }

  resolve(execution: Execution): void {
    this.#last = { type: 'done', execution };
    this.emit(this.#last);
    this.#endStreams();
    this.#settled.resolve(execution);
  }

  reject(reason: unknown): void {
    this.#error = { reason };
    this.#endStreams();
    this.#settled.reject(reason);
  }

  #endStreams(): void {
    for (const stream of this.#streams) stream.end(this.#error);
    this.#streams.clear();
  }
}
