import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { protocolLimits } from '../protocol/limits.ts';
import type { AnswerMessage } from '../protocol/messages.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import { createMailbox, MailReader, sendMail } from './mailbox.ts';

const mebibyte = 1024 * 1024;
const reader = new URL('./mailbox.ts', import.meta.url).href;

/** Blocks for `count` messages, one after another, and then tells what it read. */
const program = `
const { parentPort, workerData } = require('node:worker_threads');
import(workerData.reader).then(({ MailReader }) => {
  const mail = new MailReader(workerData.mailbox);
  parentPort.postMessage('blocked');
  const messages = [];
  try {
    for (let n = 0; n < workerData.count; n += 1) messages.push(mail.next());
    parentPort.postMessage({ messages });
  } catch (error) {
    parentPort.postMessage({ error: error.name + ': ' + error.message });
  }
});
`;

const threads: Worker[] = [];
afterEach(async () => {
  for (const thread of threads.splice(0)) await thread.terminate();
});

interface Receiver {
  /** Resolves when the thread is about to block. */
  blocked: Promise<void>;
  said: Promise<{ messages?: AnswerMessage[]; error?: string }>;
}

function receive(mailbox: SharedArrayBuffer, count: number): Receiver {
  const thread = new Worker(program, { eval: true, workerData: { mailbox, count, reader } });
  threads.push(thread);
  const blocked = Promise.withResolvers<void>();
  const said = Promise.withResolvers<Awaited<Receiver['said']>>();
  thread.on('error', (error) => {
    blocked.reject(error);
    said.reject(error);
  });
  thread.on('message', (message) => (message === 'blocked' ? blocked.resolve() : said.resolve(message)));
  return { blocked: blocked.promise, said: said.promise };
}

const answer = (body: string, ...parts: Uint8Array[]): AnswerMessage => ({
  kind: 'answer',
  id: 'r',
  error: null,
  body,
  ...(parts.length > 0 && { parts }),
});

/** Until what can be sent at once has been. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Bytes of which no two pieces are alike. */
function pattern(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 1) bytes[at] = (at * 31 + (at >> 13)) & 0xff;
  return bytes;
}

describe('a mailbox', () => {
  it('wakes a thread that is blocked, with the message as it was', async () => {
    const mailbox = createMailbox();
    const { blocked, said } = receive(mailbox, 1);
    await blocked;
    const sent = answer('{"a": [1, "\u{1f40d}"]}', Uint8Array.of(1, 2), Uint8Array.of());
    await sendMail(mailbox, sent);
    expect(await said).toEqual({ messages: [sent] });
  });

  it('holds a message until somebody looks', async () => {
    const mailbox = createMailbox();
    const sending = sendMail(mailbox, answer('early'));
    const { said } = receive(mailbox, 1);
    await sending;
    expect(await said).toEqual({ messages: [answer('early')] });
  });

  it('carries messages of many slots, and of exactly one and about', async () => {
    const sizes = [5 * mebibyte + 123, mebibyte, mebibyte - 1, mebibyte + 1, 0, 16 * 1024];
    const sent = sizes.map((size, index) => answer(`${index}`, pattern(size), Uint8Array.of(index)));
    const mailbox = createMailbox();
    const { said } = receive(mailbox, sent.length);
    for (const message of sent) await sendMail(mailbox, message);
    const { messages = [] } = await said;
    expect(messages.map(({ body }) => body)).toStrictEqual(sent.map(({ body }) => body));
    messages.forEach(({ parts = [] }, index) => {
      const given = sent[index]?.parts ?? [];
      expect(parts.map(({ length }) => length)).toStrictEqual(given.map(({ length }) => length));
      parts.forEach((part, at) => {
        expect(Buffer.compare(part, given[at] ?? new Uint8Array()), `${index}.${at}`).toBe(0);
      });
    });
  });

  it('resolves a sender only once the last piece has been taken', async () => {
    const mailbox = createMailbox();
    let sent = false;
    const sending = sendMail(mailbox, answer('x')).then(() => {
      sent = true;
    });
    await turns();
    expect(sent).toBe(false);
    expect(new MailReader(mailbox).next()).toStrictEqual(answer('x'));
    await sending;
  });

  it('lets go of a message that nobody reads, when the run has ended', async () => {
    const mailbox = createMailbox();
    let ended = false;
    const sending = sendMail(mailbox, answer('x', pattern(3 * mebibyte)), () => ended);
    await turns();
    ended = true;
    await sending;
  });

  it('refuses what is too large at once, and stays of use', async () => {
    const mailbox = createMailbox();
    const huge = answer('x', new Uint8Array(protocolLimits.maxFrameBytes));
    expect(() => sendMail(mailbox, huge)).toThrow(ProtocolError);
    const sending = sendMail(mailbox, answer('y'));
    await turns();
    expect(new MailReader(mailbox).next()).toStrictEqual(answer('y'));
    await sending;
  });

  it('refuses what is no message', async () => {
    const mailbox = createMailbox();
    const { said } = receive(mailbox, 1);
    await sendMail(mailbox, { kind: 'answer', id: 'r', error: null } as AnswerMessage);
    expect(await said).toStrictEqual({ error: 'ProtocolError: answer.body: is missing' });
  });
});
