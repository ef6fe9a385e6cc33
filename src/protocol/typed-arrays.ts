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

/** How elements of one of numpy's types lie in a buffer. */
export interface Layout {
  readonly format: Format;
  /** Items of the buffer that make one element. */
  readonly items: 1 | 2;
}

const layouts: Readonly<Record<string, Layout>> = {
  bool: { format: '?1', items: 1 },
  int8: { format: 'i1', items: 1 },
  uint8: { format: 'u1', items: 1 },
  int16: { format: 'i2', items: 1 },
  uint16: { format: 'u2', items: 1 },
  int32: { format: 'i4', items: 1 },
  uint32: { format: 'u4', items: 1 },
  int64: { format: 'i8', items: 1 },
  uint64: { format: 'u8', items: 1 },
  float16: { format: 'f4', items: 1 },
  float32: { format: 'f4', items: 1 },
  float64: { format: 'f8', items: 1 },
  complex64: { format: 'f4', items: 2 },
  complex128: { format: 'f8', items: 2 },
};

const times = /^(?:datetime64|timedelta64)(?:\[\d{0,9}(?:Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?$/;

/** Undefined for types that don't cross as arrays. */
export function layoutOf(dtype: string): Layout | undefined {
  if (Object.hasOwn(layouts, dtype)) return layouts[dtype];
  return dtype.length < 30 && times.test(dtype) ? { format: 'i8', items: 1 } : undefined;
}

/** numpy's name of the type that a format stands for by itself. */
export function dtypeOf(format: Format): string {
  const found = Object.entries(layouts).find(([name, layout]) => {
    return layout.format === format && layout.items === 1 && name !== 'float16';
  });
  return found?.[0] ?? format;
}

/** Whether so many elements of that type are what `data` holds. */
export function fits(data: TypedArray, shape: readonly number[], { format, items }: Layout): boolean {
  return formatOf(data) === formatOf(new formats[format]()) && product(shape) * items === data.length;
}

/**
 * Only when type and shape fit: a plain object that merely has such keys, of an image say, is a dict. Without a `dtype`,
 * which then is that of the data, a shape of one dimension is taken for such a plain object too.
 */
export function isNdArray(value: object): value is Pick<NdArray, 'data' | 'shape'> & Partial<NdArray> {
  const { data, shape, dtype, ...rest } = value as Partial<NdArray>;
  if (!isTypedArray(data) || !Array.isArray(shape) || Object.keys(rest).length > 0) return false;
  if (!shape.every(isLength)) return false;
  if (dtype === undefined) return shape.length !== 1 && product(shape) === data.length;
  const layout = typeof dtype === 'string' ? layoutOf(dtype) : undefined;
  return layout !== undefined && fits(data, shape, layout);
}

export function isLength(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Items of an array of this shape. */
export function product(shape: readonly number[]): number {
  return shape.reduce((all, length) => all * length, 1);
}
