import type { Worker } from '../engines/engine.ts';
import { LimitError } from '../errors/errors.ts';
import type { ResultMessage, RewoundMessage } from '../protocol/messages.ts';
import type { Execution } from '../runtime.ts';
import type { PoolContext } from './context.ts';
import { type Loss, whatStopped } from './execution.ts';
import { Installs } from './installs.ts';
import type { Job, JobMessage } from './job.ts';
import type { After } from './slot-state.ts';
import { Stopper } from './stopper.ts';

/** A worker bounds its own output; beyond twice the limit and this it isn't ours any more. */
const outputSlackBytes = 64 * 1024;

export interface RunHooks {
  /** Python came to an end. */
  finished(execution: Execution, heapBytes: number): void;
  /** Comes after `finished`, whatever the worker says. */
  rewound(message: RewoundMessage): void;
  /** The worker has died, or has to. */
  lost(loss: Loss): void;
}

/** A run on its worker. Nothing comes of it after `finished` or `end`, but that the worker is clean again. */
export class ActiveRun {
  readonly job: Job;
  readonly #context: PoolContext;
  readonly #worker: Worker;
  readonly #hooks: RunHooks;
  readonly #stopper: Stopper;
  readonly #installs: Installs;
  #ended = false;
  /** Came before the result was dealt with. */
  #rewound: RewoundMessage | undefined;

  constructor(job: Job, worker: Worker, context: PoolContext, hooks: RunHooks) {
    this.job = job;
    this.#context = context;
    this.#worker = worker;
    this.#hooks = hooks;
    const { killGraceMs } = context.options;
    this.#stopper = new Stopper(context.clock, job.limits.timeoutMs, killGraceMs, {
      interrupt: (reason) =>
        this.#installs.cancel(() => {
          if (!this.#ended) worker.interrupt(job.id, reason);
        }),
      kill: (reason) =>
        hooks.lost({
          code: reason === 'interrupted' ? 'interrupted' : 'timeout',
          message: `${whatStopped(job.limits, reason)} The code went on for ${killGraceMs} ms after the interrupt: its worker was killed.`,
        }),
    });
    this.#installs = new Installs(job, context, this.#stopper);
  }

  start(message: JobMessage, after: After): void {
    // Async: what an engine throws is a crash of this run too.
    const reply = async () =>
      this.#worker.run(
        { ...message, after },
        {
          onOutput: (stream, data) => this.#show(() => this.job.write(stream, data)),
          onDisplay: (shown) => this.#show(() => this.job.display(shown)),
          onAsk: (question) => this.#installs.answer(question),
          onRewound: (rewound) => {
            this.#rewound = rewound;
            if (this.#ended) this.#hooks.rewound(rewound);
          },
        },
      );
    reply().then(
      (result) => this.#finished(result),
      (error: unknown) => this.crashed(error),
    );
  }

  stop(): void {
    this.#stopper.stop('interrupted');
  }

  crashed(error: unknown): void {
    if (this.#ended) return;
    const known = error instanceof Error ? error.message : String(error);
    const message = `The worker was lost while it ran the code: ${known}`;
    const code = error instanceof LimitError && error.code === 'memory' ? 'memory' : 'crashed';
    this.#hooks.lost({ code, message, cause: error });
  }

  end(): void {
    this.#ended = true;
    this.#stopper.cancel();
    this.#installs.cancel();
  }

  #finished(result: ResultMessage): void {
    if (this.#ended) return;
    let execution: Execution;
    try {
      const { job } = this;
      const { clock, hint, image } = this.#context;
      execution = job.executionOf(result, this.#stopper.requested, clock.now(), (error) =>
        hint?.(error, job.image ?? image),
      );
    } catch (error) {
      this.crashed(error);
      return;
    }
    this.end();
    this.#hooks.finished(execution, result.heapBytes);
    if (this.#rewound) this.#hooks.rewound(this.#rewound);
  }

  #show(show: () => void): void {
    if (this.#ended) return;
    show();
    const { output, limits } = this.job;
    // A callback may have ended it.
    if (this.#ended || output.bytes <= 2 * limits.outputBytes + outputSlackBytes) return;
    const message = `The worker sent more than twice the ${limits.outputBytes} bytes of its output limit and was killed.`;
    this.#hooks.lost({ code: 'output', message });
  }
}
