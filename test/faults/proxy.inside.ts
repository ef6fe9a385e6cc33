/**
 * Passes for a worker's process: the real Deno behind a wire that spoils one result, that of the first run that prints `now`: as
 * its argument says, or as the run does (`now zeros`).
 */
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';

const corruptions = {
  'half a result, then dead': (wire: Wire) => {
    wire.write(wire.frame.subarray(0, wire.frame.length >> 1), () => wire.die());
  },
  'half a result, then its end': (wire: Wire) => {
    wire.write(wire.frame.subarray(0, wire.frame.length >> 1), () => wire.hangUp());
  },
  'half a result, then silence': (wire: Wire) => wire.write(wire.frame.subarray(0, wire.frame.length >> 1)),
  'a result byte by byte': (wire: Wire) => wire.dribble(),
  'a result twice': (wire: Wire) => wire.write(Buffer.concat([wire.frame, wire.frame])),
  'a result of another run': (wire: Wire) =>
    wire.write(wire.edited((text) => text.replace(/"id":"/, '"id":"x'))),
  'another token': (wire: Wire) => wire.write(wire.edited((text) => text.replace(/"auth":"/, '"auth":"x'))),
  'no token': (wire: Wire) => wire.write(wire.edited((text) => text.replace(/,?"auth":"[^"]*"/, ''))),
  'no JSON': (wire: Wire) => wire.write(wire.edited((text) => text.replace('{', '['))),
  'a length of four gigabytes': (wire: Wire) => wire.write(Buffer.alloc(64, 0xff)),
  zeros: (wire: Wire) => wire.write(Buffer.alloc(65_536)),
  'text between frames': (wire: Wire) =>
    wire.write(Buffer.concat([Buffer.from('Warning: text\n'), wire.frame])),
  'flipped bits': (wire: Wire) => {
    for (let at = 5; at < wire.frame.length; at += 97) wire.frame[at] = (wire.frame[at] ?? 0) ^ 0x10;
    wire.write(wire.frame);
  },
} satisfies Record<string, (wire: Wire) => void>;

export type Corruption = keyof typeof corruptions;

function isCorruption(word: string | undefined): word is Corruption {
  return word !== undefined && Object.hasOwn(corruptions, word);
}

interface Wire {
  frame: Buffer;
  write(bytes: Uint8Array, then?: () => void): void;
  /** The frame with another envelope, and lengths that fit it. */
  edited(edit: (json: string) => string): Buffer;
  /** A few bytes at a time, with what follows behind it. */
  dribble(): void;
  hangUp(): void;
  die(): void;
}

function edited(frame: Buffer, edit: (json: string) => string): Buffer {
  const jsonBytes = frame.readUInt32LE(4);
  const json = Buffer.from(edit(frame.subarray(8, 8 + jsonBytes).toString('utf8')));
  const parts = frame.subarray(8 + jsonBytes);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(4 + json.length + parts.length, 0);
  head.writeUInt32LE(json.length, 4);
  return Buffer.concat([head, json, parts]);
}

function main(corruption: Corruption, deno: string, args: readonly string[]): void {
  const child = spawn(deno, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  process.stdin.pipe(child.stdin);
  child.stdin.on('error', () => undefined);
  process.stdout.on('error', () => undefined);
  child.on('exit', (code) => process.exit(code ?? 1));

  let received = Buffer.alloc(0);
  let armed: Corruption | undefined;
  let struck = false;
  /** What waits for the frame that is sent slowly. */
  let slow: Buffer | undefined;
  const write = (bytes: Uint8Array, then?: () => void): void => {
    if (slow) slow = Buffer.concat([slow, bytes]);
    else process.stdout.write(bytes, then);
  };
  const dribble = (): void => {
    const next = slow?.subarray(0, 7) ?? Buffer.alloc(0);
    slow = slow?.subarray(7);
    if (next.length === 0) slow = undefined;
    else process.stdout.write(next, () => setImmediate(dribble));
  };

  child.stdout.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 4 && received.length >= 4 + received.readUInt32LE(0)) {
      const frame = Buffer.from(received.subarray(0, 4 + received.readUInt32LE(0)));
      received = received.subarray(frame.length);
      const envelope = frame.subarray(8, 8 + Math.min(frame.readUInt32LE(4), 400)).toString('utf8');
      if (armed && !struck && envelope.includes('"kind":"result"')) {
        struck = true;
        corruptions[armed]({
          frame,
          write,
          edited: (edit) => edited(frame, edit),
          dribble() {
            slow = frame;
            dribble();
          },
          hangUp() {
            // Node itself never closes it.
            closeSync(1);
          },
          die() {
            child.kill('SIGKILL');
            process.kill(process.pid, 'SIGKILL');
          },
        });
        continue;
      }
      const said = envelope.includes('"stdout"') ? /now ?([^\n]*)/.exec(frame.toString('latin1')) : null;
      if (said) armed ??= isCorruption(said[1]) ? said[1] : corruption;
      write(frame);
    }
  });
}

const [corruption, deno, ...args] = process.argv.slice(2);
if (import.meta.main && isCorruption(corruption) && deno !== undefined) main(corruption, deno, args);
