import type { PythonRepr as PythonReprLike } from '../runtime.ts';

/**
 * Python values on the wire and in JavaScript.
 *
 * On the wire a value is JSON: `null`, booleans, strings and safe finite numbers stand for themselves; everything
 * else is an array whose first item is a tag. Buffers lie beside the JSON as binary parts, named by index.
 *
 *     ["l", ...items]            list                      ↔ Array
 *     ["t", ...items]            tuple                     → Array
 *     ["d", k1, v1, k2, v2, …]   dict                      ↔ plain object (all keys strings), else Map
 *     ["s", ...items]            set, frozenset            ↔ Set
 *     ["i", "123…"]              int beyond ±(2^53 − 1)    ↔ bigint
 *     ["f", "nan"|"inf"|"-inf"|"-0"]  float                ↔ number
 *     ["c", re, im]              complex (two wire floats) → { real, imag }
 *     ["b", part]                bytes, bytearray          ↔ Uint8Array
 *     ["a", format, part, [n…]]  buffer: array, memoryview, ndarray ↔ typed array; more dimensions ↔ NdArray
 *     ["a", format, part, [n…], dtype]  ndarray of a type that no typed array implies ↔ NdArray
 *     ["F", columns, dtypes, data, index, names, length]  pandas.DataFrame ↔ DataFrame
 *     ["S", name, dtype, data, index, names]              pandas.Series    ↔ Series
 *     ["D", iso]                 datetime                  ↔ Date (naive ones are taken as UTC)
 *     ["y", iso]                 date                      → Date at 00:00 UTC
 *     ["o", type, k1, v1, …]     dataclass                 → plain object
 *     ["r", type, repr, why]     anything else             → PythonRepr
 *
 * `format` is one of `i1 u1 i2 u2 i4 u4 i8 u8 f4 f8 ?1`, little-endian, in C order. `why` is `type`, `cycle`, `depth` or
 * `size`. The members of `F` and `S` are wire values.
 *
 * numpy, where it has been imported (otherwise arrays enter Python as `array.array` or memoryview):
 *
 *     (u)int8 … (u)int64, float32, float64  one dimension ↔ typed array (but Uint8Array → bytes); else NdArray
 *     long double                 → as float64, complex128
 *     bool, float16, complex64, complex128, datetime64, timedelta64  ↔ NdArray, of any dimensions
 *     no dimensions, scalars      → the scalar; datetime64 → Date; timedelta64 → PythonRepr (NdArray of [] → 0-D ndarray)
 *     object, str, bytes, masked  → nested Arrays, `null` where masked
 *     structured                  → nested Arrays of plain objects
 *
 * pandas: a column of a numpy type is as the array (NaN and NaT stay); times with a zone are UTC; nullable floats have NaN;
 * nullable integers and booleans are arrays unless one is missing; categories are what they stand for; periods and
 * intervals are strings; all else, and str, is an Array with `null` for what is missing. `Index` and extension arrays
 * are columns by themselves; `NA` and `NaT` are `null`. Pillow's images are the bytes of a PNG file, → Uint8Array.
 */
export type WireValue = null | boolean | number | string | readonly [string, ...unknown[]];

/** Stands for a Python object that has no JavaScript counterpart. */
export class PythonRepr implements PythonReprLike {
  readonly type: string;
  readonly repr: string;
  /** `type`: no counterpart; `cycle`: contains itself; `depth`, `size`: beyond the limits of a value. */
  readonly why: 'type' | 'cycle' | 'depth' | 'size';

  constructor(type: string, repr: string, why: 'type' | 'cycle' | 'depth' | 'size') {
    this.type = type;
    this.repr = repr;
    this.why = why;
  }

  toString(): string {
    return this.repr;
  }

  toJSON(): string {
    return this.repr;
  }
}
