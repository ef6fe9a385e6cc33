"""numpy's arrays and pandas' tables, as what the wire has for them. Neither package is imported here."""

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from ._pristine import pristine as __builtins__  # noqa: F401

_modules = sys.modules

# kind and size of numpy's types → the format on the wire, and whether the name of the type must go with it.
_FORMATS = {
    "b1": ("?1", True),
    "f2": ("f4", True), "f4": ("f4", False), "f8": ("f8", False),
    "c8": ("f4", True), "c16": ("f8", True),
    "m8": ("i8", True), "M8": ("i8", True),
} | {f"{kind}{size}": (f"{kind}{size}", False) for kind in "iu" for size in (1, 2, 4, 8)}  # fmt: skip
# Nothing but the length says how long a table without columns is. Agreed with src/protocol/limits.ts.
_MAX_BARE_ROWS = 1_000_000


class Buffer(NamedTuple):
    """`data` lies in C order, little-endian; `dtype` is numpy's name unless the format implies it."""

    format: str
    data: bytes | memoryview
    shape: tuple[int, ...]
    dtype: str | None


class TooManyError(Exception):
    """There are more items than there are bytes left."""


def loaded(module: str, name: str) -> Any:
    """A class of a module, if it is there: as the second argument of `issubclass`."""
    return getattr(_modules.get(module), name, ())


def array_of(value: Any, limit: int) -> Any:
    """A `Buffer`, or what goes in place of the array: nested lists, a scalar."""
    numpy: Any = _modules["numpy"]
    ndarray = numpy.ndarray
    dtype = value.dtype
    if value.size * max(1, dtype.itemsize if dtype.kind in "biufcmM" else 1) > limit:
        raise TooManyError
    if issubclass(type(value), loaded("numpy.ma", "MaskedArray")):
        return value.tolist()
    if value.ndim == 0:
        return ndarray.__getitem__(value, ())
    kind, size = dtype.kind, dtype.itemsize
    if kind in "fc" and size > 8 << (kind == "c"):
        # long double: the name depends on the platform.
        dtype = numpy.dtype(f"{kind}{8 << (kind == 'c')}")
        size = dtype.itemsize
    form, named = _FORMATS.get(f"{kind}{size}", (None, False))
    if form is None:
        if dtype.names is not None:
            return _records(ndarray.tolist(value), dtype.names, value.ndim)
        return ndarray.tolist(value)
    shape = tuple(value.shape)
    name = dtype.name if named and (form != "?1" or len(shape) == 1) else None
    wire = numpy.dtype("<f4") if name == "float16" else dtype.newbyteorder("<")
    if wire == value.dtype:
        return Buffer(form, ndarray.tobytes(value), shape, name)
    # The copy that has to be made anyway. As integers: not every type can be had as a buffer.
    copied = ndarray.astype(value, wire, "C").view(ndarray)
    return Buffer(form, memoryview(copied.reshape(-1).view("u1")), shape, name)


def _records(items: Any, names: tuple[str, ...], depth: int) -> Any:
    if depth == 0:
        return dict(zip(names, items, strict=True))
    return [_records(item, names, depth - 1) for item in items]


def scalar_of(value: Any) -> Any:
    """The Python object for a numpy scalar; itself when there is none."""
    numpy: Any = _modules["numpy"]
    dtype = value.dtype
    if dtype.names is not None:
        return dict(zip(dtype.names, value.tolist(), strict=True))
    if dtype.kind == "m":
        return value
    item = numpy.generic.item(value)
    if dtype.kind == "M" and type(item) is int:
        # Finer than Python's.
        item = value.astype("M8[us]").item()
        return value if type(item) is int else item
    if type(item) is type(value) and dtype.kind in "fc":
        return float(value) if dtype.kind == "f" else complex(value)
    return item


def array_from(numpy: Any, form: str, data: Any, shape: list[int], dtype: str | None) -> Any:
    """A writable `numpy.ndarray`, which is a copy."""
    if form == "?1":
        return (numpy.frombuffer(data, "u1") != 0).reshape(shape)
    items = numpy.frombuffer(data, "<" + form)
    if dtype == "float16":
        return items.astype("f2").reshape(shape)
    if dtype is not None:
        items = items.view(numpy.dtype(dtype).newbyteorder("<"))
    return items.reshape(shape).astype(items.dtype.newbyteorder("="), "C")


def frame_from(fields: list[Any]) -> Any:
    """A DataFrame, where pandas has been imported; else a dict of its columns."""
    labels, dtypes, data, index, names, length = fields
    pandas: Any = _modules.get("pandas")
    if not hasattr(pandas, "DataFrame"):
        return dict(zip(labels, data, strict=True))
    columns = [_typed(pandas, column, dtype) for column, dtype in zip(data, dtypes, strict=True)]
    frame = pandas.DataFrame(dict(enumerate(columns)), index=range(length), copy=False)
    frame.columns = labels
    return _indexed(pandas, frame, index, names)


def series_from(fields: list[Any]) -> Any:
    """A Series, where pandas has been imported; else its items."""
    name, dtype, data, index, names = fields
    pandas: Any = _modules.get("pandas")
    if not hasattr(pandas, "Series"):
        return data
    return _indexed(pandas, _typed(pandas, data, dtype).rename(name), index, names)


def _typed(pandas: Any, data: Any, dtype: str) -> Any:
    """As it was, when that type can be made of what crossed."""
    column = pandas.Series(data, dtype=None if hasattr(data, "dtype") else object, copy=False)
    try:
        if dtype.startswith("datetime64") and "," in dtype:
            column = column.dt.tz_localize("UTC")
        return column.astype(dtype)
    except (TypeError, ValueError):
        return column.infer_objects()


def _indexed(pandas: Any, table: Any, index: Any, names: list[str | None]) -> Any:
    if index is None:
        table.index.names = names
    elif len(names) > 1:
        table.index = pandas.MultiIndex.from_tuples([tuple(row) for row in index], names=names)
    else:
        table.index = pandas.Index(index, name=names[0])
    return table


def is_missing(kind: type) -> bool:
    """Whether it is the type of pandas' `NA` or `NaT`."""
    pandas: Any = _modules.get("pandas")
    return pandas is not None and any(kind is type(getattr(pandas, name, None)) for name in ("NA", "NaT"))


class Columns:
    """A list that is made while it is encoded, so that not all columns are converted at once."""

    __slots__ = ("items",)

    def __init__(self, items: Iterator[object]) -> None:
        self.items = items


def frame_of(frame: Any) -> Iterator[object]:
    """Column labels, types, columns, index, its names, count of rows."""
    if not frame.shape[1] and len(frame) > _MAX_BARE_ROWS:
        raise TooManyError
    columns = [frame.iloc[:, at] for at in range(frame.shape[1])]
    yield [str(label) for label in frame.columns]
    yield [str(column.dtype) for column in columns]
    yield Columns(column_of(column) for column in columns)
    yield from _index_of(frame.index)
    yield len(frame)


def series_of(series: Any) -> Iterator[object]:
    """Name, type, items, index, its names."""
    yield None if series.name is None else str(series.name)
    yield str(series.dtype)
    yield column_of(series)
    yield from _index_of(series.index)


def _index_of(index: Any) -> Iterator[object]:
    pandas: Any = _modules["pandas"]
    plain = type(index) is pandas.RangeIndex and index.start == 0 and index.step == 1
    yield None if plain else column_of(index)
    yield [None if name is None else str(name) for name in index.names]


def column_of(values: Any) -> Any:
    """A numpy array: of numbers as they are, else of objects with None for what is missing."""
    numpy: Any = _modules["numpy"]
    pandas: Any = _modules["pandas"]
    dtype = values.dtype
    if isinstance(dtype, numpy.dtype):
        raw = numpy.asarray(values)
    elif isinstance(dtype, pandas.DatetimeTZDtype):
        raw = numpy.asarray(values, dtype=f"M8[{dtype.unit}]")
    elif isinstance(dtype, (pandas.PeriodDtype, pandas.IntervalDtype)):
        texts = [None if missing else str(item) for item, missing in zip(values, values.isna(), strict=True)]
        raw = numpy.asarray(texts, dtype=object)
    else:
        # Those with a mask of what is missing; floats have NaN for it.
        bare = getattr(dtype, "numpy_dtype", None)
        kind = getattr(bare, "kind", "O")
        if kind == "f":
            return pandas.array(values).to_numpy(dtype=bare, na_value=numpy.nan)
        if kind in "biu" and not values.isna().any():
            return numpy.asarray(values, dtype=bare)
        raw = numpy.asarray(values, dtype=None if bare is None else object)
    if raw.dtype.kind != "O":
        return raw
    missing = pandas.isna(raw)
    if missing.any():
        raw = raw.copy()
        raw[missing] = None
    return raw
