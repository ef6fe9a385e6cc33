/** Wheels of Pyodide's distribution, for tests only: the product must not know where they are. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { unzipSync } from 'fflate';

const candidates = [
  process.env.VIVARIUM_TEST_WHEELS,
  fileURLToPath(new URL('../../shared/wheels', import.meta.url)),
];

/** The folder with the wheels, or undefined where there is none. */
export const wheelFolder: string | undefined = candidates.find(
  (path) => path !== undefined && path !== '' && existsSync(path),
);

/** The files of a package, without its tests, by path under `site-packages`. */
export async function wheelFiles(name: string): Promise<Map<string, Uint8Array>> {
  const file = (await readdir(wheelFolder ?? '')).find((one) => one.startsWith(`${name}-`));
  if (file === undefined) throw new Error(`no wheel of ${name} in ${wheelFolder}`);
  const unzipped = unzipSync(await readFile(`${wheelFolder}/${file}`));
  return new Map(
    Object.entries(unzipped).filter(([path]) => !path.endsWith('/') && !/(^|\/)tests\//.test(path)),
  );
}
