/** A process of its own that fetches one wheel and prints its hash: `cacheDir wheel`. */
import { resolveSources } from '../../src/packages/sources.ts';
import { sha256Of, WheelCache } from '../../src/packages/wheel-cache.ts';

const [cacheDir = '', wheel = ''] = process.argv.slice(2);
const [found] = await new WheelCache({ cacheDir, sources: resolveSources() }).fetch([JSON.parse(wheel)]);
if (found !== undefined) process.stdout.write(sha256Of(found.bytes));
