/**
 * Faults of all kinds at once, under load, by a seed. 20 seeds; `VIVARIUM_FAULT_SEEDS=200` for as many, `VIVARIUM_FAULT_SEED=7` for
 * one of them again.
 */
import { chmodSync, copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { median } from '../../bench/stats.ts';
import { imageIn, makeFolders } from './folders.ts';
import { underOracle } from './oracle.ts';
import { residentBytesOf } from './processes.ts';
import { makeProxiedDeno } from './proxied-deno.ts';
import { carryOut, DenoLink, mendImage, planOf, type Stage } from './schedule.ts';

const only = process.env.VIVARIUM_FAULT_SEED;
const count = Number(process.env.VIVARIUM_FAULT_SEEDS ?? 20);
const seeds = only === undefined ? Array.from({ length: count }, (_, index) => index + 1) : [Number(only)];

const folders = await makeFolders();
let stage: Stage;
let pristine: string;
const resident: number[] = [];
let struck = 0;

beforeAll(async () => {
  const broken = join(folders.own, 'broken');
  writeFileSync(broken, '#!/bin/sh\nexit 7\n');
  chmodSync(broken, 0o755);
  const proxied = {
    'flipped bits': makeProxiedDeno(folders, 'flipped bits'),
    'no token': makeProxiedDeno(folders, 'no token'),
    'half a result, then dead': makeProxiedDeno(folders, 'half a result, then dead'),
    'half a result, then silence': makeProxiedDeno(folders, 'half a result, then silence'),
  };
  const deno = new DenoLink(join(folders.own, 'deno'));
  vi.stubEnv('VIVARIUM_DENO', deno.path);
  stage = { deno, broken, proxied, image: await imageIn(folders.cache) };
  pristine = join(folders.own, 'pristine.image');
  copyFileSync(stage.image, pristine);
});

it.each(seeds)('seed %i', async (seed) => {
  const plan = planOf(seed);
  mendImage(stage.image, pristine);
  try {
    await underOracle(folders, { size: 2, killGraceMs: 300, healthCheckTimeoutMs: 1000 }, async (oracle) => {
      struck += await carryOut(plan, oracle, stage);
    });
  } catch (error) {
    console.error(`replay it by VIVARIUM_FAULT_SEED=${seed}: ${JSON.stringify(plan.faults)}`);
    throw error;
  }
  resident.push(residentBytesOf(process.pid));
});

it.skipIf(only !== undefined)('the faults struck, and the host is not larger for it', () => {
  expect(struck).toBeGreaterThan(2 * seeds.length);
  const quarter = Math.floor(resident.length / 4);
  const grown = median(resident.slice(-quarter)) - median(resident.slice(quarter, 2 * quarter));
  expect(grown).toBeLessThan(64 * 2 ** 20);
});

afterAll(() => vi.unstubAllEnvs());
