import type { ImageContent, ImageInfo } from '../node.ts';
import { printable, table } from './table.ts';
import { formatBytes } from './values.ts';

const dayMs = 24 * 3_600_000;
const shownPackages = 4;

/** What people call it. */
export function labelOf({ names, id }: ImageInfo): string {
  return printable(names.join(', ') || id);
}

/** One line an image. */
export function imageTable(images: readonly ImageInfo[], now: Date): string {
  const rows = images.map((image) => {
    const { content, fileBytes, path, usedAt, state } = image;
    return [
      labelOf(image),
      content === null ? '' : summary(content),
      path === null ? '' : formatBytes(fileBytes),
      content === null ? '' : formatBytes(content.heapBytes),
      usedAt === null ? '' : ago(usedAt, now),
      state,
    ];
  });
  return table([['NAME', 'PACKAGES', 'FILE', 'HEAP', 'USED', 'STATE'], ...rows]);
}

/** All that is known of one, by name and value. */
export function imageFacts(image: ImageInfo): [string, string][] {
  const { names, path, state, problem, content, fileBytes, builtAt, usedAt } = image;
  const facts: [string, string | undefined][] = [
    ['name', names.join(', ') || image.id],
    ['state', problem === undefined ? state : `${state}: ${problem}`],
    ['path', path ?? undefined],
    ['file', path === null ? undefined : formatBytes(fileBytes)],
    ['built', builtAt?.toISOString()],
    ['used', usedAt?.toISOString().slice(0, 10)],
    ...(content === null ? [] : contentFacts(content)),
  ];
  return facts.flatMap(([name, value]) => (value === undefined || value === '' ? [] : [[name, value]]));
}

function contentFacts(content: ImageContent): [string, string][] {
  const { packages, imports, warm, files, fingerprint } = content;
  return [
    ['python', `${content.python} (Pyodide ${content.pyodide})`],
    ['packages', packages.map(({ name, version }) => `${name} ${version}`).join(', ')],
    ['imports', imports.join(', ')],
    ['warmed by', warm.join(', ')],
    ['heap', `${formatBytes(content.heapBytes)}, ${formatBytes(content.keptBytes)} of it kept`],
    ['libraries', String(content.libraries)],
    ['files', `${files.count} (${formatBytes(files.bytes)})`],
    ['open descriptors', String(content.descriptors)],
    ['kernel', fingerprint.kernelHash],
    ['lock', fingerprint.lockHash],
  ];
}

function summary({ packages, warm }: ImageContent): string {
  const names = packages.map(({ name }) => name);
  const rest = names.length - shownPackages;
  const shown = rest > 1 ? [...names.slice(0, shownPackages), `${rest} more`] : names;
  return shown.join(', ') || warm.join(', ');
}

function ago(time: Date, now: Date): string {
  const days = Math.floor((now.getTime() - time.getTime()) / dayMs);
  return days < 1 ? 'today' : days === 1 ? 'yesterday' : `${days} days ago`;
}
