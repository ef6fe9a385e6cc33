/** Zip archives with anything in them, right or wrong: `fflate` makes only right ones. */

export interface Member {
  name: string;
  content: Uint8Array;
  /** Default 0: `content` as it is. */
  method?: number;
  mode?: number;
  /** What the central directory claims, where that isn't so. */
  localName?: string | undefined;
  size?: number | undefined;
  packedSize?: number | undefined;
  offset?: number | undefined;
  extra?: Uint8Array;
}

interface Lies {
  before?: Uint8Array;
  comment?: Uint8Array;
  /** Bytes between the members. */
  gap?: number;
}

export function archive(list: readonly Member[], lies: Lies = {}): Uint8Array {
  const { before = new Uint8Array(), comment = new Uint8Array(), gap = 0 } = lies;
  const locals: Uint8Array[] = [before];
  const records: Uint8Array[] = [];
  let at = before.length;
  for (const member of list) {
    const { content, method = 0, mode = 0, extra = new Uint8Array() } = member;
    const name = Buffer.from(member.name);
    const localName = Buffer.from(member.localName ?? member.name);
    const sizes = [0, member.packedSize ?? content.length, member.size ?? content.length];
    const common = [
      [20, 2],
      [0x800, 2],
      [method, 2],
      [0, 4],
      ...sizes.map((size): Field => [size, 4]),
    ] as Field[];
    const offset = member.offset ?? at;
    const local = Buffer.concat([
      fields([0x04034b50, 4], ...common, [localName.length, 2], [0, 2]),
      localName,
      content,
      Buffer.alloc(gap),
    ]);
    locals.push(local);
    at += local.length;
    const record = fields(
      [0x02014b50, 4],
      [0x0314, 2],
      ...common,
      [name.length, 2],
      [extra.length, 2],
      [0, 2],
      [0, 2],
      [0, 2],
      [mode * 65536, 4],
      [offset, 4],
    );
    records.push(Buffer.concat([record, name, extra]));
  }
  const directory = Buffer.concat(records);
  const end = fields(
    [0x06054b50, 4],
    [0, 4],
    [list.length, 2],
    [list.length, 2],
    [directory.length, 4],
    [at, 4],
    [comment.length, 2],
  );
  return Buffer.concat([...locals, directory, end, comment]);
}

type Field = [value: number, bytes: 2 | 4];

function fields(...list: Field[]): Uint8Array {
  return Buffer.concat(
    list.map(([value, bytes]) => {
      const field = Buffer.alloc(4);
      field.writeUInt32LE(value >>> 0);
      return field.subarray(0, bytes);
    }),
  );
}

/** The members of an archive that is about right, still packed; else undefined. */
export function members(bytes: Uint8Array): Member[] | undefined {
  const buffer = Buffer.from(bytes);
  const list: Member[] = [];
  let at = buffer.indexOf('PK\x01\x02', 0, 'latin1');
  for (
    ;
    at !== -1 && at + 46 <= buffer.length && list.length < 50;
    at = buffer.indexOf('PK\x01\x02', at + 46, 'latin1')
  ) {
    const offset = buffer.readUInt32LE(at + 42);
    const packed = buffer.readUInt32LE(at + 20);
    if (offset + 30 > buffer.length) continue;
    const start = offset + 30 + buffer.readUInt16LE(offset + 26) + buffer.readUInt16LE(offset + 28);
    const content = new Uint8Array(buffer.subarray(start, start + Math.min(packed, 100_000)));
    const nameEnd = at + 46 + buffer.readUInt16LE(at + 28);
    list.push({
      name: buffer.subarray(at + 46, nameEnd).toString(),
      content,
      method: buffer.readUInt16LE(at + 10),
      mode: buffer.readUInt16LE(at + 40),
      size: buffer.readUInt32LE(at + 24),
    });
  }
  return list.length === 0 ? undefined : list;
}
