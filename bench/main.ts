import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { assertAnonymous, machine } from './machine.ts';
import {
  coldPackages,
  firstCall,
  imageBuilds,
  packageLatency,
  packageMemory,
  packageReplacement,
  packageThroughput,
} from './packages.ts';
import { table, writeSection } from './report.ts';
import { type Report, Results } from './result.ts';
import { rewindTime, rewindTimeOfPackages } from './rewind.ts';
import { coldCommandLine, latency, replacement, residentMemory, throughput } from './scenarios.ts';

const scenarios = {
  cold: coldCommandLine,
  latency,
  rewind: rewindTime,
  throughput,
  replacement,
  memory: residentMemory,
  'packages-cold': coldPackages,
  'packages-latency': packageLatency,
  'packages-rewind': rewindTimeOfPackages,
  'packages-first': firstCall,
  'packages-replacement': packageReplacement,
  'packages-throughput': packageThroughput,
  'packages-build': imageBuilds,
  'packages-memory': packageMemory,
};

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    /** Renders the table of a kept result into the docs again. */
    render: { type: 'string' },
  },
});

async function measure(quick: boolean, only: string | undefined): Promise<Report> {
  const results = new Results();
  const chosen = Object.entries(scenarios).filter(([name]) => only === undefined || name === only);
  if (chosen.length === 0) throw new TypeError(`--only takes one of: ${Object.keys(scenarios).join(', ')}`);
  for (const [name, scenario] of chosen) {
    console.error(`measuring: ${name}`);
    await scenario({ results, quick });
  }
  return {
    format: 1,
    date: new Date().toISOString().slice(0, 10),
    quick,
    machine: machine(),
    pids: { main: process.pid, workers: [...results.workerPids] },
    rows: results.rows(),
    skipped: results.skipped,
  };
}

if (values.render !== undefined) {
  writeSection('bench', table(JSON.parse(readFileSync(values.render, 'utf8'))));
} else {
  const report = await measure(values.quick, values.only);
  console.log(table(report));
  // Only a whole run is worth keeping.
  if (!values.quick && values.only === undefined) {
    const json = `${JSON.stringify(report)}\n`;
    assertAnonymous(json);
    const folder = new URL('results/', import.meta.url);
    mkdirSync(folder, { recursive: true });
    writeFileSync(new URL(`${report.date}.json`, folder), json);
    writeSection('bench', table(report));
  }
}
