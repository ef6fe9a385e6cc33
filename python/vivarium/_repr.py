"""repr() that can't crash the interpreter or produce more than is wanted.

The C code behind `repr` of a nested list recurses; deep enough, it overflows WebAssembly's stack, which is
fatal. So built-in containers are walked here, without recursion.
"""

from collections.abc import Iterator

from ._pristine import pristine as __builtins__  # noqa: F401

MAX_DEPTH = 100
# str(int) takes quadratic time; this many bits are 60,000 digits.
MAX_INT_BITS = 200_000

_type_name = type.__dict__["__name__"].__get__
_NESTED = object()


def type_name(kind: type) -> str:
    """The name the type was given, whatever its metaclass says."""
    return str(_type_name(kind))


def int_text(value: int) -> str | None:
    """Decimal digits of an exact int, or None when there are too many."""
    bits = value.bit_length()
    if bits < 2000:
        return int.__repr__(value)
    if bits > MAX_INT_BITS:
        return None
    # Avoids sys.set_int_max_str_digits, which is the run's own.
    base = 10**600
    groups = []
    rest = abs(value)
    while rest:
        rest, group = divmod(rest, base)
        groups.append(int.__repr__(group).zfill(600))
    digits = "".join(reversed(groups)).lstrip("0")
    return f"-{digits}" if value < 0 else digits


def safe_repr(value: object, limit: int) -> str:
    """`repr(value)`, at most about `limit` characters and then a mark. Raises no Exception."""
    plain = _leaf(value, limit)
    if plain is None:
        plain = _walk(value, limit)
    if len(plain) > limit:
        return f"{plain[:limit]}… (cut at {limit} characters)"
    return plain


def _leaf(value: object, limit: int) -> str | None:
    """The text of anything but a built-in container."""
    kind = type(value)
    if kind is str or kind is bytes or kind is bytearray:
        return repr(value[: limit + 1])  # type: ignore[index]
    if kind is int:
        text = int_text(value)  # type: ignore[arg-type]
        return text if text is not None else f"<int of {value.bit_length()} bits>"  # type: ignore[attr-defined]
    try:
        if _brackets(kind) is not None:
            return None
        return repr(value)
    except Exception as error:
        return f"<{type_name(kind)} object (repr raised {type_name(type(error))})>"


def _brackets(kind: type) -> tuple[str, str] | None:
    """What surrounds a container that shows itself as a built-in one does."""
    show: object = kind.__repr__
    if show is list.__repr__ and issubclass(kind, list):
        return "[", "]"
    if show is tuple.__repr__ and issubclass(kind, tuple):
        return "(", ")"
    if show is dict.__repr__ and issubclass(kind, dict):
        return "{", "}"
    if show is set.__repr__ and issubclass(kind, (set, frozenset)):
        return ("{", "}") if kind is set else (f"{type_name(kind)}({{", "})")
    if show is frozenset.__repr__ and issubclass(kind, frozenset):
        return f"{type_name(kind)}({{", "})"
    return None


def _items(value: object, kind: type) -> Iterator[object]:
    if issubclass(kind, list):
        return list.__iter__(value)  # type: ignore[arg-type]
    if issubclass(kind, tuple):
        return tuple.__iter__(value)  # type: ignore[arg-type]
    if issubclass(kind, dict):
        return _pairs(value)  # type: ignore[arg-type]
    if issubclass(kind, set):
        return set.__iter__(value)  # type: ignore[arg-type]
    return frozenset.__iter__(value)  # type: ignore[arg-type]


def _pairs(value: dict[object, object]) -> Iterator[object]:
    for key, item in dict.items(value):
        yield key
        yield item


def _size(value: object, kind: type) -> int:
    for base in (list, tuple, dict, set):
        if issubclass(kind, base):
            return int(base.__len__(value))  # type: ignore[arg-type]
    return frozenset.__len__(value)  # type: ignore[arg-type]


def _walk(root: object, limit: int) -> str:
    out: list[str] = []
    written = 0
    # Open containers: what is left of it, its end, whether it is a dict, items written, itself.
    stack: list[tuple[Iterator[object], str, bool, object]] = []
    path: set[int] = set()
    items: Iterator[object] = iter((root,))
    mapping = False
    count = 0
    counts: list[int] = []
    while True:
        try:
            item = next(items, _NESTED)
        except RuntimeError:
            # A `__repr__` changed the container.
            item = _NESTED
        if item is _NESTED:
            if not stack:
                return "".join(out)
            items, end, mapping, closed = stack.pop()
            path.discard(id(closed))
            count = counts.pop()
            out.append(end)
            written += len(end)
            continue
        if count:
            separator = ": " if mapping and count % 2 else ", "
            out.append(separator)
            written += len(separator)
        count += 1
        text = _leaf(item, limit)
        if text is None:
            kind = type(item)
            start, end = _brackets(kind) or ("<", ">")
            size = _size(item, kind)
            if not size and issubclass(kind, (set, frozenset)):
                text = f"{type_name(kind)}()"
            elif not size:
                text = start + end
            elif id(item) in path or len(stack) >= MAX_DEPTH:
                text = f"{start}...{end}"
            else:
                if size == 1 and issubclass(kind, tuple):
                    end = ",)"
                stack.append((items, end, mapping, item))
                counts.append(count)
                path.add(id(item))
                items, mapping, count = _items(item, kind), issubclass(kind, dict), 0
                text = start
        out.append(text)
        written += len(text)
        if written > limit:
            return "".join(out)
