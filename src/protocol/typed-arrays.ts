import type { NdArray, TypedArray } from '../runtime.ts';

/** Formats of buffers on the wire. Python's bools (`?1`) come out as bytes of 0 and 1. */
export const formats: {
  readonly i1: Int8ArrayConstructor;
  readonly u1: Uint8ArrayConstructor;
  readonly i2: Int16ArrayConstructor;
  readonly u2: Uint16ArrayConstructor;
  readonly i4: Int32ArrayConstructor;
  readonly u4: Uint32ArrayConstructor;
  readonly i8: BigInt64ArrayConstructor;
  readonly u8: BigUint64ArrayConstructor;
  readonly f4: Float32ArrayConstructor;
  readonly f8: Float64ArrayConstructor;
  readonly '?1': Uint8ArrayConstructor;
} = {
  i1: Int8Array,
  u1: Uint8Array,
  i2: Int16Array,
  u2: Uint16Array,
  i4: Int32Array,
  u4: Uint32Array,
  i8: BigInt64Array,
  u8: BigUint64Array,
  f4: Float32Array,
  f8: Float64Array,
  '?1': Uint8Array,
};

export type Format = keyof typeof formats;

const names: ReadonlyMap<string, Format> = new Map(
  (Object.keys(formats) as Format[])
    .filter((format) => format !== '?1')
    .map((format) => [formats[format].name, format]),
);

/** By its tag, an intrinsic getter: right for subclasses and for arrays of another realm. */
export function formatOf(view: ArrayBufferView): Format | undefined {
  return names.get(Object.prototype.toString.call(view).slice(8, -1));
}

export function isTypedArray(value: unknown): value is TypedArray {
  return ArrayBuffer.isView(value) && formatOf(value) !== undefined;
}

/** Only when the shape fits: a plain object that merely has such keys, of an image say, is a dict. */
export function isNdArray(value: object): value is NdArray {
  const { data, shape, ...rest } = value as Partial<NdArray>;
  if (!isTypedArray(data) || !Array.isArray(shape) || Object.keys(rest).length > 0) return false;
  return shape.length !== 1 && shape.every(isLength) && product(shape) === data.length;
}

export function isLength(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Items of an array of this shape. */
export function product(shape: readonly number[]): number {
  return shape.reduce((all, length) => all * length, 1);
}
