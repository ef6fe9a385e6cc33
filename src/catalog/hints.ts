import { readFileSync } from 'node:fs';
import type { PythonErrorInfo } from '../runtime.ts';

const missingModule = /^No module named '([\w.]+)'/;
let providers: ReadonlyMap<string, string> | undefined;

/** Of a `ModuleNotFoundError`: which package has the module, and how to get it. */
export function hintOf(error: PythonErrorInfo): string | undefined {
  if (error.name !== 'ModuleNotFoundError') return undefined;
  const top = missingModule.exec(error.value)?.[1]?.split('.', 1)[0];
  if (top === undefined) return undefined;
  providers ??= readProviders();
  const name = providers.get(top);
  if (name === undefined) {
    return `If ${top} is a package: run with --with ${top}, or packages: ['${top}'].`;
  }
  return `${top} is in the package ${name}: run with --with ${name}, or packages: ['${name}'].`;
}

/** Module → package, as the installed Pyodide's distribution has it. */
function readProviders(): Map<string, string> {
  const text = readFileSync(new URL(import.meta.resolve('pyodide/pyodide-lock.json')), 'utf8');
  const { packages } = JSON.parse(text) as { packages: Record<string, { name: string; imports: string[] }> };
  const found = new Map<string, string>();
  for (const { name, imports } of Object.values(packages)) {
    for (const module of imports) if (!found.has(module) || name === module) found.set(module, name);
  }
  return found;
}
