/**
 * Many small jobs on one warm pool: each begins in a clean interpreter that has numpy already.
 *
 * npm run build && node examples/numpy-pool.ts
 */
import { createRuntime } from 'vivarium/node';

const fit = `
import numpy as np

slope, offset = np.polyfit(np.arange(len(series)), series, 1)
{"slope": round(float(slope), 3), "offset": round(float(offset), 3)}
`;

await using runtime = await createRuntime({ image: 'numpy', size: 2 });

const jobs = Array.from({ length: 8 }, (_, job) =>
  Float64Array.from({ length: 1000 }, (_, x) => job * x + 10 * Math.sin(x)),
);
const results = await Promise.all(jobs.map((series) => runtime.run(fit, { globals: { series } })));
for (const [job, execution] of results.entries()) {
  console.log(`job ${job}`, execution.unwrap(), `${execution.timings.totalMs.toFixed(1)} ms`);
}
