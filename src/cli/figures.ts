import type { Execution, OutputFile, RichResult } from '../runtime.ts';

/** The best first. */
const kinds: readonly (readonly [mimeType: string, ending: string])[] = [
  ['image/png', 'png'],
  ['image/jpeg', 'jpg'],
  ['image/svg+xml', 'svg'],
];

function pictureKind(data: RichResult['data']): (typeof kinds)[number] | undefined {
  return kinds.find(([mimeType]) => data[mimeType] !== undefined);
}

export function isPicture({ data }: RichResult): boolean {
  return pictureKind(data) !== undefined;
}

/** Figures and other pictures that a run showed, as files: `figure-1.png`, `figure-2.png`, …, but for names that are taken. */
export function pictureFiles(
  { results, files }: Execution,
  isTaken: (path: string) => boolean = () => false,
): OutputFile[] {
  const taken = new Set(files.map(({ path }) => path));
  const pictures: OutputFile[] = [];
  let number = 0;
  for (const { data } of results) {
    const [mimeType, ending] = pictureKind(data) ?? [];
    if (mimeType === undefined || ending === undefined) continue;
    const bytes = Buffer.from(data[mimeType] ?? '', ending === 'svg' ? 'utf8' : 'base64');
    let path: string;
    do path = `figure-${++number}.${ending}`;
    while (taken.has(path) || isTaken(path));
    pictures.push({ id: path, path, mimeType, size: bytes.length, bytes });
  }
  return pictures;
}
