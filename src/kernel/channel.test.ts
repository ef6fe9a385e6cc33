import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChannelError, encodeHarnessFrame, type HarnessFrame, HarnessReader } from './channel.ts';

const frame = fc.record({
  json: fc.dictionary(
    fc.string().filter((key) => key !== 'parts' && key !== '__proto__'),
    fc.jsonValue(),
  ),
  parts: fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 4 }),
});

function reader(maxBytes = 1_000_000): { frames: HarnessFrame[]; reader: HarnessReader } {
  const frames: HarnessFrame[] = [];
  const made = new HarnessReader((got) => frames.push(got));
  made.begin(maxBytes);
  return { frames, reader: made };
}

/** A body of any kind with right outer lengths. */
function rawFrame(text: string, rest = 0, lengths: { body?: number; json?: number } = {}): Uint8Array {
  const json = new TextEncoder().encode(text);
  const bytes = new Uint8Array(8 + json.length + rest);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, lengths.body ?? bytes.length - 4, true);
  view.setUint32(4, lengths.json ?? json.length, true);
  bytes.set(json, 8);
  return bytes;
}

describe('HarnessReader', () => {
  it('gives the frames that were encoded, however they are cut', () => {
    fc.assert(
      fc.property(
        fc.array(frame, { maxLength: 5 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 40 })),
        (sent, sizes) => {
          const { frames, reader: made } = reader();
          const stream = sent.flatMap(({ json, parts }) => [...encodeHarnessFrame(json, parts)]);
          for (let at = 0; at < stream.length; ) {
            const size = sizes.next().value ?? 1;
            made.push(Uint8Array.from(stream.slice(at, at + size)));
            at += size;
          }
          expect(made.incomplete).toBe(false);
          expect(frames.length).toBe(sent.length);
          for (const [index, { json, parts }] of sent.entries()) {
            expect(frames[index]?.parts).toStrictEqual(parts.map((part) => Uint8Array.from(part)));
            const lengths = parts.map((part) => part.length);
            expect(frames[index]?.json).toStrictEqual(
              JSON.parse(JSON.stringify({ ...json, parts: lengths })),
            );
          }
        },
      ),
    );
  });

  it('keeps parts apart from the buffer they came in', () => {
    const { frames, reader: made } = reader();
    const bytes = encodeHarnessFrame({ n: 1 }, [Uint8Array.of(1, 2)]);
    made.push(bytes);
    made.push(encodeHarnessFrame({ n: 2 }, [Uint8Array.of(3, 4)]));
    bytes.fill(0);
    expect(frames.map(({ parts }) => [...(parts[0] ?? [])])).toStrictEqual([
      [1, 2],
      [3, 4],
    ]);
  });

  it('throws a ChannelError or nothing on any bytes, and holds no more than its limit', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), (chunks) => {
        const { reader: made } = reader(200);
        try {
          for (const chunk of chunks) made.push(chunk);
        } catch (error) {
          expect(error).toBeInstanceOf(ChannelError);
        }
      }),
    );
  });

  it.each<[string, Uint8Array, string]>([
    ['a length above the limit', rawFrame('{}', 0, { body: 1001 }), 'larger than the limits'],
    ['a body below its own length', rawFrame('', 0, { body: 3 }), 'too short'],
    ['JSON longer than the body', rawFrame('{"parts":[]}', 0, { json: 13 }), 'impossible length'],
    ['JSON that is cut', rawFrame('{"parts":[]}', 0, { json: 11 }), 'not JSON'],
    ['no JSON', rawFrame('{'), 'not JSON'],
    ['a list', rawFrame('[]'), 'not an object'],
    ['null', rawFrame('null'), 'not an object'],
    ['no parts', rawFrame('{}'), 'no parts'],
    ['parts of no list', rawFrame('{"parts":{"length":0}}'), 'no parts'],
    ['a part beyond the body', rawFrame('{"parts":[3]}', 2), 'impossible part'],
    ['a negative part', rawFrame('{"parts":[-1]}', 1), 'impossible part'],
    ['half a part', rawFrame('{"parts":[0.5]}', 1), 'impossible part'],
    ['a part of text', rawFrame('{"parts":["1"]}', 1), 'impossible part'],
    ['bytes of no part', rawFrame('{"parts":[1]}', 2), 'disagree'],
  ])('refuses %s', (_name, bytes, reason) => {
    expect(() => reader(1000).reader.push(bytes)).toThrow(reason);
    expect(() => reader(1000).reader.push(bytes)).toThrow(ChannelError);
  });

  it('refuses more than its limit before it allocates for it', () => {
    const { reader: made } = reader(1000);
    expect(() => made.push(new Uint8Array(1009))).toThrow(ChannelError);
  });

  it('forgets half a frame when another run begins', () => {
    const { frames, reader: made } = reader();
    made.push(encodeHarnessFrame({ old: true }, []).subarray(0, 9));
    expect(made.incomplete).toBe(true);
    made.begin(1000);
    made.push(encodeHarnessFrame({ fresh: true }, []));
    expect(frames.map(({ json }) => json)).toStrictEqual([{ fresh: true, parts: [] }]);
  });

  it('takes a large frame in small chunks, and shrinks again', () => {
    const { frames, reader: made } = reader(3_000_000);
    const big = new Uint8Array(2_500_000).fill(7);
    const bytes = encodeHarnessFrame({}, [big]);
    for (let at = 0; at < bytes.length; at += 60_000) made.push(bytes.subarray(at, at + 60_000));
    expect(frames[0]?.parts[0]?.length).toBe(big.length);
    made.begin(1000);
    made.push(encodeHarnessFrame({}, []));
    expect(frames.length).toBe(2);
  });
});
