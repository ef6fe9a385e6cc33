import { InstallError } from '../errors/errors.ts';
import type { FetchBudget } from '../packages/fetch-budget.ts';
import { forGuest } from '../packages/guest-message.ts';
import type { ImageSource } from '../packages/image-source.ts';
import type { InstallPolicy } from '../packages/install-policy.ts';
import { closure, type Lock, type LockedPackage } from '../packages/lock.ts';
import { normalizeName, requirementName } from '../packages/names.ts';
import type { Progress } from '../runtime.ts';
import { Catalog, type CatalogOptions } from './catalog.ts';

interface InstallContext {
  image: ImageSource;
  signal: AbortSignal;
  onProgress: (progress: Progress) => void;
  /** Of the run. */
  budget: FetchBudget;
}

interface Installation {
  packages: { name: string; version: string }[];
  wheels: Uint8Array[];
}

/** What runs may install while they run. Rejects with an `InstallError` that may be told to them; what it leaves out is its cause. */
export class PolicyInstaller implements Disposable {
  readonly #policy: InstallPolicy;
  readonly #catalog: Catalog;
  /** Knows the mirror only. */
  readonly #mirrorOnly: Catalog | undefined;
  readonly #lock: Lock | undefined;

  /** `lock`: the runtime's, when it has one. */
  constructor(policy: InstallPolicy, catalog: Catalog, options: CatalogOptions, lock: Lock | undefined) {
    this.#policy = policy;
    this.#catalog = catalog;
    this.#lock = lock;
    const { env = process.env } = options;
    if (catalog.wheels.sources.mirror !== null)
      this.#mirrorOnly = new Catalog({ ...options, env: { ...env, PIP_NO_INDEX: '1' } });
  }

  /** Its own connections; the catalog is the caller's. */
  [Symbol.dispose](): void {
    this.#mirrorOnly?.[Symbol.dispose]();
  }

  async install(requirements: readonly string[], context: InstallContext): Promise<Installation> {
    try {
      return await this.#install(requirements, context);
    } catch (error) {
      throw error instanceof InstallError ? forGuest(error, this.#catalog.wheels) : error;
    }
  }

  async #install(
    requirements: readonly string[],
    { image, signal, onProgress, budget }: InstallContext,
  ): Promise<Installation> {
    for (const requirement of requirements) refuseAddresses(requirement);
    const held = await this.#catalog.packagesIn(image);
    const present = new Map(held.map(({ name, version }) => [name, version]));
    const wanted = await this.#resolve(requirements, present, { signal, onProgress, budget });
    const other = wanted.find(({ name, version }) => (present.get(name) ?? version) !== version);
    if (other !== undefined) throw exchanged(other, present.get(other.name) ?? '');
    const missing = wanted.filter(({ name }) => !present.has(name));
    const wheels = await this.#catalog.wheels.fetch(missing, { signal, onProgress, budget });
    return {
      packages: missing.map(({ name, version }) => ({ name, version })),
      wheels: wheels.map(({ bytes }) => bytes),
    };
  }

  async #resolve(
    requirements: readonly string[],
    present: ReadonlyMap<string, string>,
    options: Omit<InstallContext, 'image'>,
  ): Promise<LockedPackage[]> {
    const locked = this.#policy === 'any' ? undefined : this.#fromLock(requirements);
    if (locked !== undefined) return locked;
    const catalog = this.#policy === 'any' ? this.#catalog : this.#mirrorOnly;
    if (this.#policy === 'never' || catalog === undefined) throw this.#refusal(requirements);
    try {
      const { packages } = await catalog.lock(requirements, options);
      // What the image holds can't be exchanged any more.
      const others = packages.filter(({ name, version }) => (present.get(name) ?? version) !== version);
      if (others.length === 0) return packages;
      const fixed = others.map(({ name }) => `${name}==${present.get(name)}`);
      const fitting = await catalog.lock([...requirements, ...fixed], options).catch((error: unknown) => {
        if (isUnmet(error)) return undefined;
        throw error;
      });
      return fitting?.packages ?? packages;
    } catch (error) {
      // It may well be where this policy doesn't look.
      const isElsewhere =
        this.#policy === 'locked' &&
        error instanceof InstallError &&
        error.reason === 'not_found' &&
        error.details.suggestion === '';
      throw isElsewhere ? this.#refusal(requirements, error) : error;
    }
  }

  /** The lock says which version; a requirement may only agree. */
  #fromLock(requirements: readonly string[]): LockedPackage[] | undefined {
    const lock = this.#lock;
    if (lock === undefined || this.#policy === 'never') return undefined;
    const names = requirements.map((requirement) => normalizeName(requirementName(requirement) ?? ''));
    const exact = requirements.every((requirement, index) => {
      const found = lock.packages.find(({ name }) => name === names[index]);
      const version = /^[^=<>!~;[]+==\s*([^\s;,]+)\s*$/.exec(requirement)?.[1];
      const plain = version !== undefined || /^[\w.-]+\s*$/.test(requirement);
      return found !== undefined && plain && (version === undefined || version === found.version);
    });
    return exact ? closure(lock, names) : undefined;
  }

  #refusal(requirements: readonly string[], cause?: InstallError): InstallError {
    const asked = requirementName(requirements[0] ?? '') ?? requirements[0] ?? '';
    const name = String(cause?.details.package || asked);
    const [why, suggestion] =
      this.#policy === 'never'
        ? [
            'installing is switched off here',
            `freeze it into the image: --with ${name}, packages: ['${name}']`,
          ]
        : [
            'only what the lock or the mirror holds may be installed here, and neither does',
            `freeze it into the image (--with ${name}, packages: ['${name}']), or allow it with --install any, install: 'any'`,
          ];
    const failure = { reason: 'not_allowed', package: name, suggestion } as const;
    return new InstallError(`${name} can't be installed: ${why}; ${suggestion}.`, failure, cause);
  }
}

function isUnmet(error: unknown): boolean {
  return error instanceof InstallError && ['conflict', 'not_found', 'no_wheel'].includes(error.reason);
}

function exchanged({ name, version }: LockedPackage, present: string): InstallError {
  const suggestion = `freeze what the run needs into its image: --with ${name}==${version}, packages: ['${name}==${version}']`;
  return new InstallError(
    `${name} ${version} can't be installed: the image holds ${name} ${present}, which can't be exchanged; ${suggestion}.`,
    { reason: 'conflict', package: name, suggestion },
  );
}

/** Code that isn't trusted must not have the host fetch from where it likes. */
function refuseAddresses(requirement: string): void {
  if (!requirement.includes('@') && !requirement.includes('://')) return;
  const suggestion = 'name the package, and let the operator choose where it comes from';
  throw new InstallError(`${requirement} names an address: ${suggestion}.`, {
    reason: 'not_allowed',
    package: requirementName(requirement) ?? '',
    suggestion,
  });
}
