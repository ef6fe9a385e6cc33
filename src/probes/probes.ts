import type { ExecutionStatus, RunOptions } from '../runtime.ts';

/** An attack by Python code that a user's own machine can stand: see `python/probes/`. */
export interface Probe {
  /** Its row in the table of `docs/security.md`. */
  id: string;
  /** What it tries. */
  title: string;
  /** Name of its script. */
  script: string;
  /** Run afterwards, once on the same worker and once for another tenant; must not find what the first left. */
  afterwards?: string;
  /** How its runs may end. */
  ends: readonly ExecutionStatus[];
  options?: RunOptions;
}

/** Each attempt is caught and told, so that a script that works ends well. */
const denied: readonly ExecutionStatus[] = ['ok'];
/** A guest may end its own worker: it is told as that, and another takes its place. */
const fatal: readonly ExecutionStatus[] = ['ok', 'oom', 'crashed'];

export const probes: readonly Probe[] = [
  { id: 'T01', title: 'start a program', script: 'shell.py', ends: fatal },
  { id: 'T02', title: 'make JavaScript from a string, in C', script: 'evaluate.py', ends: fatal },
  { id: 'T03', title: 'load machine code of its own', script: 'side_module.py', ends: fatal },
  { id: 'T04', title: 'reach the platform through JavaScript objects', script: 'javascript.py', ends: fatal },
  { id: 'T07', title: 'learn of the host', script: 'knowledge.py', ends: denied },
  { id: 'T12', title: 'connect', script: 'network.py', ends: fatal },
  { id: 'T16', title: 'reach files of the host', script: 'host_files.py', ends: fatal },
  { id: 'T30', title: 'forge frames of the protocol', script: 'frames.py', ends: fatal },
  { id: 'T31', title: 'read what others are sent', script: 'standard_input.py', ends: denied },
  { id: 'T32', title: 'poison what makes the result', script: 'poison.py', ends: [...fatal, 'error'] },
  { id: 'T33', title: 'poison the reader of a value', script: 'values.py', ends: denied },
  {
    id: 'T40',
    title: 'leave something to the next run',
    script: 'residue_plant.py',
    afterwards: 'residue_look.py',
    ends: denied,
  },
  { id: 'T41', title: 'act after its end', script: 'late.py', ends: denied },
  { id: 'T43', title: 'never end', script: 'loops.py', ends: ['timeout', 'ok'], options: { timeoutMs: 400 } },
  {
    id: 'T44',
    title: 'flood with tasks',
    script: 'tasks.py',
    ends: ['timeout', 'oom', 'crashed', 'ok'],
    options: { timeoutMs: 300 },
  },
  {
    id: 'T45',
    title: 'flood with output',
    script: 'output.py',
    ends: ['ok', 'oom'],
    options: { outputBytes: 1 << 20 },
  },
  {
    id: 'T46',
    title: 'take all memory',
    script: 'memory.py',
    ends: fatal,
    options: { memoryBytes: 192 << 20 },
  },
  { id: 'T47', title: 'overflow a stack', script: 'stack.py', ends: fatal },
  { id: 'T48', title: 'crash in C', script: 'crash.py', ends: fatal },
  { id: 'T49', title: 'raise what pretends', script: 'exceptions.py', ends: ['error'] },
];
