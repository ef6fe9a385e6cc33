/**
 * The main thread of a Deno worker: it owns the pipes to the host and the thread with the kernel, so that it answers
 * while Python computes. Each frame it sends carries a token that came with the host's first frame and that no other
 * thread has seen; guest code that reached the pipe could not forge one.
 */

import { encodeFrame, FrameDecoder } from '../../protocol/frames.ts';
import type { HostMessage, WorkerMessage } from '../../protocol/messages.ts';
import { parseHostMessage } from '../../protocol/parse.ts';
import { signalWords, stopCode } from '../../protocol/signals.ts';
import { createMailbox, sendMail } from '../../rpc/mailbox.ts';
import { wasmPageBytes } from '../../util/wasm.ts';
import type { SharedMemory } from './entry.ts';

const { exit, memoryUsage } = Deno;
const stdout = Deno.stdout;
const stdin = Deno.stdin;

const signals = new Int32Array(new SharedArrayBuffer(signalWords.length * 4));
const decoder = new FrameDecoder();
let running: string | null = null;

const kernel = new Worker(new URL('./deno-kernel.js', import.meta.url), { type: 'module', name: 'kernel' });
const mailbox = createMailbox();
kernel.postMessage({ signals, mailbox } satisfies SharedMemory);
kernel.onmessage = (event: MessageEvent<WorkerMessage>) => {
  // Passed on as it is: guest code may have made it, and the host is the one to judge.
  const message = event.data;
  if (message.kind === 'ready') {
    // Both threads hold one set of permissions, which the kernel's gave up long ago. This doesn't rely on that.
    for (const name of ['read', 'import']) Deno.permissions.revokeSync({ name });
  } else if (message.kind === 'result') running = null;
  // The host would wait for the rest of a frame that can't be written.
  if ('parts' in message && !(message.parts ?? []).every((part) => part instanceof Uint8Array))
    fail('the kernel sent a message with parts that are not bytes');
  else send(message);
};
kernel.onerror = (event: ErrorEvent) => {
  event.preventDefault();
  fail(event.message);
};

function fail(message: string): void {
  send({
    kind: 'error',
    id: null,
    error: { code: 'crashed', message, details: {}, stack: null, cause: null },
  });
  exit(1);
}

function send(message: WorkerMessage): void {
  const { auth } = decoder;
  for (const chunk of encodeFrame(message, auth === undefined ? {} : { auth })) {
    for (let at = 0; at < chunk.length; ) at += stdout.writeSync(chunk.subarray(at));
  }
}

function handOver(message: HostMessage & { parts?: Uint8Array[] }): void {
  kernel.postMessage(
    message,
    (message.parts ?? []).map((part) => part.buffer as ArrayBuffer),
  );
}

function receive(message: HostMessage): void {
  switch (message.kind) {
    case 'init':
      kernel.postMessage(message);
      return;
    case 'run':
      running = message.id;
      Atomics.store(signals, signalWords.interrupt, 0);
      handOver(message);
      return;
    case 'freeze':
    case 'rewind':
      kernel.postMessage(message);
      return;
    case 'thaw':
    case 'change_files':
      handOver(message);
      return;
    case 'answer':
      // The kernel's thread is blocked in Python until it has it all.
      if (message.id === running) void sendMail(mailbox, message, () => running !== message.id);
      return;
    case 'interrupt':
      if (message.id !== running) return;
      Atomics.store(signals, signalWords.interrupt, stopCode(message.reason));
      Atomics.notify(signals, signalWords.interrupt);
      return;
    case 'ping':
      send({
        kind: 'pong',
        id: message.id,
        busy: running,
        heapBytes: Atomics.load(signals, signalWords.heapPages) * wasmPageBytes,
        // Not known without /proc.
        residentBytes: memoryUsage().rss || null,
      });
      return;
    case 'shutdown':
      exit(0);
      return;
    default:
      message satisfies never;
  }
}

// The end of the pipe is the end of the host: nothing is left to work for.
const buffer = new Uint8Array(256 * 1024);
for (;;) {
  const length = await stdin.read(buffer);
  if (length === null) break;
  for (const message of decoder.push(buffer.subarray(0, length))) receive(parseHostMessage(message));
}
exit(0);
