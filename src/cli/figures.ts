import type { Execution, OutputFile } from '../runtime.ts';

/** The best first. */
const kinds: readonly (readonly [mimeType: string, ending: string])[] = [
  ['image/png', 'png'],
  ['image/jpeg', 'jpg'],
  ['image/svg+xml', 'svg'],
];

/** Figures and other pictures that a run showed, as files: `figure-1.png`, `figure-2.png`, … */
export function pictureFiles({ results, files }: Execution): OutputFile[] {
  const taken = new Set(files.map(({ path }) => path));
  const pictures: OutputFile[] = [];
  let number = 0;
  for (const { data } of results) {
    const kind = kinds.find(([mimeType]) => data[mimeType] !== undefined);
    if (kind === undefined) continue;
    const [mimeType, ending] = kind;
    const bytes = Buffer.from(data[mimeType] ?? '', ending === 'svg' ? 'utf8' : 'base64');
    let path: string;
    do path = `figure-${++number}.${ending}`;
    while (taken.has(path));
    pictures.push({ id: path, path, mimeType, size: bytes.length, bytes });
  }
  return pictures;
}
