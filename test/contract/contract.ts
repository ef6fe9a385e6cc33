import { afterAll, beforeAll, describe } from 'vitest';
import type { Runtime } from '../../src/runtime.ts';
import { asyncio } from './asyncio.ts';
import { display } from './display.ts';
import { errors } from './errors.ts';
import { files } from './files.ts';
import { input } from './input.ts';
import { isolation } from './isolation.ts';
import { javascript } from './javascript.ts';
import { limits } from './limits.ts';
import { output } from './output.ts';
import { record } from './record.ts';
import { rewind } from './rewind.ts';
import type { MakeRuntime, Subject } from './subject.ts';
import { values } from './values.ts';

/** For both bindings: room to queue many runs on one worker, and quick ends. */
export const defaults = { maxQueue: 100, killGraceMs: 500, healthCheckIntervalMs: 0 };

const allThemes = [
  values,
  input,
  output,
  display,
  errors,
  files,
  asyncio,
  record,
  limits,
  rewind,
  isolation,
  javascript,
];

/** Every case that an engine must pass. A binding file names the engine and says how to make a runtime on it. */
export function contract(engine: string, make: MakeRuntime, themes: readonly Theme[] = allThemes): void {
  describe(`${engine} engine`, () => {
    let shared: Runtime | undefined;
    beforeAll(async () => {
      shared = await make({ size: 1 });
      await shared.warm();
    });
    afterAll(() => shared?.close());

    const subject: Subject = {
      engine,
      make,
      get runtime() {
        if (shared === undefined) throw new Error('the runtime is made before the cases run');
        return shared;
      },
      run: (code, options) => subject.runtime.run(code, options),
    };
    for (const theme of themes) {
      describe(theme.name, () => theme(subject));
    }
  });
}

type Theme = (subject: Subject) => void;
