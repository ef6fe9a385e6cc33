import { createRuntime } from '../../src/node.ts';
import { contract, defaults } from './contract.ts';

contract('node', (options) => createRuntime({ engine: 'node', ...defaults, ...options }));
