/** V8's own counts of which blocks of a thread's scripts ran, as feedback: no instrumented copy is needed. */
import { readFileSync } from 'node:fs';
import { type Profiler, Session } from 'node:inspector';
import { fileURLToPath } from 'node:url';

/** A bit of this stands for each power of two that a block's count reached in one input. */
const bucketOf = (count: number): number =>
  count === 0 ? 0 : 1 << Math.min(7, Math.floor(Math.log2(count)));

/** By place in the script's text, as V8 merges neighbouring blocks of equal counts into one. */
class Script {
  /** Bits of the buckets seen. */
  readonly seen: Uint8Array;
  /** Of the present sample. */
  readonly counts: Uint8Array;
  from = Number.POSITIVE_INFINITY;
  to = 0;

  constructor(length: number) {
    this.seen = new Uint8Array(length);
    this.counts = new Uint8Array(length);
  }
}

export class Coverage {
  readonly #session = new Session();
  readonly #scripts = new Map<string, Script | null>();
  readonly #wanted: (url: string) => boolean;

  /** Of scripts with such a URL. Start it before they are loaded. */
  constructor(wanted: (url: string) => boolean) {
    this.#wanted = wanted;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /**
   * Whether anything new ran since the last call. With `counts` a block that ran more often than in any input before is
   * new too: then it must have been one input. `keep: false` only asks.
   */
  news({ counts = false, keep = true }: { counts?: boolean; keep?: boolean } = {}): boolean {
    const touched = new Set<Script>();
    for (const { url, functions } of this.#take()) {
      const script = this.#script(url);
      if (script === null) continue;
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          const bits = counts || count === 0 ? bucketOf(count) : 1;
          script.counts.fill(bits, startOffset, endOffset);
          script.from = Math.min(script.from, startOffset);
          script.to = Math.max(script.to, endOffset);
        }
      }
      touched.add(script);
    }
    let found = false;
    for (const script of touched) found = merge(script, counts, keep) || found;
    return found;
  }

  /** Percent of the text of these scripts that ran, comments and types included where they lie in code that did. */
  percent(sources: readonly string[]): number {
    let all = 0;
    let ran = 0;
    for (const source of sources) {
      const [, script] = [...this.#scripts].find(([url]) => url.endsWith(`/src/${source}`)) ?? [];
      if (!script) continue;
      all += script.seen.length;
      for (const bits of script.seen) if (bits !== 0) ran += 1;
    }
    return all === 0 ? 0 : (100 * ran) / all;
  }

  #take(): Profiler.ScriptCoverage[] {
    let taken: Profiler.ScriptCoverage[] = [];
    // The answer comes before `post` returns, as the session is this thread's own.
    this.#session.post('Profiler.takePreciseCoverage', (error, result) => {
      if (error) throw error;
      taken = result.result;
    });
    return taken;
  }

  #script(url: string): Script | null {
    let script = this.#scripts.get(url);
    if (script === undefined) {
      const path = this.#wanted(url) && url.startsWith('file:') ? fileURLToPath(url) : undefined;
      script = path === undefined ? null : new Script(readFileSync(path, 'utf8').length);
      this.#scripts.set(url, script);
    }
    return script;
  }
}

function merge(script: Script, counts: boolean, keep: boolean): boolean {
  const { seen, counts: bits, from, to } = script;
  let found = false;
  for (let at = from; at < to; at++) {
    const known = seen[at] ?? 0;
    const bit = bits[at] ?? 0;
    if (bit === 0 || (counts ? (known & bit) !== 0 : known !== 0)) continue;
    found = true;
    if (keep) seen[at] = known | bit;
  }
  bits.fill(0, from, to);
  script.from = Number.POSITIVE_INFINITY;
  script.to = 0;
  return found;
}
