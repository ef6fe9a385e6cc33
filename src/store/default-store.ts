import { join } from 'node:path';
import envPaths from 'env-paths';

/** A folder among the user's data, as the platform has it. */
export function defaultStore(): string {
  return join(envPaths('vivarium', { suffix: '' }).data, 'sessions');
}
