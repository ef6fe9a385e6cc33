import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/** A traceback in the colours that Python's own has on a terminal. What isn't of that form stays as it is. */
export function colourTraceback(text: string): string {
  return text
    .split('\n')
    .map((line) => colourLine(line))
    .join('\n');
}

function colourLine(line: string): string {
  const frame = /^(\s+File )(".*")(, line )(\d+)(?:(, in )(.*))?$/.exec(line);
  if (frame) {
    const [, start = '', file = '', middle = '', number = '', within = '', name = ''] = frame;
    const known = `${start}${paint('magenta', file)}${middle}${paint('magenta', number)}`;
    return within === '' ? known : `${known}${within}${paint('magenta', name)}`;
  }
  if (/^\s+[~^]+$/.test(line)) return line.replace(/[~^]+/, (marks) => paint(['bold', 'red'], marks));
  const [, name, value] = /^(?!vivarium:|hint:)([A-Za-z_][\w.]*)(?:: (.*))?$/.exec(line) ?? [];
  if (name === undefined) return line;
  const painted = paint(['bold', 'magenta'], name);
  return value === undefined ? painted : `${painted}: ${paint('magenta', value)}`;
}

/** Whether there are colours at all is the caller's to know. */
function paint(style: Style, text: string): string {
  return styleText(style, text, { validateStream: false });
}
