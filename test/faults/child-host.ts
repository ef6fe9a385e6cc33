import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { RuntimeOptions } from '../../src/node.ts';
import type { RunOptions } from '../../src/runtime.ts';
import type { Command, Told, ToldEnding } from './host.inside.ts';
import { isAlive } from './processes.ts';
import { eventually } from './runs.ts';

const program = fileURLToPath(new URL('host.inside.ts', import.meta.url));

export interface ChildHostOptions {
  runtime: RuntimeOptions;
  /** What starts the program: a command that takes one as its last arguments. */
  under?: readonly string[];
  env?: Readonly<Record<string, string>>;
}

/** A host in a process of its own: see `host.inside.ts`. */
export class ChildHost implements AsyncDisposable {
  readonly told: Told[] = [];
  stderr = '';
  /** Resolves with its signal or exit code. */
  readonly ended: Promise<string | number>;
  readonly #child: ChildProcessWithoutNullStreams;
  #lastRun = 0;

  static async start(options: ChildHostOptions): Promise<ChildHost> {
    const host = new ChildHost(options);
    await host.first('up');
    return host;
  }

  private constructor({ runtime, under = [], env = {} }: ChildHostOptions) {
    const [command = '', ...args] = [...under, process.execPath, program, JSON.stringify(runtime)];
    this.#child = spawn(command, args, { env: { ...process.env, ...env } });
    createInterface(this.#child.stdout).on('line', (line) => this.told.push(JSON.parse(line) as Told));
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    // It may be gone before it has read all.
    this.#child.stdin.on('error', () => undefined);
    const { promise, resolve } = Promise.withResolvers<string | number>();
    this.#child.on('error', (error) => resolve(error.message));
    this.#child.on('close', (code, signal) => resolve(signal ?? code ?? -1));
    this.ended = promise;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Of all workers that it has started. */
  get workers(): number[] {
    return this.all('point').flatMap(({ point, facts }) =>
      point === 'worker.spawned' ? (facts.pid ?? []) : [],
    );
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  send(command: Command): void {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
  }

  /** Returns its id. */
  submit(code: string, options?: RunOptions): string {
    const id = `r${this.#lastRun++}`;
    this.send({ do: 'run', id, code, ...(options && { options }) });
    return id;
  }

  async run(code: string, options?: RunOptions): Promise<ToldEnding> {
    return this.end(this.submit(code, options));
  }

  end(id: string): Promise<ToldEnding> {
    return this.first('end', (told) => told.id === id);
  }

  all<Kind extends Told['kind']>(kind: Kind): Extract<Told, { kind: Kind }>[] {
    return this.told.filter((told): told is Extract<Told, { kind: Kind }> => told.kind === kind);
  }

  /** Waits for it. */
  first<Kind extends Told['kind']>(
    kind: Kind,
    test: (told: Extract<Told, { kind: Kind }>) => boolean = () => true,
  ): Promise<Extract<Told, { kind: Kind }>> {
    return eventually(() => {
      const found = this.all(kind).find(test);
      if (!found) throw new Error(`no ${kind}: ${JSON.stringify(this.told.slice(-5))} ${this.stderr}`);
      return found;
    });
  }

  async command(command: Extract<Command, { do: 'hoard' | 'release' | 'fetch' | 'lock' }>): Promise<void> {
    const before = this.all('done').length;
    this.send(command);
    await eventually(() => {
      if (this.all('done').length === before) throw new Error(`${command.do} is not done: ${this.stderr}`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (isAlive(this.pid)) this.kill('SIGKILL');
    await this.ended;
  }
}
