/**
 * A host of sessions in a process of its own: `node session-host.ts <options as JSON> <session>…`. It appends to the list
 * `log` of the sessions in turns, without end or `--runs` times, and tells each run that has ended as a line of JSON.
 */
import { parseArgs } from 'node:util';
import { SessionError } from '../../../src/errors/errors.ts';
import { createRuntime, type RuntimeOptions } from '../../../src/node.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: 'string' }, name: { type: 'string', default: '' } },
});
const [options = '{}', ...ids] = positionals;
const runs = Number(values.runs ?? Number.POSITIVE_INFINITY);
const runtime = await createRuntime(JSON.parse(options) as RuntimeOptions);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

for (let done = 0, tries = 0; done < runs && tries < 100_000; tries += 1) {
  const id = ids[tries % ids.length] ?? '';
  try {
    const session = await runtime.session(id);
    try {
      const mark = values.name === '' ? 'len(log)' : JSON.stringify(`${values.name}-${done}`);
      const code = `log = globals().get("log", [])\nlog.append(${mark})\nlen(log)`;
      const { status, value, session: at } = await session.run(code);
      if (status !== 'ok') throw new Error(`a run ended as ${status}`);
      process.stdout.write(`${JSON.stringify({ id, mark, length: value, revision: at?.revision })}\n`);
      done += 1;
    } finally {
      // With others about, each run begins with taking the session.
      if (values.name !== '') await session.close();
    }
  } catch (error) {
    if (!(error instanceof SessionError) || !error.retryable) throw error;
    await pause(5);
  }
}
await runtime.close();
