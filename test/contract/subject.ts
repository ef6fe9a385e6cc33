import type { Execution, Isolation, Run, RunOptions, Runtime, SomeLimits, Value } from '../../src/runtime.ts';

/** What the suite asks of a binding. Everything else is the product's default. */
export interface SubjectOptions {
  size?: number;
  isolation?: Isolation;
  /** False boots plainly, without the frozen image. */
  image?: boolean;
  limits?: SomeLimits;
  maxLimits?: SomeLimits;
}

export type MakeRuntime = (options?: SubjectOptions) => Promise<Runtime>;

/** What the cases are written against: one engine, and a runtime with one worker that all cases of a file share. */
export interface Subject {
  /** As `execution.worker.backend` names it. */
  readonly engine: string;
  readonly runtime: Runtime;
  readonly make: MakeRuntime;
  run(code: string, options?: RunOptions): Run;
}

/** Awaits a run that must end well; a failure shows what Python said. */
export async function ok(run: Promise<Execution>): Promise<Execution> {
  const execution = await run;
  if (execution.status !== 'ok') {
    const said = execution.error?.traceback.join('\n') ?? execution.stderr;
    throw new Error(`expected ok, got ${execution.status}: ${execution.error?.message ?? ''}\n${said}`);
  }
  return execution;
}

export async function evaluate(run: Promise<Execution>): Promise<Value | undefined> {
  return (await ok(run)).value;
}

/** Interrupts a run when it has printed just that: an interrupt that comes earlier can part what `print` writes. */
export async function interruptAfter(run: Run, printed: string): Promise<void> {
  let seen = '';
  for await (const event of run) {
    if (event.type !== 'stdout') continue;
    seen += event.text;
    if (seen === printed) run.interrupt();
  }
}

/** Python source in a template literal: drops the first line break and the common indentation. */
export function py(strings: TemplateStringsArray, ...values: (string | number)[]): string {
  const text = String.raw({ raw: strings.raw }, ...values).replace(/^\n/, '');
  const indents = text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => line.length - line.trimStart().length);
  const indent = Math.min(...indents);
  return text
    .split('\n')
    .map((line) => line.slice(indent))
    .join('\n')
    .trimEnd();
}
