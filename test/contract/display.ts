import { expect, it } from 'vitest';
import type { Execution, RichResult } from '../../src/runtime.ts';
import { ok, py, type Subject } from './subject.ts';

function main(execution: Execution): RichResult | undefined {
  return execution.results.find((result) => result.isMainResult);
}

function shown(execution: Execution): Record<string, string>[] {
  return execution.results.filter((result) => !result.isMainResult).map((result) => result.data);
}

export function display(subject: Subject): void {
  it('takes the rich forms of the last expression', async () => {
    const execution = await ok(
      subject.run(py`
        class Rich:
            def __repr__(self):
                return "<rich>"
            def _repr_html_(self):
                return "<b>ü</b>"
            def _repr_svg_(self):
                return "<svg/>"
            def _repr_png_(self):
                return b"\x89PNG"
            def _repr_markdown_(self):
                return "**ü**"
            def _repr_latex_(self):
                return None
            def _repr_json_(self):
                return {"a": [1]}

        Rich()
      `),
    );
    const data = main(execution)?.data ?? {};
    expect(data).toMatchObject({
      'text/html': '<b>ü</b>',
      'image/svg+xml': '<svg/>',
      'image/png': Buffer.from('\x89PNG', 'latin1').toString('base64'),
      'text/markdown': '**ü**',
    });
    expect(data).not.toHaveProperty('text/latex');
    expect(JSON.parse(data['application/json'] ?? '')).toStrictEqual({ a: [1] });
    expect(execution.text).toBe('<rich>');
    expect(execution.html).toBe('<b>ü</b>');
    expect(execution.svg).toBe('<svg/>');
    expect(execution.png).toBe(data['image/png']);
  });

  it('takes _repr_mimebundle_, with metadata', async () => {
    const execution = await ok(
      subject.run(py`
        class Bundle:
            def _repr_mimebundle_(self, include=None, exclude=None):
                return {"text/html": "<i>b</i>", "text/plain": "b"}, {"text/html": {"isolated": True}}

        Bundle()
      `),
    );
    expect(main(execution)).toMatchObject({
      data: { 'text/html': '<i>b</i>', 'text/plain': 'b' },
      metadata: { 'text/html': { isolated: true } },
    });
  });

  it('shows with display(), in order, several at once', async () => {
    const execution = await ok(
      subject.run(py`
        class Html:
            def __init__(self, text):
                self.text = text
            def _repr_html_(self):
                return self.text

        display(Html("1"), Html("2"))
        display("plain")
        None
      `),
    );
    expect(shown(execution)).toMatchObject([
      { 'text/html': '1' },
      { 'text/html': '2' },
      { 'text/plain': "'plain'" },
    ]);
  });

  it('shows while the run goes on, in order with the output', async () => {
    const seen: string[] = [];
    const run = subject.run('print("before")\ndisplay(1)\nprint("after")\nwhile True:\n    pass');
    for await (const event of run) {
      if (event.type !== 'stdout' && event.type !== 'display') continue;
      if (seen.at(-1) !== event.type) seen.push(event.type);
      if (event.type === 'stdout' && event.text.endsWith('\n') && seen.length === 3) run.interrupt();
    }
    expect(seen).toStrictEqual(['stdout', 'display', 'stdout']);
    expect((await run).results).toHaveLength(1);
  });

  it('goes on when a rich form raises', async () => {
    const execution = await ok(
      subject.run(py`
        class Bad:
            def __repr__(self):
                return "<bad>"
            def _repr_html_(self):
                raise RuntimeError("no html")

        Bad()
      `),
    );
    expect(execution.text).toBe('<bad>');
    expect(execution.html).toBeUndefined();
  });

  it('takes no attribute for a rich form that only answers to any name', async () => {
    const execution = await ok(subject.run('from unittest.mock import MagicMock\nMagicMock()'));
    expect(execution.html).toBeUndefined();
    expect(execution.png).toBeUndefined();
  });

  it('has no rich form for a class, only for its instances', async () => {
    const execution = await ok(subject.run('class A:\n    def _repr_html_(self):\n        return "x"\nA'));
    expect(execution.html).toBeUndefined();
  });
}
