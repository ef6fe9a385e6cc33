import type {
  AnswerMessage,
  BuildPackages,
  Question,
  RunMessage,
  WorkerMessage,
} from '../protocol/messages.ts';
import { parseWorkerMessage } from '../protocol/parse.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import { ChannelError, encodeHarnessFrame, type HarnessFrame, HarnessReader } from './channel.ts';
import type { Output } from './output.ts';

/** What the harness may add to a value and its displays: error, text, envelope. */
const frameSlackBytes = 4 * 1024 * 1024;

/** What a display counts for beside its data, so that empty ones are bounded too. */
const displayBytes = 64;

/** Bytes handed out in order. */
class Source {
  #bytes: Uint8Array = new Uint8Array();
  #offset = 0;

  set(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#offset = 0;
  }

  take(length: number): Uint8Array {
    const chunk = this.#bytes.subarray(this.#offset, this.#offset + length);
    this.#offset += chunk.length;
    return chunk;
  }
}

export interface StreamHooks {
  post(message: WorkerMessage): void;
  /** Has the host do something, and blocks until it's done. */
  ask(id: string, question: Question): Pick<AnswerMessage, 'error' | 'body'> & { parts: Uint8Array[] };
  /** Of a build. */
  progress(message: string): void;
}

/** What one run reads from and writes to the kernel. */
export class RunStreams {
  readonly stdin = new Source();
  readonly request = new Source();
  readonly reader: HarnessReader;
  readonly #output: Output;
  readonly #hooks: StreamHooks;
  #id = '';
  #building = false;
  #result: HarnessFrame | undefined;

  constructor(output: Output, hooks: StreamHooks) {
    this.#output = output;
    this.#hooks = hooks;
    this.reader = new HarnessReader((frame) => this.#onFrame(frame));
  }

  /** What the harness does when it boots; its result is `{failure}`. */
  beginBuild({ imports, warm }: Pick<BuildPackages, 'imports' | 'warm'>): void {
    this.#id = 'build';
    this.#building = true;
    this.reader.begin(frameSlackBytes);
    this.request.set(encodeHarnessFrame({ imports, warm }, []));
  }

  /** What the harness does before a session is frozen; its result is `{cancelled, left}`. */
  beginTasks(policy: 'cancel' | 'refuse'): void {
    this.#id = 'freeze';
    this.#building = false;
    this.#result = undefined;
    this.reader.begin(frameSlackBytes);
    this.request.set(encodeHarnessFrame({ tasks: policy }, []));
  }

  /** `env`: the kernel's own. `resumed`: a session's state was thawed, and no run has seen it since. */
  begin(message: RunMessage, env: Record<string, string>, resumed: boolean): void {
    const { limits, after } = message;
    this.#id = message.id;
    this.#building = false;
    this.#result = undefined;
    this.stdin.set(new TextEncoder().encode(message.stdin));
    this.reader.begin(limits.valueBytes + limits.outputBytes + frameSlackBytes);
    const request = {
      purpose: message.purpose,
      code: message.code,
      filename: message.filename,
      argv: message.argv,
      baseEnv: env,
      env: message.env,
      globals: JSON.parse(message.globals),
      seed: message.seed,
      figures: message.figures,
      valueBytes: limits.valueBytes,
      keep: after === 'none',
      hold: after === 'hold',
      resumed,
    };
    this.request.set(encodeHarnessFrame(request, message.parts ?? []));
  }

  takeResult(): HarnessFrame {
    const result = this.#result;
    if (result === undefined) throw new ChannelError('the Python harness gave no result');
    return result;
  }

  #onFrame(frame: HarnessFrame): void {
    const { json } = frame;
    if (json.kind === 'result') {
      this.#result = frame;
      return;
    }
    if (json.kind === 'progress' && this.#building) {
      this.#hooks.progress(String(json.message));
      return;
    }
    if (json.kind === 'ask') {
      this.#ask(json.question);
      return;
    }
    const { data, metadata } = json;
    if (json.kind !== 'display' || !isRecord(data) || !isRecord(metadata)) {
      throw new ChannelError('frame is neither a display nor a result');
    }
    let bytes = displayBytes + JSON.stringify(metadata).length;
    for (const [type, text] of Object.entries(data)) {
      if (typeof text !== 'string') throw new ChannelError('a display has data that is not text');
      bytes += type.length + text.length;
    }
    if (!this.#output.charge(bytes)) return;
    this.#output.flush();
    this.#hooks.post({ kind: 'display', id: this.#id, data: data as Record<string, string>, metadata });
  }

  /** The harness reads the answer next. */
  #ask(question: unknown): void {
    this.#output.flush();
    const { error, body, parts } = this.#answerTo(question);
    const said = error === null ? null : { code: error.code, message: error.message, details: error.details };
    const answer = { kind: 'answer', error: said, body: error === null ? JSON.parse(body) : null };
    this.request.set(encodeHarnessFrame(answer, parts));
  }

  #answerTo(question: unknown): ReturnType<StreamHooks['ask']> {
    let asked: WorkerMessage;
    try {
      asked = parseWorkerMessage({ kind: 'ask', id: this.#id, question });
    } catch (cause) {
      // A requirement of a thousand lines, say: the host would refuse the message, and end the worker.
      if (!(cause instanceof ProtocolError)) throw cause;
      const details = { reason: 'bad_requirement', package: '', suggestion: '' };
      const error = { code: 'install', message: cause.message, details, stack: null, cause: null };
      return { error, body: 'null', parts: [] };
    }
    if (asked.kind !== 'ask') throw new ChannelError('frame is no question');
    return this.#hooks.ask(this.#id, asked.question);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
