/**
 * Reads an archive's central directory, strictly: one reader for vetting and for unpacking, so that both see the same
 * members. Refuses what wheels don't need: several disks, zip64, encryption, other methods than deflate.
 */

export interface ZipEntry {
  /** As written; a folder's ends in `/`. */
  name: string;
  /** Unpacked bytes, as declared. */
  size: number;
  packed: Uint8Array;
  deflated: boolean;
  /** Unix mode, or 0 where none was noted. */
  mode: number;
}

/** What is wrong with an archive. `member` is empty when it is the whole. */
export class ZipError extends Error {
  override readonly name = 'ZipError';
  readonly member: string;

  constructor(problem: string, member = '') {
    super(problem);
    this.member = member;
  }
}

const endBytes = 22;
const headerBytes = 46;
const localBytes = 30;
const maxCommentBytes = 0xffff;
const encrypted = 0x0041;

/** In the order of the central directory. Throws `ZipError`. */
export function readZip(bytes: Uint8Array, maxEntries: number): ZipEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = findEnd(view);
  const count = view.getUint16(end + 10, true);
  const length = view.getUint32(end + 12, true);
  const start = view.getUint32(end + 16, true);
  if (view.getUint32(end + 4, true) !== 0 || view.getUint16(end + 8, true) !== count) {
    throw new ZipError('is in several parts');
  }
  if (count === 0xffff || start + length !== end)
    throw new ZipError('is damaged, or larger than a wheel may be');
  if (count > maxEntries) throw new ZipError(`has ${count} members, ${maxEntries} at most`);

  const entries: ZipEntry[] = [];
  const ranges: { from: number; to: number; name: string }[] = [];
  let at = start;
  for (let index = 0; index < count; index++) {
    if (at + headerBytes > end || view.getUint32(at, true) !== 0x02014b50) throw new ZipError('is damaged');
    const nameLength = view.getUint16(at + 28, true);
    const next =
      at + headerBytes + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    if (next > end) throw new ZipError('is damaged');
    const rawName = bytes.subarray(at + headerBytes, at + headerBytes + nameLength);
    const name = decode(rawName);
    if ((view.getUint16(at + 8, true) & encrypted) !== 0) throw new ZipError('is encrypted', name);
    const method = view.getUint16(at + 10, true);
    if (method !== 0 && method !== 8) throw new ZipError(`is packed by an unknown method (${method})`, name);
    const packedSize = view.getUint32(at + 20, true);
    const size = view.getUint32(at + 24, true);
    const offset = view.getUint32(at + 42, true);
    const from = dataOffset(view, bytes, offset, rawName, name);
    if (from + packedSize > start) throw new ZipError('lies outside of the archive', name);
    if (method === 0 && size !== packedSize) throw new ZipError('has two sizes', name);
    entries.push({
      name,
      size,
      packed: bytes.subarray(from, from + packedSize),
      deflated: method === 8,
      mode: view.getUint32(at + 38, true) >>> 16,
    });
    ranges.push({ from: offset, to: from + packedSize, name });
    at = next;
  }
  if (at !== end) throw new ZipError('is damaged');
  ranges.sort((a, b) => a.from - b.from);
  for (const [index, { from, name }] of ranges.entries()) {
    if (from < (ranges[index - 1]?.to ?? 0)) throw new ZipError('overlaps another member', name);
  }
  return entries;
}

/** The end record is the last one whose comment ends with the file. */
function findEnd(view: DataView): number {
  const last = view.byteLength - endBytes;
  for (let at = last; at >= Math.max(0, last - maxCommentBytes); at--) {
    if (view.getUint32(at, true) === 0x06054b50 && view.getUint16(at + 20, true) === last - at) return at;
  }
  throw new ZipError('is no whole archive: it may have been cut off');
}

function dataOffset(
  view: DataView,
  bytes: Uint8Array,
  offset: number,
  rawName: Uint8Array,
  name: string,
): number {
  if (offset + localBytes > bytes.length || view.getUint32(offset, true) !== 0x04034b50) {
    throw new ZipError('lies outside of the archive', name);
  }
  const nameLength = view.getUint16(offset + 26, true);
  const nameStart = offset + localBytes;
  const localName = bytes.subarray(nameStart, nameStart + nameLength);
  if (nameLength !== rawName.length || !rawName.every((byte, index) => byte === localName[index])) {
    throw new ZipError('has two names', name);
  }
  return nameStart + nameLength + view.getUint16(offset + 28, true);
}

function decode(raw: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw);
  } catch {
    throw new ZipError('has a name that is not UTF-8', new TextDecoder().decode(raw));
  }
}
