import { createRuntime } from '../../src/node.ts';
import { contract, defaults } from './contract.ts';

contract('deno', (options) => createRuntime({ engine: 'deno', ...defaults, ...options }));
