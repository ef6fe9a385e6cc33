"""Values to and from the wire."""

import array
import collections
import datetime
import enum
import json
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from vivarium._repr import safe_repr
from vivarium._values import decode_value, encode_value

LIMIT = 1_000_000


def encode(value: object, limit: int = LIMIT) -> Any:
    return json.loads(encode_value(value, limit).json)


class Whole(enum.IntEnum):
    A = 3


class Colour(enum.Enum):
    RED = 1


class Name(str):
    __slots__ = ()


@dataclass
class Point:
    kind: ClassVar[int] = 1
    x: int
    y: list[int]


Pair = collections.namedtuple("Pair", "a b")
UTC = datetime.timezone.utc  # noqa: UP017


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (None, None),
        (True, True),
        (2**53 - 1, 2**53 - 1),
        (2**53, ["i", str(2**53)]),
        (-(2**70), ["i", str(-(2**70))]),
        (1.5, 1.5),
        (1e300, 1e300),
        (float("nan"), ["f", "nan"]),
        (float("-inf"), ["f", "-inf"]),
        (-0.0, ["f", "-0"]),
        (complex(1, float("inf")), ["c", 1, ["f", "inf"]]),
        ("é\ud800\0", "é\ud800\0"),
        (Name("n"), "n"),
        (Whole.A, 3),
        (Colour.RED, ["r", "Colour", "<Colour.RED: 1>", "type"]),
        ([1, [2]], ["l", 1, ["l", 2]]),
        ((), ["t"]),
        (Pair(1, 2), ["t", 1, 2]),
        ({1: 2, "a": None}, ["d", 1, 2, "a", None]),
        (collections.Counter("aa"), ["d", "a", 2]),
        (frozenset([1]), ["s", 1]),
        (datetime.datetime(2024, 1, 2, 3, 4, 5, 6), ["D", "2024-01-02T03:04:05.000006"]),
        (
            datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
            ["D", "2024-01-01T23:00:00+00:00"],
        ),
        (datetime.date(2024, 1, 2), ["y", "2024-01-02"]),
        (Point(1, [2]), ["o", "Point", "x", 1, "y", ["l", 2]]),
        (Point, ["r", "type", f"<class '{__name__}.Point'>", "type"]),
        (..., ["r", "ellipsis", "Ellipsis", "type"]),
    ],
)
def test_table(value, wire):
    assert encode(value) == wire


def test_an_ordered_dict_keeps_its_own_order():
    ordered = collections.OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    assert encode(ordered) == ["d", "b", 2, "a", 1]


@pytest.mark.parametrize(
    ("value", "wire", "part"),
    [
        (b"ab", ["b", 1], b"ab"),
        (bytearray(b"ab"), ["b", 1], b"ab"),
        (array.array("h", [1, -1]), ["a", "i2", 1, [2]], b"\1\0\xff\xff"),
        (memoryview(b"abcd")[::2], ["a", "u1", 1, [2]], b"ac"),
        (memoryview(bytes(8)).cast("H", (2, 2)), ["a", "u2", 1, [2, 2]], bytes(8)),
        (array.array("d"), ["a", "f8", 1, [0]], b""),
    ],
)
def test_buffers(value, wire, part):
    encoded = encode_value(value, LIMIT)
    assert (json.loads(encoded.json), list(encoded.parts)) == (wire, [part])


def test_numpy():
    import numpy

    assert encode([numpy.int64(5), numpy.float32(0.5), numpy.bool_(True)]) == ["l", 5, 0.5, True]
    assert encode(numpy.array(7)) == 7
    assert encode(numpy.datetime64("2024-01-02")) == ["y", "2024-01-02"]


def test_sharing_is_not_a_cycle():
    shared: list[int] = [1]
    assert encode([shared, shared]) == ["l", ["l", 1], ["l", 1]]


def test_cycles():
    items: list[Any] = [1]
    items.append({"self": items})
    assert encode(items) == ["l", 1, ["d", "self", ["r", "list", "[1, {'self': [...]}]", "cycle"]]]


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {"k": v}, lambda v: Point(1, v)])
def test_depth(wrap):
    value: Any = 0
    for _ in range(300 if wrap(0).__class__ is Point else 100_000):
        value = wrap(value)
    text = encode_value(value, LIMIT).json
    depth = 0
    wire = json.loads(text)
    while isinstance(wire, list) and wire[0] != "r":
        wire = wire[-1]
        depth += 1
    assert depth == 100
    assert wire[3] == "depth"
    assert len(wire[2]) < 20_000


@pytest.mark.parametrize("value", ["x" * 100, list(range(100)), b"x" * 100, [[1] * 60, [1] * 60]])
def test_size(value):
    encoded = encode_value(value, 90)
    assert encoded.truncated
    assert json.loads(encoded.json)[3] == "size"
    assert not encoded.parts
    assert not encode_value(value, 10_000).truncated


def test_exponential_sharing_ends_at_the_limit():
    value: list[Any] = []
    for _ in range(90):
        value = [value, value]
    assert encode(value, 10_000)[3] == "size"


def test_huge_ints_neither_raise_nor_hang():
    assert encode(10**5000) == ["i", "1" + "0" * 5000]
    assert encode(-(10**5000)) == ["i", "-1" + "0" * 5000]
    assert encode(1 << 10**7) == ["r", "int", "<int of 10000001 bits>", "size"]


class Hostile(list):
    def __iter__(self):
        raise RuntimeError("no")

    __len__ = __getattribute__ = __iter__


class HostileDict(dict):
    def items(self):
        raise RuntimeError("no")


class NoRepr:
    def __repr__(self):
        raise ZeroDivisionError

    @property
    def __class__(self):
        raise RuntimeError("no")


class Changing:
    def __init__(self, target):
        self.target = target

    def __repr__(self):
        self.target[len(self.target)] = self
        return "changing"


def test_hostile_objects():
    assert encode(Hostile([1])) == ["l", 1]
    assert encode(HostileDict(a=1)) == ["d", "a", 1]
    text = "<NoRepr object (repr raised ZeroDivisionError)>"
    assert encode([NoRepr()]) == ["l", ["r", "NoRepr", text, "type"]]
    assert safe_repr([NoRepr()], 1000) == f"[{text}]"
    changing: dict[Any, Any] = {}
    changing["a"] = Changing(changing)
    assert encode(changing)[0] == "r"


@pytest.mark.parametrize(
    "value",
    [
        [], (), {}, set(), frozenset(), [1, "a", (2,), {"k": {3}, 4: frozenset([5])}], Pair(1, [2]),
        {"a": []}, collections.Counter("a"), "it's", b"x", range(3), None, [None, True, 1.5, 10**30],
    ],
)  # fmt: skip
def test_safe_repr_is_repr(value):
    assert safe_repr(value, 10_000) == repr(value)


def test_safe_repr_is_bounded():
    items: list[Any] = []
    for _ in range(100_000):
        items = [items]
    assert len(safe_repr(items, 100_000)) < 1000
    assert safe_repr("x" * 10**6, 10) == "'xxxxxxxxx… (cut at 10 characters)"
    assert len(safe_repr(list(range(10**6)), 1000)) < 1100
    cycle: list[Any] = []
    cycle.append(cycle)
    assert safe_repr(cycle, 100) == "[[...]]"


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        (["t", 1, ["l"]], (1, [])),
        (["s", 1, 2], {1, 2}),
        (["d", "a", 1, 2, None], {"a": 1, 2: None}),
        (["o", "P", "x", 1], {"x": 1}),
        (["i", "9" * 30], int("9" * 30)),
        (["f", "-inf"], float("-inf")),
        (["c", 1, ["f", "inf"]], complex(1, float("inf"))),
        (["D", "2024-01-02T00:00:00.000Z"], datetime.datetime(2024, 1, 2, tzinfo=UTC)),
        (["D", "2024-01-02T00:00:00"], datetime.datetime(2024, 1, 2, tzinfo=UTC)),
        (["y", "2024-01-02"], datetime.date(2024, 1, 2)),
        (["r", "X", "<X>", "type"], "<X>"),
        (["b", 0], b"\1\0\2\0"),
        (["a", "u2", 0, [2]], array.array("H", [1, 2])),
    ],
)
def test_decode(wire, value, monkeypatch):
    monkeypatch.delitem(sys.modules, "numpy", raising=False)
    decoded = decode_value(wire, [b"\1\0\2\0"])
    assert decoded == value
    assert type(decoded) is type(value)


def test_decode_more_dimensions(monkeypatch):
    monkeypatch.delitem(sys.modules, "numpy", raising=False)
    view = decode_value(["a", "u1", 0, [2, 2]], [b"\1\2\3\4"])
    assert view.tolist() == [[1, 2], [3, 4]]
    assert decode_value(["a", "?1", 0, [4]], [b"\1\0\0\1"]).tolist() == [True, False, False, True]
    assert list(decode_value(["a", "f8", 0, [0, 3]], [b""])) == []
    assert decode_value(["a", "f4", 0, [1], "complex64"], [bytes(8)]).tolist() == [[0.0, 0.0]]


def test_decode_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="unknown tag"):
        decode_value(["z"], [])
