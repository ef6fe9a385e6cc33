import type { Answer } from '../engines/engine.ts';
import {
  InstallError,
  type InstallReason,
  InternalError,
  LimitError,
  VivariumError,
} from '../errors/errors.ts';
import { FetchBudget } from '../packages/fetch-budget.ts';
import { protocolLimits } from '../protocol/limits.ts';
import type { Question } from '../protocol/messages.ts';
import type { PoolContext } from './context.ts';
import type { Installed } from './images.ts';
import type { Job } from './job.ts';
import type { Stopper } from './stopper.ts';

/** Code asks as it likes; these are far beyond what a program needs. */
const maxInstalls = 20;
const maxRequirements = 200;

/** Half a frame: the rest is for what an answer says beside. */
const maxWheelBytes = protocolLimits.maxFrameBytes / 2;

/** A worker unpacks at least so many bytes of wheels in a millisecond. Its kernel's clock stands meanwhile: this is the host's. */
const unpackBytesPerMs = 4096;

interface Ongoing {
  readonly answer: PromiseWithResolvers<Answer>;
  readonly controller: AbortController;
  end(extraMs?: number): void;
}

/** What one run asks for while it lasts: packages, one install at a time. Its deadline's clock stands meanwhile. */
export class Installs {
  readonly #job: Job;
  readonly #context: PoolContext;
  readonly #stopper: Stopper;
  readonly #budget = new FetchBudget();
  #asked = 0;
  #ongoing: Ongoing | undefined;

  constructor(job: Job, context: PoolContext, stopper: Stopper) {
    this.#job = job;
    this.#context = context;
    this.#stopper = stopper;
  }

  answer(question: Question): Promise<Answer> {
    switch (question.kind) {
      case 'install':
        return this.#answer(question.requirements);
      case 'fetch':
        return Promise.reject(refusal('Code has no network.', ''));
      default:
        return question satisfies never;
    }
  }

  /** Ends the one under way; `then` is called when it has been answered, at once when there is none. */
  cancel(then: () => void = () => undefined): void {
    const ongoing = this.#ongoing;
    if (!ongoing) {
      then();
      return;
    }
    this.#fail(
      ongoing,
      new LimitError('interrupted', 'The run was interrupted while it installed packages.'),
    );
    ongoing.answer.promise.catch(() => undefined).then(then);
  }

  #answer(requirements: readonly string[]): Promise<Answer> {
    const { installer, image, clock, options } = this.#context;
    const { installTimeoutMs } = options;
    const late = tooLate(requirements, installTimeoutMs);
    const leftMs = installTimeoutMs - this.#job.installMs;
    const problem = this.#problem(requirements) ?? (leftMs > 0 ? undefined : late);
    if (problem || !installer) return Promise.reject(problem ?? switchedOff());
    const startedAt = clock.now();
    const controller = new AbortController();
    const { signal } = controller;
    const timer = clock.setTimeout(() => this.#fail(ongoing, late), leftMs);
    const ongoing: Ongoing = {
      answer: Promise.withResolvers<Answer>(),
      controller,
      end: (extraMs) => {
        this.#ongoing = undefined;
        timer.cancel();
        this.#job.installMs += clock.now() - startedAt;
        this.#stopper.resume(extraMs);
      },
    };
    this.#ongoing = ongoing;
    this.#stopper.pause();
    // Async: what an installer throws is an answer too.
    const install = async () =>
      installer.install([...requirements], {
        image: this.#job.image ?? image,
        signal,
        budget: this.#budget,
        onProgress: (progress) => {
          if (this.#ongoing === ongoing) this.#job.progress(progress);
        },
      });
    install()
      .then((installed) => this.#succeed(ongoing, installed))
      .catch((error: unknown) => this.#fail(ongoing, error));
    return ongoing.answer.promise;
  }

  #problem(requirements: readonly string[]): Error | undefined {
    if (this.#ongoing) return refusal('Packages are being installed already: one install at a time.', '');
    if (this.#stopper.requested) return new LimitError('interrupted', 'The run has been interrupted.');
    this.#asked++;
    if (this.#asked > maxInstalls)
      return refusal(`A run may install packages ${maxInstalls} times.`, 'Name them all in one call.');
    if (requirements.length > maxRequirements)
      return refusal(`A run may ask for ${maxRequirements} packages at once.`, '');
    return undefined;
  }

  #succeed(ongoing: Ongoing, { packages, wheels }: Installed): void {
    if (this.#ongoing !== ongoing) return;
    const bytes = wheels.reduce((sum, wheel) => sum + wheel.byteLength, 0);
    if (bytes > maxWheelBytes) {
      this.#fail(ongoing, tooLarge(bytes));
      return;
    }
    const body = JSON.stringify(packages.map(({ name, version }) => ({ name, version })));
    const unpackMs = Math.floor(bytes / unpackBytesPerMs);
    this.#job.unpackMs += unpackMs;
    ongoing.end(unpackMs);
    ongoing.answer.resolve({ body, parts: wheels });
  }

  /** Hostile code is told nothing that may be of the host; the operator is. */
  #unexpected(error: unknown): InternalError {
    this.#context.telemetry.emit({ type: 'warning', message: `an install failed: ${error}` });
    return new InternalError('internal', 'Installing failed by a fault of the host.');
  }

  /** What code isn't told of the host is the cause of what it's told. */
  #tellOperator(error: unknown): void {
    if (!(error instanceof InstallError) || !(error.cause instanceof InstallError)) return;
    const { message } = error.cause;
    if (message !== error.message)
      this.#context.telemetry.emit({ type: 'warning', message: `an install failed: ${message}` });
  }

  #fail(ongoing: Ongoing, error: unknown): void {
    if (this.#ongoing !== ongoing) return;
    ongoing.end();
    ongoing.controller.abort(error);
    this.#tellOperator(error);
    ongoing.answer.reject(error instanceof VivariumError ? error : this.#unexpected(error));
  }
}

function switchedOff(): InstallError {
  const suggestion = 'Name the packages when the runtime or the run is made: packages: […].';
  return refusal(
    `Installing is switched off: this runtime installs nothing while code runs. ${suggestion}`,
    suggestion,
  );
}

function refusal(message: string, suggestion: string): InstallError {
  return failure(message, 'not_allowed', suggestion);
}

function tooLate(requirements: readonly string[], ms: number): InstallError {
  const names = requirements.join(', ').slice(0, 200);
  const message = `Installing ${names} was given up: all that a run installs may take ${ms} ms together.`;
  return failure(message, 'network', 'A longer installTimeoutMs, or a mirror that is nearer.');
}

function tooLarge(bytes: number): InstallError {
  const suggestion = 'Name the packages when the runtime is made, so that they are in its image.';
  const message = `The wheels have ${bytes} bytes together, more than a run can be handed (${maxWheelBytes}). ${suggestion}`;
  return failure(message, 'not_allowed', suggestion);
}

function failure(message: string, reason: InstallReason, suggestion: string): InstallError {
  return new InstallError(message, { reason, package: '', suggestion });
}
