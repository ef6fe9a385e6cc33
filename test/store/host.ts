import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { HostOptions, Told } from './host.inside.ts';

const program = fileURLToPath(new URL('host.inside.ts', import.meta.url));

/** A process with a store: see `host.inside.ts`. */
export class Host implements AsyncDisposable {
  readonly told: Told[] = [];
  stderr = '';
  /** Resolves with its signal or exit code. */
  readonly ended: Promise<string | number>;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting = new Set<() => void>();

  /** `under`: a command that starts one as its last arguments. */
  constructor(options: HostOptions, under: readonly string[] = []) {
    const [command = '', ...args] = [...under, process.execPath, program, JSON.stringify(options)];
    this.#child = spawn(command, args);
    createInterface(this.#child.stdout).on('line', (line) => {
      this.told.push(JSON.parse(line) as Told);
      for (const look of this.#waiting) look();
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    const { promise, resolve } = Promise.withResolvers<string | number>();
    this.#child.on('error', (error) => resolve(error.message));
    this.#child.on('close', (code, signal) => {
      resolve(signal ?? code ?? -1);
      for (const look of this.#waiting) look();
    });
    this.ended = promise;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  all<Kind extends Told['kind']>(kind: Kind): Extract<Told, { kind: Kind }>[] {
    return this.told.filter((told): told is Extract<Told, { kind: Kind }> => told.kind === kind);
  }

  /** Resolves once it has told so many of them. Rejects when it ends before. */
  until(kind: Told['kind'], count = 1): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const isEnded = this.#child.exitCode !== null || this.#child.signalCode !== null;
        if (this.all(kind).length >= count) resolve();
        else if (isEnded) reject(new Error(`it ended: ${JSON.stringify(this.told.at(-1))} ${this.stderr}`));
        else return;
        this.#waiting.delete(look);
      };
      this.#waiting.add(look);
      look();
    });
  }

  goOn(): void {
    this.#child.stdin.write('\n');
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }
}
