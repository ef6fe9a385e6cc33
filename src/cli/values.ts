import { UsageError } from '../errors/errors.ts';

const durations: Record<string, number> = { ms: 1, s: 1000, m: 60_000 };
const sizes: Record<string, number> = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/** `30`, `1.5s`, `500ms`, `2m` → milliseconds. A bare number is seconds. */
export function parseDuration(text: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|m)?$/i.exec(text.trim()) ?? [];
  const ms = Math.round(Number(amount) * (durations[unit?.toLowerCase() ?? 's'] ?? 0));
  if (amount === undefined || ms < 1) throw usage(`not a duration: ${text} (30, 1.5s, 500ms, 2m)`);
  return ms;
}

/** `512mb`, `64k`, `1.5GiB` → bytes. The unit is needed: nobody means 512 bytes. */
export function parseSize(text: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*([kmg])(?:i?b)?$/i.exec(text.trim()) ?? [];
  const bytes = Math.round(Number(amount) * (sizes[unit?.toLowerCase() ?? ''] ?? 0));
  if (amount === undefined || bytes < 1) throw usage(`not a size: ${text} (512mb, 1gb)`);
  return bytes;
}

export function parseEnv(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw usage(`not NAME=value: ${pair}`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

export function usage(message: string): UsageError {
  return new UsageError('usage', message);
}

/** `1536` → `1.5 kB`; exact below 1000 bytes. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  const unit = bytes < 1e6 ? 'kB' : bytes < 1e9 ? 'MB' : 'GB';
  const amount = bytes / { kB: 1e3, MB: 1e6, GB: 1e9 }[unit];
  return `${amount < 100 ? amount.toFixed(1) : Math.round(amount)} ${unit}`;
}
