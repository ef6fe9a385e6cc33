"""Python values to and from the wire. The format is described in `src/protocol/values.ts`.

Encoding emits text as it walks, without recursion: no value is deep enough to overflow the stack, and the
limit is noticed when it is passed.
"""

import array
import datetime
import math
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from ._arrays import (
    Buffer,
    Columns,
    TooManyError,
    array_from,
    array_of,
    column_of,
    frame_from,
    frame_of,
    is_missing,
    loaded,
    scalar_of,
    series_from,
    series_of,
)
from ._channel import Bytes, quote
from ._figures import image_png
from ._pristine import pristine as __builtins__  # noqa: F401
from ._repr import MAX_DEPTH, int_text, safe_repr, type_name

REPR_LIMIT = 10_000
SHORT_REPR_LIMIT = 1_000

_SAFE_INT = (1 << 53) - 1
_isfinite = math.isfinite
_modules = sys.modules
_fields = fields
_UTC = datetime.timezone.utc  # noqa: UP017 - bound here, and `datetime.UTC` is the same object
_SWAP = sys.byteorder != "little"
_FORMATS: dict[str, str] = (
    {"?": "?", "f": "f", "d": "f"} | dict.fromkeys("bhilqn", "i") | dict.fromkeys("BHILQN", "u")
)
_WIRE_FORMATS = frozenset(["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "?1"])
_CODES = {
    "i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I",
    "i8": "q", "u8": "Q", "f4": "f", "f8": "d", "?1": "?",
}  # fmt: skip
_END = object()


class Encoded(NamedTuple):
    """JSON text; its buffers, which are frame parts 1, 2, …; whether it stands for something larger."""

    json: str
    parts: Sequence[Bytes]
    truncated: bool


class _TooLargeError(Exception):
    pass


class _Nested(NamedTuple):
    head: str
    items: Iterator[object]


def encode_value(value: object, limit: int) -> Encoded:
    """Encodes it in at most `limit` bytes of JSON and buffers; beyond that, or when it resists, its repr."""
    encoder = _Encoder(limit)
    try:
        encoder.write(value)
    except (_TooLargeError, TooManyError):
        return Encoded(_marked(value, "size", SHORT_REPR_LIMIT), (), True)
    except MemoryError:
        raise
    except Exception:
        return Encoded(_marked(value, "type", REPR_LIMIT), (), False)
    return Encoded("".join(encoder.out), encoder.parts, False)


def _marked(value: object, why: str, limit: int) -> str:
    return f'["r",{quote(type_name(type(value)))},{quote(safe_repr(value, limit))},"{why}"]'


def _int(value: int) -> str:
    if -_SAFE_INT <= value <= _SAFE_INT:
        return int.__repr__(value)
    text = int_text(value)
    return _marked(value, "size", SHORT_REPR_LIMIT) if text is None else f'["i","{text}"]'


def _float(value: float) -> str:
    if _isfinite(value):
        text = float.__repr__(value)
        return '["f","-0"]' if text == "-0.0" else text
    return f'["f","{value!r}"]'


def _complex(value: complex) -> str:
    return f'["c",{_float(value.real)},{_float(value.imag)}]'


def _datetime(value: datetime.datetime) -> str:
    # JavaScript reads offsets of whole minutes only, and keeps none.
    if datetime.datetime.utcoffset(value) is not None:
        value = datetime.datetime.astimezone(value, _UTC)
    return f'["D",{quote(datetime.datetime.isoformat(value))}]'


def _date(value: datetime.date) -> str:
    return f'["y",{quote(datetime.date.isoformat(value))}]'


_SCALARS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "null",
    bool: lambda value: "true" if value else "false",
    int: _int,
    float: _float,
    complex: _complex,
}


class _Encoder:
    __slots__ = ("_left", "out", "parts")

    def __init__(self, limit: int) -> None:
        self.out: list[str] = []
        self.parts: list[Bytes] = []
        self._left = limit

    def write(self, root: object) -> None:
        scalars = _SCALARS.get
        out = self.out.append
        items: Iterator[object] = iter((root,))
        separator = ""
        # The open containers, outermost first, with what is left of those around them; no container twice.
        stack: list[tuple[Iterator[object], object]] = []
        path: set[int] = set()
        while True:
            item = next(items, _END)
            if item is _END:
                if not stack:
                    return
                items, closed = stack.pop()
                path.discard(id(closed))
                out("]")
                continue
            kind = type(item)
            scalar = scalars(kind)
            encoded: str | _Nested
            if scalar is not None:
                encoded = scalar(item)
            elif kind is str:
                encoded = self._str(item)  # type: ignore[arg-type]
            else:
                encoded = self._other(item, kind)
            if type(encoded) is _Nested:
                if id(item) in path:
                    text = _marked(item, "cycle", SHORT_REPR_LIMIT)
                elif len(stack) >= MAX_DEPTH:
                    text = _marked(item, "depth", SHORT_REPR_LIMIT)
                else:
                    stack.append((items, item))
                    path.add(id(item))
                    items = encoded.items
                    text = encoded.head
                    self._left -= 1
            else:
                text = encoded  # type: ignore[assignment]
            self._left -= len(text) + 1
            if self._left < 0:
                raise _TooLargeError
            out(separator + text)
            separator = ","

    def _str(self, value: str) -> str:
        if len(value) > self._left:
            raise _TooLargeError
        return quote(value)

    def _other(self, value: Any, kind: type) -> str | _Nested:
        """Everything but exact scalars. Asks the type, not the object, and calls base classes' methods."""
        if issubclass(kind, list):
            return _Nested('["l"', list.__iter__(value))
        if issubclass(kind, dict):
            if issubclass(kind, OrderedDict):
                return _Nested('["d"', _flat(OrderedDict.items(value)))
            return _Nested('["d"', _flat(dict.items(value)))
        if issubclass(kind, tuple):
            return _Nested('["t"', tuple.__iter__(value))
        if issubclass(kind, set):
            return _Nested('["s"', set.__iter__(value))
        if issubclass(kind, frozenset):
            return _Nested('["s"', frozenset.__iter__(value))
        if issubclass(kind, str):
            return self._str(str.__str__(value))
        if issubclass(kind, int):
            return _int(int.__int__(value))
        if issubclass(kind, float):
            return _float(float.__float__(value))
        if issubclass(kind, complex):
            return _complex(complex.__complex__(value))
        if issubclass(kind, (bytes, bytearray)):
            with memoryview(value) as view:
                return f'["b",{self._part(view)}]'
        if kind is Columns:
            return _Nested('["l"', value.items)
        if is_missing(kind):
            return "null"
        if issubclass(kind, datetime.date):
            return _datetime(value) if issubclass(kind, datetime.datetime) else _date(value)
        try:
            encoded = self._package(value, kind) or self._dataclass(value, kind) or self._buffer(value)
        except (_TooLargeError, TooManyError, MemoryError):
            raise
        except Exception:
            encoded = None
        return encoded or _marked(value, "type", min(REPR_LIMIT, self._left + 1))

    def _package(self, value: Any, kind: type) -> str | _Nested | None:
        """What belongs to a package of which we know how to convert its values."""
        if issubclass(kind, loaded("numpy", "ndarray")):
            return self._array(array_of(value, self._left))
        if issubclass(kind, loaded("numpy", "generic")):
            item = scalar_of(value)
            if type(item) is kind:
                return _marked(value, "type", SHORT_REPR_LIMIT)
            scalar = _SCALARS.get(type(item))
            return self._other(item, type(item)) if scalar is None else scalar(item)
        if issubclass(kind, loaded("pandas", "DataFrame")):
            return _Nested('["F"', frame_of(value))
        if issubclass(kind, loaded("pandas", "Series")):
            return _Nested('["S"', series_of(value))
        if issubclass(kind, (loaded("pandas", "Index"), loaded("pandas.api.extensions", "ExtensionArray"))):
            return self._array(array_of(column_of(value), self._left))
        if issubclass(kind, loaded("PIL.Image", "Image")):
            png = image_png(value)
            return None if png is None else f'["b",{self._add(png)}]'
        return None

    def _array(self, array: Any) -> str | _Nested:
        if type(array) is Buffer:
            return self._buffer_text(self._add(array.data), array.format, array.shape, array.dtype)
        if type(array) is list:
            return _Nested('["l"', iter(array))
        # Of no dimensions.
        scalar = _SCALARS.get(type(array))
        if scalar is not None:
            return scalar(array)
        if issubclass(type(array), loaded("numpy", "generic")):
            return self._package(array, type(array)) or "null"
        # Possibly the array itself, as its own item.
        return self._str(array) if type(array) is str else _marked(array, "type", SHORT_REPR_LIMIT)

    def _dataclass(self, value: object, kind: type) -> _Nested | None:
        if not hasattr(kind, "__dataclass_fields__"):
            return None
        members: list[object] = []
        for field in _fields(kind):
            members.append(field.name)
            members.append(getattr(value, field.name))
        return _Nested(f'["o",{quote(type_name(kind))}', iter(members))

    def _buffer(self, value: Any) -> str | None:
        try:
            view = memoryview(value)
        except (TypeError, ValueError, BufferError):
            return None
        with view:
            form = view.format
            code = form[-1:]
            wire = f"{_FORMATS.get(code)}{view.itemsize}"
            if wire not in _WIRE_FORMATS or len(form) > 2 or (len(form) == 2 and form[0] not in "@=<>!"):
                return None
            if view.ndim == 0:
                scalar = view[()]
                return _SCALARS[type(scalar)](scalar)
            swap = (form[0] in ">!") != _SWAP and view.itemsize > 1
            part = self._part(view, _CODES[wire] if swap else None)
            return self._buffer_text(part, wire, view.shape or ())

    def _buffer_text(self, part: int, form: str, shape: Sequence[int], dtype: str | None = None) -> str:
        lengths = ",".join([str(extent) for extent in shape])
        return f'["a","{form}",{part},[{lengths}]' + (f',"{dtype}"]' if dtype is not None else "]")

    def _part(self, view: memoryview, swap: str | None = None) -> int:
        """Takes a C-ordered copy; returns its index in the frame, where the JSON is part 0."""
        if view.nbytes > self._left:
            raise _TooLargeError
        data = view.tobytes()
        if swap is not None:
            swapped = array.array(swap, data)
            swapped.byteswap()
            data = swapped.tobytes()
        return self._add(data)

    def _add(self, data: Bytes) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise _TooLargeError
        self.parts.append(data)
        return len(self.parts)


def _flat(pairs: Any) -> Iterator[object]:
    for key, value in pairs:
        yield key
        yield value


def decode_value(value: Any, parts: Sequence[bytes | memoryview]) -> Any:
    """The reverse. Buffers become a `numpy.ndarray` where numpy has been imported.

    Else `array.array`, those of more dimensions or of booleans a memoryview.
    """
    if type(value) is not list:
        return value
    tag = value[0]
    if tag == "l":
        return [decode_value(item, parts) for item in value[1:]]
    if tag == "t":
        return tuple([decode_value(item, parts) for item in value[1:]])
    if tag == "s":
        return {decode_value(item, parts) for item in value[1:]}
    if tag == "d":
        return _decode_pairs(value, 1, parts)
    if tag == "o":
        return _decode_pairs(value, 2, parts)
    if tag == "i":
        return _decode_int(value[1])
    if tag == "f":
        return float(value[1])
    if tag == "c":
        return complex(decode_value(value[1], parts), decode_value(value[2], parts))
    if tag == "b":
        return bytes(parts[value[1]])
    if tag == "a":
        return _decode_buffer(value[1], parts[value[2]], value[3], value[4] if len(value) > 4 else None)
    if tag == "F":
        return frame_from([decode_value(field, parts) for field in value[1:]])
    if tag == "S":
        return series_from([decode_value(field, parts) for field in value[1:]])
    if tag == "D":
        moment = datetime.datetime.fromisoformat(value[1])
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=_UTC)
    if tag == "y":
        return datetime.date.fromisoformat(value[1])
    if tag == "r":
        return value[2]
    raise ValueError(f"unknown tag {tag!r} in a value")


def _decode_pairs(value: list[Any], start: int, parts: Sequence[bytes | memoryview]) -> dict[Any, Any]:
    items = iter(value[start:])
    return {
        decode_value(key, parts): decode_value(item, parts) for key, item in zip(items, items, strict=True)
    }


def _decode_int(digits: str) -> int:
    """int(digits) for more digits than Python allows at once."""
    if len(digits) <= 600:
        return int(digits)
    negative = digits.startswith("-")
    rest = digits[negative:]
    number = 0
    for at in range(0, len(rest), 600):
        group = rest[at : at + 600]
        number = number * 10 ** len(group) + int(group)
    return -number if negative else number


def _decode_buffer(form: str, data: bytes | memoryview, shape: list[int], dtype: str | None) -> Any:
    numpy = _modules.get("numpy")
    if hasattr(numpy, "frombuffer"):
        return array_from(numpy, form, data, shape, dtype)
    code = _CODES[form]
    if dtype is not None and dtype.startswith("complex"):
        shape = [*shape, 2]
    # A memoryview can't have a dimension of length 0.
    if (len(shape) == 1 and code != "?") or 0 in shape:
        result: array.array[Any] = array.array("B" if code == "?" else code)
        result.frombytes(data)
        if _SWAP:
            result.byteswap()
        return result
    return memoryview(bytearray(data)).cast(code, shape)  # type: ignore[call-overload]
