import { createHash, createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { SessionError } from '../../src/errors/errors.ts';
import { type DeltaHeader, deltaVersion, fileBlobBytes } from '../../src/image/delta.ts';
import { deflate, packBlobs, unpackBlobs } from '../../src/sessions/blobs.ts';
import { FormatError } from '../../src/sessions/format-error.ts';
import { decodeManifest, encodeManifest, type Manifest } from '../../src/sessions/manifest.ts';
import { type BytesOptions, decodeSession, encodeSession } from '../../src/sessions/session-bytes.ts';
import { resultOf, settled, subject } from './subject.ts';

const key = new TextEncoder().encode('a key of the operator');
const open: BytesOptions = { key: undefined, maxBytes: 2 ** 20 };
const sealed = { ...open, key };
const refusal = expect.objectContaining({ name: 'SessionError', code: 'session_bytes' });

/** Files with these contents. */
async function sessionOf(contents: readonly Uint8Array[], tenant = 'acme') {
  const filled = contents.filter((content) => content.byteLength > 0);
  const { hashes, fresh } = await packBlobs(filled, new Set());
  const header: DeltaHeader = {
    version: deltaVersion,
    image: 'ab'.repeat(64),
    heapBytes: 0,
    heapTop: 0,
    pages: [],
    regions: 0,
    blobs: filled.map(({ byteLength }) => byteLength),
    linked: null,
    tree: {
      removed: [],
      nodes: filled.map(({ byteLength }, index) => ({
        path: `/home/pyodide/f${index}`,
        kind: 'file',
        mode: 0o644,
        ...{ atimeMs: 1, mtimeMs: 1, ctimeMs: 1 },
        size: byteLength,
        original: null,
        target: '',
        blob: index,
        blobs: 1,
        foreign: true,
      })),
      descriptors: [],
      cwd: '/home/pyodide',
    },
    monotonicMs: 5,
  };
  const image = { name: 'stdlib', lockHash: '' };
  const manifest: Manifest = { image, tenant, pyodide: '1', header, blobs: hashes };
  return { manifest, blobs: fresh };
}

const contents = fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 6 });

function resummed(content: Uint8Array): Uint8Array {
  return Buffer.concat([content, createHash('sha256').update(content).digest()]);
}

describe('a session as bytes', () => {
  it('comes back as it was, with a key and without', async () => {
    await fc.assert(
      fc.asyncProperty(
        contents,
        fc.boolean(),
        fc.string({ maxLength: 20 }),
        async (files, withKey, tenant) => {
          const session = await sessionOf(files, tenant);
          const options = withKey ? sealed : open;
          const bytes = await encodeSession(session, options);
          const back = await decodeSession(bytes, tenant, options);
          expect(back.manifest).toEqual(session.manifest);
          const { header, blobs: hashes } = back.manifest;
          const read = async (hash: string) => back.blobs.get(hash) ?? new Uint8Array();
          const { blobs } = await unpackBlobs(hashes, header?.blobs ?? [], read);
          expect(blobs.map((blob) => [...blob])).toEqual(
            files.filter((file) => file.length > 0).map((file) => [...file]),
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  it('holds equal blobs once', async () => {
    const blob = crypto.getRandomValues(new Uint8Array(5000));
    const once = await encodeSession(await sessionOf([blob]), open);
    const twice = await encodeSession(await sessionOf([blob, blob]), open);
    expect(twice.length - once.length).toBeLessThan(500);
  });

  it.each([
    ['with a key', sealed],
    ['without', open],
  ])(
    'is refused when a bit of it is another one, or some of it is missing or too much: %s',
    async (_, options) => {
      const bytes = await encodeSession(await sessionOf([new Uint8Array(100).fill(1)]), options);
      await fc.assert(
        fc.asyncProperty(fc.nat(bytes.length * 8 - 1), fc.nat(bytes.length - 1), async (bit, end) => {
          const altered = bytes.slice();
          altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
          await expect(decodeSession(altered, 'acme', options)).rejects.toEqual(refusal);
          await expect(decodeSession(bytes.subarray(0, end), 'acme', options)).rejects.toEqual(refusal);
          await expect(decodeSession(Buffer.concat([bytes, altered]), 'acme', options)).rejects.toEqual(
            refusal,
          );
        }),
        { numRuns: 200 },
      );
    },
  );

  it('is refused when it is anything else', async () => {
    const magic = new TextEncoder().encode('VIVSESSN');
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.boolean(), async (noise, begun) => {
        const bytes = begun ? Buffer.concat([magic, noise]) : noise;
        await expect(decodeSession(bytes, '', open)).rejects.toEqual(refusal);
      }),
      { numRuns: 300 },
    );
  });

  it('is only read or refused, whoever made a sum over whatever it is', async () => {
    const bytes = await encodeSession(
      await sessionOf([new Uint8Array(9).fill(1), new Uint8Array(9).fill(2)]),
      open,
    );
    const content = bytes.subarray(0, -32);
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(content.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 24, max: content.length }),
        async (edits, end) => {
          const hostile = content.slice(0, end);
          for (const [at, value] of edits) if (at > 11 && at < end) hostile[at] = value;
          try {
            await decodeSession(resummed(hostile), 'acme', open);
          } catch (error) {
            refused++;
            expect(error).toEqual(refusal);
          }
        },
      ),
      { numRuns: 400 },
    );
    expect(refused).toBeGreaterThan(100);
  });

  it('says what is wrong with it', async () => {
    const session = await sessionOf([new Uint8Array(9)]);
    const [plain, signed] = [await encodeSession(session, open), await encodeSession(session, sealed)];
    const why = async (bytes: Uint8Array, options = open, tenant = 'acme') => {
      const error: unknown = await decodeSession(bytes, tenant, options).catch((reason: unknown) => reason);
      if (!(error instanceof SessionError)) throw new TypeError('it was read');
      return error.message.replace("These bytes can't be read as a session. ", '');
    };
    const newer = signed.slice();
    newer[8] = 9;
    expect(await why(newer, sealed)).toBe('They were made by a newer version of Vivarium: update this one.');
    newer[8] = 0;
    expect(await why(newer, sealed)).toBe('They are of no version that is known.');
    expect(await why(signed)).toMatch(/made with a key/);
    expect(await why(plain, sealed)).toMatch(/made without a key/);
    const other = { ...open, key: new TextEncoder().encode('another key of somebody') };
    expect(await why(signed, other)).toMatch(/not made with this runtime’s key/);
    expect(await why(signed, sealed, 'globex')).toBe('They are of another tenant.');
    expect(await why(new TextEncoder().encode('PK…'))).toBe('They are no session of Vivarium.');
    expect(await why(plain.subarray(0, 30))).toBe('They are cut.');
    // A sum without the key isn't one with it.
    const forged = signed.slice();
    forged.set(createHash('sha256').update(forged.subarray(0, -32)).digest(), forged.length - 32);
    expect(await why(forged, sealed)).toMatch(/not made with this runtime’s key/);
    forged.set(createHmac('sha256', key).update(forged.subarray(0, -32)).digest(), forged.length - 32);
    await decodeSession(forged, 'acme', sealed);
  });

  it('is written and read up to its limit only', async () => {
    const session = await sessionOf([crypto.getRandomValues(new Uint8Array(5000))]);
    const limited = { ...open, maxBytes: 4000 };
    const limit = expect.objectContaining({ code: 'session_limit' });
    await expect(encodeSession(session, limited)).rejects.toEqual(limit);
    await expect(decodeSession(await encodeSession(session, open), 'acme', limited)).rejects.toEqual(limit);
  });
});

describe('a manifest', () => {
  it('is read or refused, whatever it says', async () => {
    const { manifest } = await sessionOf([new Uint8Array(9)]);
    const { header, ...facts } = manifest;
    const lines = [JSON.stringify({ version: 1, ...facts }), JSON.stringify(header)];
    const edit = fc.tuple(
      fc.nat(1),
      fc.nat(2000),
      fc.nat(20),
      fc.constantFrom('', '0', '-1', '"', '[', '{}', 'null', '1e99', '\n'),
    );
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
        const texts = [...lines];
        for (const [line, at, length, text] of edits) {
          const old = texts[line] ?? '';
          const from = at % (old.length + 1);
          texts[line] = old.slice(0, from) + text + old.slice(from + length);
        }
        try {
          await decodeManifest(await deflate(new TextEncoder().encode(texts.join('\n'))));
        } catch (error) {
          refused++;
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 400 },
    );
    expect(refused).toBeGreaterThan(200);
  });

  it('may name no blob that is larger than one can be', async () => {
    const { manifest } = await sessionOf([new Uint8Array(9)]);
    const { header } = manifest;
    const [node] = header?.tree.nodes ?? [];
    if (!header || !node) throw new TypeError('it has a file');
    header.blobs = [fileBlobBytes + 1];
    node.size = fileBlobBytes + 1;
    await expect(decodeManifest(await encodeManifest(manifest))).rejects.toThrow('blobs that are too large');
  });
});

describe('blobs', () => {
  const large = new Uint8Array(300_000).map((_, index) => index % 251);

  it('are compressed when they aren’t known, each once', async () => {
    const first = await packBlobs([large, large, large.subarray(1)], new Set());
    expect(first.fresh.size).toBe(2);
    expect(first.hashes[0]).toBe(createHash('sha256').update(large).digest('hex'));
    const second = await packBlobs([large, large.subarray(2)], new Set(first.hashes));
    expect([...second.fresh.keys()]).toEqual([second.hashes[1]]);
  });

  it('take no more memory than they should, and are what they are called', async () => {
    const bomb = await deflate(new Uint8Array(50_000_000));
    expect(bomb.length).toBeLessThan(10_000);
    const { hashes } = await packBlobs([large], new Set());
    for (const bytes of [
      bomb,
      await deflate(large.subarray(1)),
      await deflate(large.map((byte) => byte + 1)),
    ])
      await expect(unpackBlobs(hashes, [large.length], async () => bytes)).rejects.toThrow(FormatError);
  });
});

describe('a run that is given a session', () => {
  it('goes on where the other one left off, on any host with the key', async () => {
    const settings = { sessions: { key } };
    const [one, two] = [subject(settings), subject(settings)];
    const first = await one.runtime.run('set x 1\nwrite f text', { sessionBytes: new Uint8Array() });
    expect(first.session).toBeUndefined();
    const second = await two.runtime.run('set y 2\nget x', { sessionBytes: first.sessionBytes });
    expect(second.value).toBe('1');
    const third = await one.runtime.run('all', { sessionBytes: second.sessionBytes });
    expect(third.value).toEqual({ x: '1', y: '2' });
    expect(JSON.stringify(third)).not.toContain('sessionBytes');
    // Nothing of it is kept here.
    expect(await resultOf(one.runtime.run('all'))).toEqual({});
    expect(await one.runtime.sessions()).toEqual([]);
    expect(one.runtime.stats()).toMatchObject({ residents: 0, running: 0, queued: 0, started: 3 });
  });

  it('begins a session of a name, and ends one', async () => {
    const { runtime } = subject();
    const { sessionBytes } = await runtime.run('set x 1', { sessionBytes: new Uint8Array() });
    const session = await runtime.session('a', { bytes: sessionBytes });
    expect(session.revision).toBe(1);
    expect(await resultOf(session.run('get x'))).toBe('1');
    await expect(runtime.session('a', { bytes: sessionBytes })).rejects.toMatchObject({
      code: 'session_exists',
    });
    await session.run('set x 2', { files: { f: 'text' } });
    const bytes = await session.export();
    expect(await resultOf(runtime.run('get x', { sessionBytes: bytes }))).toBe('2');
    const copy = await runtime.session('b', { bytes });
    expect(new TextDecoder().decode(await copy.files.read('f'))).toBe('text');
    const empty = await (await runtime.session('c')).export();
    expect(await resultOf(runtime.run('all', { sessionBytes: empty }))).toEqual({});
  });

  it('is told what it had when its worker is lost', async () => {
    const { runtime } = subject();
    const { sessionBytes } = await runtime.run('set x 1', { sessionBytes: new Uint8Array() });
    const lost = await runtime.run('set x 2\ncrash', { sessionBytes });
    expect(lost).toMatchObject({
      status: 'crashed',
      worker: { lost: true },
      error: { value: expect.stringMatching('as in the bytes') },
    });
    expect(lost.sessionBytes).toBeUndefined();
  });

  it('rejects what it can’t take', async () => {
    const { runtime } = subject();
    const bad = runtime.run('1', { sessionBytes: new Uint8Array(100) });
    await expect(bad).rejects.toMatchObject({ code: 'session_bytes' });
    const wrong: Promise<unknown> = Reflect.apply(runtime.run, runtime, ['1', { sessionBytes: 'x' }]);
    await expect(wrong).rejects.toThrow(TypeError);
    const { sessionBytes } = await runtime.run('set x 1', { sessionBytes: new Uint8Array(), tenant: 'a' });
    await expect(runtime.run('1', { sessionBytes })).rejects.toMatchObject({ code: 'session_bytes' });
    await expect(runtime.session('s', { bytes: sessionBytes, tenant: 'b' })).rejects.toMatchObject({
      code: 'session_bytes',
    });
    const other = runtime.run('1', { sessionBytes, tenant: 'a', image: 'data' });
    await expect(other).rejects.toMatchObject({ code: 'session_image' });
    const socket = runtime.run('socket', { sessionBytes: new Uint8Array() });
    await expect(socket).rejects.toMatchObject({ code: 'not_freezable' });
    expect(runtime.stats()).toMatchObject({ residents: 0, running: 0, queued: 0 });
    expect(await resultOf(runtime.run('all', { sessionBytes, tenant: 'a' }))).toEqual({ x: '1' });
  });

  it('waits in line, and can be interrupted there', async () => {
    const { runtime, advance } = subject();
    await runtime.warm();
    const busy = runtime.run('sleep 100');
    const run = runtime.run('set x 1', { sessionBytes: new Uint8Array() });
    await advance(1);
    run.interrupt();
    expect((await run).status).toBe('interrupted');
    await advance(100);
    expect((await busy).status).toBe('ok');
    expect((await runtime.run('1')).status).toBe('ok');
  });
});

it('doesn’t start a run that was given up while its state was thawed', async () => {
  let thaws = 0;
  const work = ({ what }: { what: string }) => (what === 'thaw' && thaws++ >= 0 ? { delayMs: 1000 } : {});
  const here = subject({ size: 1 }, { work });
  const { runtime } = here;
  const { sessionBytes } = await runtime.run('set x 1', { sessionBytes: new Uint8Array() });
  const controller = new AbortController();
  const run = runtime.run('hang', { sessionBytes, signal: controller.signal });
  await vi.waitFor(() => expect(thaws).toBe(1));
  controller.abort();
  expect((await run).status).toBe('interrupted');
  await here.advance(1000);
  await settled();
  expect(runtime.engine.workers.flatMap(({ runs }) => runs.map(({ code }) => code))).not.toContain('hang');
  expect(await resultOf(runtime.run('all'))).toEqual({});
});
