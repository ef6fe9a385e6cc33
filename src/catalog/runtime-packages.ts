import type { Engine } from '../engines/engine.ts';
import { defaultCacheDir } from '../engines/image-cache.ts';
import { type ImageSource, stdlibImage } from '../packages/image-source.ts';
import type { InstallPolicy } from '../packages/install-policy.ts';
import { Catalog, type CatalogOptions, type FindOptions } from './catalog.ts';
import { PolicyInstaller } from './installer.ts';
import { lockText } from './package-tools.ts';

export interface RuntimePackageOptions {
  image: boolean | string;
  packages: readonly string[] | undefined;
  lock: string | undefined;
  mirror: string | undefined;
  offline: boolean;
  install: InstallPolicy;
  cacheDir: string | undefined;
}

export interface RuntimePackages extends AsyncDisposable {
  catalog: Catalog;
  installer: Pick<PolicyInstaller, 'install'>;
  /** The runtime's own image. Rejects with `InstallError`. */
  own(options?: FindOptions): Promise<ImageSource>;
}

/** All that a runtime has to do with packages. Throws `InstallError` when the sources are set wrongly. */
export function createRuntimePackages(options: RuntimePackageOptions, engine: Engine): RuntimePackages {
  const { image, packages, lock, mirror, offline, install, cacheDir = defaultCacheDir() } = options;
  const catalogOptions: CatalogOptions = { cacheDir, mirror, offline, engine: () => Promise.resolve(engine) };
  const catalog = new Catalog(catalogOptions);
  const find = async (findOptions: FindOptions): Promise<ImageSource> => {
    if (lock !== undefined) return catalog.findLocked(await lockText(lock), lock);
    if (packages !== undefined) return catalog.find({ packages }, findOptions);
    return typeof image === 'string' ? catalog.find({ image }, findOptions) : stdlibImage;
  };
  let found: Promise<ImageSource> | undefined;
  const own = (findOptions: FindOptions = {}): Promise<ImageSource> => {
    found ??= find(findOptions);
    return found;
  };
  let installer: Promise<PolicyInstaller> | undefined;
  const makeInstaller = async (): Promise<PolicyInstaller> =>
    new PolicyInstaller(install, catalog, catalogOptions, catalog.definitionOf(await own())?.lock);
  return {
    catalog,
    own,
    installer: {
      async install(requirements, context) {
        installer ??= makeInstaller();
        return (await installer).install(requirements, context);
      },
    },
    async [Symbol.asyncDispose]() {
      catalog[Symbol.dispose]();
      (await installer?.catch(() => undefined))?.[Symbol.dispose]();
    },
  };
}
