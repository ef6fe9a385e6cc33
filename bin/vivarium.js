#!/usr/bin/env node
// Plain JavaScript that old versions of Node can read: a clone brings its own Node, and the message must be ours.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

const [major, minor] = process.versions.node.split('.').map(Number);
const main = new URL('../dist/cli/main.js', import.meta.url);

if (major > 22 || (major === 22 && minor >= 15)) {
  // Compiled code of our modules is kept between starts, in the system's folder for temporary files.
  module.enableCompileCache();
  if (existsSync(main)) await (await import(main.href)).main(process.argv.slice(2));
  else fail('it is not built yet: run `npm run build`');
} else {
  const node = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url));
  if (existsSync(node)) runWith(node);
  else fail(`Node 22.15 or newer is needed, this is ${process.version}`);
}

function fail(message) {
  process.stderr.write(`vivarium: ${message}\n`);
  process.exitCode = 1;
}

/** Takes the place of this process as well as Node can: same streams, same signals, same end. */
function runWith(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  const forward = (signal) => child.kill(signal);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, forward);
  child.on('error', (error) => fail(`${node} does not start: ${error.message}`));
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}
