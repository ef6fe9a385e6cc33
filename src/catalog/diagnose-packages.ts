import { findAssets } from '../engines/assets.ts';
import { InstallError } from '../errors/errors.ts';
import { installedPyodide, loadDistribution } from '../packages/distribution.ts';
import { Http } from '../packages/http.ts';
import { describeMirror, micropipIndex, resolveSources, type SourceOptions } from '../packages/sources.ts';
import type { Diagnosis } from '../runtime.ts';
import { ImageFiles } from './image-files.ts';

export interface DiagnosePackagesOptions extends SourceOptions {
  cacheDir: string;
}

/** Where packages come from, and the images that there are. Asks a mirror, if there is one; nobody else. */
export async function diagnosePackages({
  cacheDir,
  ...options
}: DiagnosePackagesOptions): Promise<Diagnosis[]> {
  return (await Promise.all([diagnoseSources(options), diagnoseImages(cacheDir)])).flat();
}

async function diagnoseSources(options: SourceOptions): Promise<Diagnosis[]> {
  try {
    const sources = resolveSources(options);
    const pyodide = await installedPyodide();
    const { mirror, offline, indexUrls } = sources;
    const indexes = indexUrls.map((url) =>
      url === micropipIndex ? 'the Python package index' : new URL(url).host,
    );
    const detail = offline
      ? 'offline: the cache and a mirror folder only'
      : [...(mirror === null ? [new URL(pyodide.cdnUrl).host] : []), ...indexes].join(', ') ||
        'the mirror only';
    const row = { name: 'packages', ok: true, detail };
    if (mirror === null) return [row];
    const { packages } = await loadDistribution(sources, pyodide, new Http(sources));
    return [
      { name: 'mirror', ok: true, detail: `${describeMirror(mirror)} (${packages.size} packages)` },
      row,
    ];
  } catch (error) {
    if (!(error instanceof InstallError)) throw error;
    const fix = String(error.details.suggestion ?? '');
    return [{ name: 'mirror', ok: false, detail: error.message, ...(fix !== '' && { fix }) }];
  }
}

/** None is nothing amiss, and neither are those of other versions. */
async function diagnoseImages(cacheDir: string): Promise<Diagnosis[]> {
  const assets = await findAssets().catch(() => undefined);
  if (assets === undefined) return [];
  const images = await new ImageFiles(cacheDir, () => Promise.resolve(assets.fingerprint)).list();
  const built = images.filter(({ path }) => path !== null);
  const useless = built.filter(({ state }) => state !== 'ready').length;
  const bytes = built.reduce((sum, { fileBytes }) => sum + fileBytes, 0);
  const rest = useless === 0 ? '' : `; ${useless} of no use: vivarium image prune`;
  const detail = `${built.length} (${Math.round(bytes / 1e6)} MB)${rest}`;
  return [{ name: 'images', ok: true, detail }];
}
