import { describe } from 'vitest';
import { findBubblewrap } from '../../src/engines/deno/bubblewrap.ts';
import { createRuntime } from '../../src/node.ts';
import { contract, defaults } from './contract.ts';
import { files } from './files.ts';
import { limits } from './limits.ts';
import { output } from './output.ts';
import { rewind } from './rewind.ts';

// What could differ there: pipes, clocks, interrupts, memory, and dying.
describe.skipIf(findBubblewrap() === undefined)('in the sandbox of the operating system', () => {
  contract('deno', (options) => createRuntime({ engine: 'deno', sandbox: 'os', ...defaults, ...options }), [
    output,
    files,
    limits,
    rewind,
  ]);
});
