import { InstallError } from '../errors/errors.ts';

export interface FetchLimits {
  /** Of all that comes, pages and wheels, unpacked. */
  bytes: number;
  /** Redirects and further tries count too. */
  requests: number;
}

/** Far beyond what a program needs: packages that are large or many belong into the image. */
export const runFetchLimits: FetchLimits = Object.freeze({ bytes: 536_870_912, requests: 2000 });

/** How much one run has the host fetch while it lasts. What is in the cache is free. */
export class FetchBudget {
  readonly #limits: FetchLimits;
  #bytes = 0;
  #requests = 0;

  constructor(limits: FetchLimits = runFetchLimits) {
    this.#limits = limits;
  }

  /** Throws `InstallError` (`not_allowed`). */
  request(): void {
    this.#requests++;
    if (this.#requests > this.#limits.requests) throw exceeded(`asked for ${this.#limits.requests} files`);
  }

  /** Throws `InstallError` (`not_allowed`). */
  bytes(count: number): void {
    this.#bytes += count;
    if (this.#bytes > this.#limits.bytes) throw exceeded(`fetched ${this.#limits.bytes} bytes`);
  }
}

function exceeded(what: string): InstallError {
  const suggestion = 'name the packages when the runtime or the run is made, so that they are in its image';
  return new InstallError(`This run has ${what}, which is all that one may; ${suggestion}.`, {
    reason: 'not_allowed',
    package: '',
    suggestion,
  });
}
