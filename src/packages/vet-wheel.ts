import { InstallError } from '../errors/errors.ts';
import { readZip, type ZipEntry, ZipError } from './zip.ts';

/** Neutral code: hosts, kernels and browsers run it. */
export const wheelLimits = {
  /** The archive itself: 512 MiB. */
  maxBytes: 536_870_912,
  maxFiles: 50_000,
  /** 1 GiB. */
  maxUnpackedBytes: 1_073_741_824,
  /** Unpacked to packed, of members of more than `ratioFromBytes`. */
  maxRatio: 200,
  ratioFromBytes: 16_777_216,
  maxPathChars: 1024,
} as const;
Object.freeze(wheelLimits);

/** Modules of the runtime itself: a package must not stand in for them. */
const reserved: ReadonlySet<string> = new Set([
  'js',
  'pyodide',
  'pyodide_js',
  '_pyodide',
  '_pyodide_core',
  'vivarium',
  // Run by `site` while the interpreter boots: before anything of ours.
  'sitecustomize',
  'usercustomize',
]);

const fileType = 0o170000;
const regular = 0o100000;
const folder = 0o040000;

export interface WheelMember {
  /** Under `site-packages`. */
  path: string;
  entry: ZipEntry;
}

/**
 * What a wheel would put under `site-packages`, sorted by path, or an `InstallError` (`unsafe_wheel`) that names the
 * package and the member: paths that climb out, links and devices, bombs, members twice, stand-ins for the runtime's own
 * modules. Of a `.data` folder only `purelib` and `platlib` are installed; scripts, headers and data outside of
 * `site-packages` have no use here and are left out, as are `.pth` files, whose lines `site` would run while the interpreter boots.
 */
export function vetWheel(bytes: Uint8Array, fileName: string, packageName = ''): WheelMember[] {
  try {
    return readWheel(bytes);
  } catch (error) {
    if (!(error instanceof ZipError)) throw error;
    throw unsafe(fileName, packageName, error.message, error.member);
  }
}

export function unsafe(fileName: string, packageName: string, problem: string, member = ''): InstallError {
  const what = member === '' ? fileName : `${fileName}: ${JSON.stringify(member.slice(0, 200))}`;
  const suggestion = 'use another version of the package, or another source';
  return new InstallError(`${packageName || fileName} is not installed: ${what} ${problem}; ${suggestion}`, {
    reason: 'unsafe_wheel',
    package: packageName,
    suggestion,
    fileName,
    member,
  });
}

function readWheel(bytes: Uint8Array): WheelMember[] {
  const { maxBytes, maxFiles, maxUnpackedBytes } = wheelLimits;
  if (bytes.length > maxBytes) throw new ZipError(`has ${bytes.length} bytes, ${maxBytes} at most`);
  const members = new Map<string, WheelMember>();
  const names = new Set<string>();
  let total = 0;
  for (const entry of readZip(bytes, maxFiles)) {
    checkEntry(entry);
    total += entry.size;
    if (total > maxUnpackedBytes) {
      throw new ZipError(`would unpack to more than ${maxUnpackedBytes} bytes`, entry.name);
    }
    if (names.has(entry.name)) throw new ZipError('is there twice', entry.name);
    names.add(entry.name);
    const path = entry.name.endsWith('/') ? undefined : installedPath(entry.name);
    if (path === undefined || /^[^/]*\.pth$/i.test(path)) continue;
    // Said without its scheme a path may be another.
    if (isAbsolute(path)) throw new ZipError('is an absolute path', entry.name);
    if (members.has(path)) throw new ZipError('is there twice', entry.name);
    if (reserved.has(path.split(/[./]/, 1)[0] ?? '')) {
      throw new ZipError('would stand in for a module of the runtime', entry.name);
    }
    members.set(path, { path, entry });
  }
  checkFolders([...members.values()]);
  const sorted = [...members.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  if (!sorted.some(({ path }) => /^[^/]+\.dist-info\/METADATA$/.test(path))) {
    throw new ZipError('holds no metadata: it is no wheel');
  }
  return sorted;
}

function checkEntry({ name, size, packed, mode }: ZipEntry): void {
  if (name.length > wheelLimits.maxPathChars) throw new ZipError('has a path that is too long', name);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (/[\0-\x1f\x7f\\]/.test(name)) throw new ZipError('has a backslash or a control character', name);
  if (isAbsolute(name)) throw new ZipError('is an absolute path', name);
  if (/(^|\/)\.{1,2}(\/|$)/.test(name)) throw new ZipError('climbs out of its folder', name);
  if (name === '' || name.includes('//')) throw new ZipError('is no path', name);
  const type = mode & fileType;
  const isFolder = name.endsWith('/');
  if (type !== 0 && type !== (isFolder ? folder : regular)) throw new ZipError('is a link or a device', name);
  if (isFolder && size !== 0) throw new ZipError('is a folder with content', name);
  const { maxRatio, ratioFromBytes } = wheelLimits;
  if (size > ratioFromBytes && size > packed.length * maxRatio) {
    throw new ZipError(`unpacks to ${size} bytes, more than ${maxRatio} times of what it is`, name);
  }
}

function isAbsolute(path: string): boolean {
  return /^([A-Za-z]:|\/)/.test(path);
}

/** No file is a folder too. What lies in a folder comes right after it in this order. */
function checkFolders(members: readonly WheelMember[]): void {
  const sorted = members.toSorted((a, b) => compareByFolder(a.path, b.path));
  for (const [index, { path, entry }] of sorted.entries()) {
    const before = sorted[index - 1]?.path;
    if (before !== undefined && path.startsWith(before) && path[before.length] === '/')
      throw new ZipError('lies in a folder that is a file too', entry.name);
  }
}

/** By code units, `/` before all others. */
function compareByFolder(a: string, b: string): number {
  for (let at = 0; at < a.length && at < b.length; at++) {
    if (a[at] === b[at]) continue;
    if (a[at] === '/') return -1;
    return b[at] === '/' ? 1 : a.charCodeAt(at) - b.charCodeAt(at);
  }
  return a.length - b.length;
}

function installedPath(name: string): string | undefined {
  const [, scheme, rest] = /^[^/]+\.data\/([^/]+)\/(.+)$/.exec(name) ?? [];
  if (scheme === undefined) return /^[^/]+\.data\//.test(name) ? undefined : name;
  return scheme === 'purelib' || scheme === 'platlib' ? rest : undefined;
}

/** Modules that a wheel brings, for one whose index doesn't tell. Sorted; without what is only there for its tests. */
export function topLevelModules(members: readonly WheelMember[]): string[] {
  const modules = new Set<string>();
  for (const { path } of members) {
    // Step by step: one expression for all of it would take quadratic time for a hostile path.
    const cut = path.search(/[/.]/);
    const [top, rest] = [path.slice(0, cut), path.slice(cut)];
    if (cut > 0 && /^[A-Za-z_]\w*$/.test(top) && holdsModule(rest)) modules.add(top);
  }
  const useful = [...modules].filter((name) => !/^(tests?|docs?|examples?|benchmarks?|scripts)$/.test(name));
  return (useful.length > 0 ? useful : [...modules]).sort();
}

/** What follows a name: a path below it, or the ending of a module. */
function holdsModule(rest: string): boolean {
  if (rest.startsWith('/')) return rest.endsWith('.py') || rest.endsWith('.so');
  if (rest === '.py' || rest === '.so') return true;
  return /^\.(cpython|abi3|pyemscripten)/.test(rest) && rest.endsWith('.so') && !rest.includes('/');
}
