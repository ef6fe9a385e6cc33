import { expect, test, vi } from 'vitest';
import type { Message } from '../protocol/envelope.ts';
import { encodeFrame, FrameDecoder } from '../protocol/frames.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import { Channel } from './channel.ts';
import { StreamPort } from './stream-port.ts';

const ping: Message = { kind: 'ping', id: 'p' };
const pong: Message = { kind: 'pong', id: 'p', busy: null, heapBytes: 1, residentBytes: null };

const frame = (message: Message, auth?: string) =>
  new Uint8Array(Buffer.concat(encodeFrame(message, auth === undefined ? {} : { auth })));

function setUp(auth?: string) {
  const written: Uint8Array[] = [];
  const close = vi.fn();
  const write = (chunks: Uint8Array[]) => written.push(...chunks);
  const port = new StreamPort(auth === undefined ? { write, close } : { write, close, auth });
  const onClose = vi.fn();
  port.onClose = onClose;
  return { written, close, port, onClose };
}

test('messages both ways, by any chunks; early ones wait', () => {
  const { written, port } = setUp();
  port.send(ping);
  expect(new Uint8Array(Buffer.concat(written))).toEqual(frame(ping));
  const bytes = frame(pong);
  port.receive(bytes);
  port.receive(bytes.subarray(0, 11));
  const messages: unknown[] = [];
  port.onMessage = (message) => messages.push(message);
  expect(messages).toEqual([pong]);
  port.receive(bytes.subarray(11));
  expect(messages).toEqual([pong, pong]);
});

test('the token goes out once, and is demanded of every frame', () => {
  const { written, port, onClose } = setUp('token');
  const onMessage = vi.fn();
  port.onMessage = onMessage;
  port.send(ping);
  port.send(ping);
  const supervisor = new FrameDecoder();
  supervisor.push(written[0] ?? new Uint8Array());
  expect(supervisor.auth).toBe('token');
  expect(written[1]).toEqual(frame(ping));
  port.receive(frame(pong, supervisor.auth));
  expect(onMessage).toHaveBeenCalledTimes(1);
  port.receive(frame(pong));
  expect(onMessage).toHaveBeenCalledTimes(1);
  expect(onClose.mock.calls).toEqual([[expect.any(ProtocolError)]]);
});

test('a bad frame closes it, after the good ones before', () => {
  const { port, onClose, close, written } = setUp();
  const onMessage = vi.fn();
  port.onMessage = onMessage;
  port.receive(new Uint8Array([...frame(pong), 1, 0, 0, 0, 0, 0, 0, 0, ...frame(pong)]));
  expect(onMessage).toHaveBeenCalledTimes(1);
  expect(onClose.mock.calls).toEqual([[expect.any(ProtocolError)]]);
  expect(close).toHaveBeenCalledTimes(1);
  port.receive(frame(pong));
  port.send(ping);
  port.end(new Error('later'));
  port.close();
  expect([onMessage.mock.calls.length, written.length, onClose.mock.calls.length]).toEqual([1, 0, 1]);
  expect(close).toHaveBeenCalledTimes(1);
});

test('the end of the stream, whole or within a frame', () => {
  const ends = [
    { bytes: new Uint8Array(), error: undefined, reason: undefined },
    { bytes: frame(pong).subarray(0, 5), error: undefined, reason: 'the stream ended within a frame' },
    { bytes: frame(pong).subarray(0, 5), error: new Error('EPIPE'), reason: 'EPIPE' },
  ];
  for (const { bytes, error, reason } of ends) {
    const { port, onClose } = setUp();
    port.onMessage = () => {};
    port.receive(bytes);
    port.end(error);
    expect(onClose).toHaveBeenCalledTimes(1);
    expect((onClose.mock.calls[0]?.[0] as Error | undefined)?.message).toBe(reason);
  }
});

test('closing within a message drops the rest of the chunk', () => {
  const { port } = setUp();
  const onMessage = vi.fn(() => port.close());
  port.onMessage = onMessage;
  port.receive(new Uint8Array([...frame(pong), ...frame(pong)]));
  expect(onMessage).toHaveBeenCalledTimes(1);
});

test('a channel over a stream fails with `protocol` on garbage and `crashed` at the end', async () => {
  for (const [end, code] of [
    [(port: StreamPort) => port.receive(new Uint8Array(8)), 'protocol'],
    [(port: StreamPort) => port.end(), 'crashed'],
  ] as const) {
    const { port } = setUp();
    const reply = new Channel(port).call({ kind: 'ping', id: 'p' });
    end(port);
    await expect(reply).rejects.toMatchObject({ code });
  }
});
