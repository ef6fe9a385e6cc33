/** Makes small dynamic libraries, as Emscripten's loader takes them, without a compiler. */

export interface SideModule {
  /** What its function `answer` returns. */
  answer: number;
  /** The body of a function in JavaScript, `script`, as EM_JS leaves it in a library. */
  script?: string;
  /** A function of no arguments that it links against; calling `call` calls it, and returns what it does. */
  calls?: string;
}

export function sideModule({ answer, script, calls }: SideModule): Uint8Array {
  const text = script === undefined ? [] : [...new TextEncoder().encode(`(void)<::>{ ${script} }`), 0];
  const dylink = [...name('dylink.0'), 1, ...sized([...leb(text.length), 0, 0, 0])];
  const imported = calls === undefined ? 0 : 1;
  const imports = [
    [...name('env'), ...name('memory'), 2, 0, 1],
    [...name('env'), ...name('__memory_base'), 3, i32, 0],
    ...(calls === undefined ? [] : [[...name('env'), ...name(calls), 0, 0]]),
  ];
  const exports = [
    [...name('answer'), 0, imported],
    ...(calls === undefined ? [] : [[...name('call'), 0, imported + 1]]),
    ...(script === undefined ? [] : [[...name('__em_js__script'), 3, 1]]),
  ];
  const bodies = [[0, 0x41, ...signed(answer), 0x0b], ...(calls === undefined ? [] : [[0, 0x10, 0, 0x0b]])];
  const sections: [id: number, content: number[]][] = [
    [0, dylink],
    [1, [1, 0x60, 0, 1, i32]],
    [2, vector(imports)],
    [3, vector(bodies.map(() => [0]))],
    ...(script === undefined ? [] : [[6, [1, i32, 0, 0x41, 0, 0x0b]] as [number, number[]]]),
    [7, vector(exports)],
    [10, vector(bodies.map(sized))],
    ...(script === undefined ? [] : [[11, [1, 0, 0x23, 0, 0x0b, ...sized(text)]] as [number, number[]]]),
  ];
  const magic = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  return Uint8Array.from([...magic, ...sections.flatMap(([id, content]) => [id, ...sized(content)])]);
}

const i32 = 0x7f;

function leb(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)];
}

function signed(value: number): number[] {
  if (value < 0 || value > 63) throw new Error('answers are from 0 to 63');
  return [value];
}

function sized(content: readonly number[]): number[] {
  return [...leb(content.length), ...content];
}

function vector(items: readonly number[][]): number[] {
  return [...leb(items.length), ...items.flat()];
}

function name(text: string): number[] {
  return sized([...new TextEncoder().encode(text)]);
}
