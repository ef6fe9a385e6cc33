import type { ResultMessage, RunMessage, WorkerMessage } from '../../src/protocol/messages.ts';

const mebibyte = 2 ** 20;

type Options = Partial<Omit<RunMessage, 'limits'>> & { limits?: Partial<RunMessage['limits']> };

/** A run with generous limits. */
export function runOf(code: string, { limits, ...rest }: Options = {}): RunMessage {
  return {
    kind: 'run',
    id: 'run',
    code,
    filename: '<run>',
    argv: [],
    env: {},
    stdin: '',
    globals: '["d"]',
    files: [],
    purpose: 'program',
    after: 'rewind',
    seed: null,
    figures: 'png',
    limits: {
      timeoutMs: 20_000,
      cpuMs: 0,
      memoryBytes: 256 * mebibyte,
      outputBytes: mebibyte,
      fileBytes: 10 * mebibyte,
      fileCount: 100,
      valueBytes: mebibyte,
      ...limits,
    },
    ...rest,
  };
}

export function resultOf(messages: readonly WorkerMessage[]): ResultMessage {
  const results = messages.filter((message) => message.kind === 'result');
  const [result] = results;
  if (result === undefined || results.length > 1) throw new Error(`${results.length} results`);
  return result;
}

export function outputOf(messages: readonly WorkerMessage[]): string {
  const decoder = new TextDecoder();
  return messages
    .map((message) => (message.kind === 'stdout' ? decoder.decode(message.parts[0], { stream: true }) : ''))
    .join('');
}
