import type { RichResult } from '../runtime.ts';

type Stream = 'stdout' | 'stderr';
type Decoder = InstanceType<typeof TextDecoder>;

/** What a run has shown so far. Bytes are decoded as they come; a character cut between two chunks stays whole. */
export class OutputCollector {
  readonly stdout: string[] = [];
  readonly stderr: string[] = [];
  readonly displays: RichResult[] = [];
  /** Bytes of everything together, as the worker sent it. */
  bytes = 0;
  readonly #decoders: { stdout?: Decoder; stderr?: Decoder } = {};

  write(stream: Stream, data: Uint8Array): string {
    this.bytes += data.byteLength;
    this.#decoders[stream] ??= new TextDecoder('utf-8', { ignoreBOM: true });
    const text = this.#decoders[stream].decode(data, { stream: true });
    if (text !== '') this[stream].push(text);
    return text;
  }

  display(shown: Omit<RichResult, 'isMainResult'>): RichResult {
    for (const text of Object.values(shown.data)) this.bytes += text.length;
    const result = { data: shown.data, metadata: shown.metadata, isMainResult: false };
    this.displays.push(result);
    return result;
  }

  /** Nothing more comes: a character that was never finished becomes U+FFFD. */
  end(): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      const rest = this.#decoders[stream]?.decode();
      if (rest) this[stream].push(rest);
    }
  }
}
