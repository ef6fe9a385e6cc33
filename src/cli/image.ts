import { basename } from 'node:path';
import type { ImageInfo, Images, Lock, PackageOptions } from '../node.ts';
import { imageFacts, imageTable, labelOf } from './image-report.ts';
import { readProgram } from './input.ts';
import { exitCodes, say } from './report.ts';
import type { SourceFlags } from './requirements.ts';
import { printable, table } from './table.ts';
import { formatBytes, usage } from './values.ts';
import { attend, type Desk, type Manners } from './work.ts';

export interface ImageHost extends Desk {
  openImages(options: PackageOptions): Promise<Images>;
  readRequirements(path: string): Promise<string[]>;
  readLock(path: string): Promise<Lock>;
}

export interface OutputFlags extends Manners {
  json?: boolean;
}

export interface BuildFlags extends SourceFlags, OutputFlags {
  packages: readonly string[];
  /** Requirements files. */
  requirement: readonly string[];
  recipe?: string;
  lock?: string;
  warm: readonly string[];
  import: readonly string[];
  name?: string;
}

/** Builds an image and prints its path. */
export async function buildImage(flags: BuildFlags, host: ImageHost): Promise<number> {
  const { packages, requirement, recipe, lock, name, mirror, offline, engine } = flags;
  const warm = flags.warm.map((path) => ({ filename: basename(path), code: readProgram(path) }));
  const wanted = [
    ...packages,
    ...(await Promise.all(requirement.map((path) => host.readRequirements(path)))).flat(),
  ];
  if ([wanted.length > 0, recipe !== undefined, lock !== undefined].filter(Boolean).length > 1)
    throw usage('packages, --recipe and --lock exclude one another: each says what the image holds');
  const wantedImage = {
    packages: wanted,
    recipe,
    lock: lock === undefined ? undefined : await host.readLock(lock),
    name,
    warm,
    imports: flags.import,
  };
  const images = await host.openImages({ mirror, offline, engine });
  return attend(flags, host, async (work) => {
    const { image, built } = await images.build(wantedImage, work);
    if (flags.json) print(host, { built, image });
    else {
      host.stdout.write(`${image.path}\n`);
      const did = built ? 'built' : 'there already:';
      tell(flags, host, `${did} ${labelOf(image)} (${formatBytes(image.fileBytes)})`);
    }
    return exitCodes.ok;
  });
}

export async function listImages(flags: OutputFlags, host: ImageHost): Promise<number> {
  const images = await (await host.openImages({})).list();
  if (flags.json) print(host, images);
  else if (images.length > 0) host.stdout.write(imageTable(images, new Date()));
  else tell(flags, host, 'there are no images yet: the first run builds one');
  return exitCodes.ok;
}

export async function inspectImage(reference: string, flags: OutputFlags, host: ImageHost): Promise<number> {
  const image = await (await host.openImages({})).inspect(reference);
  if (flags.json) print(host, image);
  else host.stdout.write(table(imageFacts(image)));
  return exitCodes.ok;
}

/** Fails for images that are damaged, and for those that were named and can't be used here. */
export async function verifyImages(
  references: readonly string[],
  flags: OutputFlags,
  host: ImageHost,
): Promise<number> {
  const images = await host.openImages({});
  const all = references.length > 0 ? references : (await images.list()).flatMap(({ path }) => path ?? []);
  const found: ImageInfo[] = [];
  // One after the other: each is read whole.
  for (const reference of all) found.push(await images.verify(reference));
  if (flags.json) print(host, found);
  else {
    const rows = found.map((image) => [
      image.state === 'ready' ? 'ok' : image.state,
      labelOf(image),
      image.problem ?? '',
    ]);
    host.stdout.write(table(rows));
  }
  const bad = found.some(
    ({ state }) => state === 'damaged' || (state === 'foreign' && references.length > 0),
  );
  return bad ? exitCodes.failed : exitCodes.ok;
}

export async function removeImages(
  references: readonly string[],
  flags: OutputFlags,
  host: ImageHost,
): Promise<number> {
  const images = await host.openImages({});
  let freedBytes = 0;
  for (const reference of references) {
    const bytes = await images.remove(reference);
    freedBytes += bytes;
    if (!flags.json) tell(flags, host, `removed ${printable(reference)} (${formatBytes(bytes)})`);
  }
  if (flags.json) print(host, { removed: references, freedBytes });
  return exitCodes.ok;
}

export interface PruneFlags extends OutputFlags {
  all?: boolean;
  unusedDays?: number;
}

export async function pruneImages(
  { all, unusedDays, ...flags }: PruneFlags,
  host: ImageHost,
): Promise<number> {
  const images = await host.openImages({});
  const pruned = await images.prune({
    ...(all !== undefined && { all }),
    ...(unusedDays !== undefined && { unusedDays }),
  });
  const { removed, freedBytes } = pruned;
  if (flags.json) print(host, pruned);
  else
    tell(
      flags,
      host,
      `removed ${removed.length} file${removed.length === 1 ? '' : 's'} (${formatBytes(freedBytes)})`,
    );
  return exitCodes.ok;
}

export async function exportImage(
  reference: string,
  file: string,
  flags: OutputFlags,
  host: ImageHost,
): Promise<number> {
  const images = await host.openImages({});
  return attend(flags, host, async (work) => {
    const image = await images.exportTo(reference, file, work);
    if (flags.json) print(host, { file, image });
    else tell(flags, host, `wrote ${file}: ${labelOf(image)}`);
    return exitCodes.ok;
  });
}

/** Without a name the file's own is taken. */
export async function importImage(
  file: string,
  { name, ...flags }: OutputFlags & { name?: string },
  host: ImageHost,
): Promise<number> {
  const images = await host.openImages({});
  return attend(flags, host, async (work) => {
    const own = basename(file).replace(/(\.image)?(\.zst)?$/, '');
    const image = await images.importFrom(file, name ?? own, work);
    if (flags.json) print(host, image);
    else tell(flags, host, `imported ${labelOf(image)}: run with --image ${name ?? own}`);
    return exitCodes.ok;
  });
}

function print({ stdout }: ImageHost, value: unknown): void {
  stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

function tell({ quiet }: Manners, { stderr }: ImageHost, message: string): void {
  if (!quiet) say(stderr, message);
}
