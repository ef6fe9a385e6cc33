"""numpy's arrays and pandas' tables, to and from the wire."""

import array
import json
import math
import random
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vivarium._values import decode_value, encode_value

LIMIT = 1_000_000


def encode(value, limit=LIMIT):
    encoded = encode_value(value, limit)
    return json.loads(encoded.json), [bytes(part) for part in encoded.parts]


def round_trip(value):
    encoded = encode_value(value, LIMIT)
    return decode_value(json.loads(encoded.json), [b"", *[memoryview(part) for part in encoded.parts]])


NUMBERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


@pytest.mark.parametrize("dtype", NUMBERS)
def test_plain_numbers(dtype):
    expected = np.arange(6).astype("<" + dtype).tobytes()
    assert encode(np.arange(6, dtype=dtype)) == (["a", dtype, 1, [6]], [expected])
    assert encode(np.arange(6, dtype=">" + dtype).reshape(2, 3)) == (["a", dtype, 1, [2, 3]], [expected])


@pytest.mark.parametrize(
    ("value", "wire", "part"),
    [
        (np.array([True, False]), ["a", "?1", 1, [2], "bool"], b"\1\0"),
        (np.array([[True]]), ["a", "?1", 1, [1, 1]], b"\1"),
        (np.array([0.5], "f2"), ["a", "f4", 1, [1], "float16"], np.float32(0.5).tobytes()),
        (np.array([1 + 2j], "c8"), ["a", "f4", 1, [1], "complex64"], np.array([1, 2], "<f4").tobytes()),
        (np.array([1 + 2j], ">c16"), ["a", "f8", 1, [1], "complex128"], np.array([1, 2], "<f8").tobytes()),
        (np.array([0.1], "g"), ["a", "f8", 1, [1]], np.array([0.1], "<f8").tobytes()),
        (np.array([1j], "G"), ["a", "f8", 1, [1], "complex128"], np.array([0, 1], "<f8").tobytes()),
        (
            np.array(["1970-01-02", "NaT"], "M8[D]"),
            ["a", "i8", 1, [2], "datetime64[D]"],
            np.array([1, -(2**63)], "<i8").tobytes(),
        ),
        (np.array([[3]], ">m8[25s]"), ["a", "i8", 1, [1, 1], "timedelta64[25s]"], b"\3" + bytes(7)),
        (np.zeros((0, 3)), ["a", "f8", 1, [0, 3]], b""),
        (np.arange(6, dtype="i1").reshape(2, 3).T, ["a", "i1", 1, [3, 2]], b"\0\3\1\4\2\5"),
        (np.arange(6, dtype="i1")[::-2], ["a", "i1", 1, [3]], b"\5\3\1"),
        (np.broadcast_to(np.int8(7), (2, 2)), ["a", "i1", 1, [2, 2]], b"\7\7\7\7"),
        (
            np.asfortranarray(np.eye(2, dtype="f2")),
            ["a", "f4", 1, [2, 2], "float16"],
            np.eye(2, dtype="f4").tobytes(),
        ),
    ],
)  # fmt: skip
def test_buffers(value, wire, part):
    assert encode(value) == (wire, [part])


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (np.array(7), 7),
        (np.array(True), True),
        (np.array(1.5, "f2"), 1.5),
        (np.array("text"), "text"),
        (np.array("2024-01-02", "M8[D]"), ["y", "2024-01-02"]),
        (np.array("NaT", "M8[ns]"), None),
        (np.array(["a", "bc"]), ["l", "a", "bc"]),
        (np.array([["a"], [None]], object), ["l", ["l", "a"], ["l", None]]),
        (np.array([(1, 2.5)], "i4,f8"), ["l", ["d", "f0", 1, "f1", 2.5]]),
        (np.array([(1, 2.5)], "i4,f8")[0], ["d", "f0", 1, "f1", 2.5]),
        (np.array((1, 2.5), "i4,f8"), ["d", "f0", 1, "f1", 2.5]),
        (np.ma.array([1, 2], mask=[False, True]), ["l", 1, None]),
        (np.ma.masked, None),
        ([np.int64(5), np.float32(0.5), np.bool_(True)], ["l", 5, 0.5, True]),
        (np.longdouble(0.5), 0.5),
        (np.complex64(1j), ["c", 0.0, 1.0]),
        (np.datetime64("2024-01-02T03:04:05.123456789"), ["D", "2024-01-02T03:04:05.123456"]),
        (np.timedelta64(5, "ns"), ["r", "timedelta64", repr(np.timedelta64(5, "ns")), "type"]),
        (np.array(5, "m8[ns]"), ["r", "timedelta64", repr(np.timedelta64(5, "ns")), "type"]),
        (pd.Timestamp("2024-01-02", tz="Europe/Berlin"), ["D", "2024-01-01T23:00:00"]),
        ([pd.NA, pd.NaT], ["l", None, None]),
    ],
)
def test_scalars_and_nested_lists(value, wire):
    assert encode(value) == (wire, [])


def test_bytes_of_fixed_width():
    assert encode(np.array([b"ab"])) == (["l", ["b", 1]], [b"ab"])


def test_an_array_that_holds_itself():
    holder = np.empty(2, object)
    holder[0] = holder
    wire, _ = encode(holder)
    assert wire[1][3] == "cycle"
    single = np.empty((), object)
    single[()] = single
    assert encode(single)[0][0] == "r"


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(1000),
        np.zeros(1000, bool),
        np.empty(1000, object),
        np.broadcast_to(0, (2**40,)),
        np.broadcast_to("x", (2**40,)),
        pd.DataFrame({"a": np.zeros(1000)}),
        pd.Series(["x"] * 1000),
        pd.DataFrame({"a": np.broadcast_to(None, (1000,))}),
        Image.effect_noise((100, 100), 50),
        pd.DataFrame(index=range(10**9)),
    ],
)
def test_size(value):
    encoded = encode_value(value, 900)
    assert encoded.truncated
    assert json.loads(encoded.json)[3] == "size"
    assert not encoded.parts


DTYPES = [*NUMBERS, "?", "f2", "c8", "c16", "M8[ns]", "M8[D]", "m8[us]", ">f8", ">i2", ">M8[s]"]


def test_round_trip():
    """Of any type, shape and order of memory: the same array, but native, writable and its own."""
    draw = random.Random(1)
    for count in range(400):
        dtype = np.dtype(draw.choice(DTYPES))
        shape = [draw.choice([0, 1, 2, 3, 5]) for _ in range(draw.randint(1, 4))]
        size = math.prod(shape) * dtype.itemsize
        bits = np.frombuffer(draw.randbytes(size), dtype if dtype.kind != "b" else "u1")
        value = bits.reshape(shape) % 2 == 0 if dtype.kind == "b" else bits.reshape(shape)
        if draw.random() < 0.5:
            value = value.transpose(draw.sample(range(len(shape)), len(shape)))
        if draw.random() < 0.3:
            value = value[::-1]
        if value.ndim == 1 and value.dtype == np.uint8:
            # Plain bytes in JavaScript: the wire has another tag for those that come from there.
            continue
        result = round_trip(value)
        assert isinstance(result, np.ndarray), count
        assert result.dtype == value.dtype.newbyteorder("=")
        assert result.dtype.isnative
        assert result.flags.writeable
        assert result.flags.c_contiguous
        assert result.flags.aligned
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.testing.assert_array_equal(result, value)


def test_from_javascript():
    part = memoryview(b"x" + np.arange(4, dtype="<f8").tobytes())[1:]
    value = decode_value(["l", ["a", "f8", 0, [2, 2]], ["b", 0]], [part])
    value[0][0, 0] = 5
    assert value[0].tolist() == [[5, 1], [2, 3]]
    assert value[1] == bytes(part)
    assert decode_value(["a", "u1", 0, [2], "uint8"], [b"\1\2"]).tolist() == [1, 2]
    flags = decode_value(["a", "?1", 0, [2], "bool"], [b"\2\0"])
    assert (flags.dtype, flags.tobytes()) == (bool, b"\1\0")
    assert decode_value(["a", "i4", 0, []], [b"\7\0\0\0"]).shape == ()


def test_other_buffers_are_as_without_numpy():
    assert encode(array.array("d", [1.0]))[0] == ["a", "f8", 1, [1]]
    assert encode(memoryview(b"\1\0").cast("?"))[0] == ["a", "?1", 1, [2]]


def test_frame():
    frame = pd.DataFrame(
        {
            "n": [1, 2],
            "x": [0.5, None],
            "flag": [True, False],
            "text": ["a", None],
            "when": pd.to_datetime(["2024-01-02", None]).astype("datetime64[us]"),
            7: [{"k": 1}, float("nan")],
        }
    )
    wire, parts = encode(frame)
    assert wire[:3] == [
        "F",
        ["l", "n", "x", "flag", "text", "when", "7"],
        ["l", "int64", "float64", "bool", "str", "datetime64[us]", "object"],
    ]
    assert wire[3] == [
        "l",
        ["a", "i8", 1, [2]],
        ["a", "f8", 2, [2]],
        ["a", "?1", 3, [2], "bool"],
        ["l", "a", None],
        ["a", "i8", 4, [2], "datetime64[us]"],
        ["l", ["d", "k", 1], None],
    ]
    assert wire[4:] == [None, ["l", None], 2]
    assert np.isnan(np.frombuffer(parts[1])[1])
    assert np.frombuffer(parts[3], "i8")[1] == -(2**63)


def test_index():
    frame = pd.DataFrame({"k": ["b", "a"], "j": [1, 1], "n": [1, 2]})
    assert encode(frame.groupby("k").sum())[0][4:] == [["l", "a", "b"], ["l", "k"], 2]
    levels = encode(frame.groupby(["k", "j"]).sum())[0]
    assert levels[4:] == [["l", ["t", "a", 1], ["t", "b", 1]], ["l", "k", "j"], 2]
    assert encode(frame[1:])[0][4][:2] == ["a", "i8"]
    assert encode(pd.DataFrame(index=range(3)))[0] == ["F", ["l"], ["l"], ["l"], None, ["l", None], 3]
    assert encode(frame.pivot_table(index="k", columns="j", values="n"))[0][1] == ["l", "1"]


def test_labels_that_occur_twice():
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
    wire, parts = encode(frame)
    assert wire[1] == ["l", "a", "a"]
    assert [int.from_bytes(part, "little") for part in parts] == [1, 2]


@pytest.mark.parametrize(
    ("items", "dtype", "wire", "array"),
    [
        ([1, 2], "Int64", ["a", "i8", 1, [2]], np.array([1, 2])),
        ([1, None], "Int64", ["l", 1, None], None),
        ([True, None], "boolean", ["l", True, None], None),
        ([True, False], "boolean", ["a", "?1", 1, [2], "bool"], np.array([True, False])),
        ([0.5, None], "Float32", ["a", "f4", 1, [2]], np.array([0.5, math.nan], "f4")),
        (["a", None], "string", ["l", "a", None], None),
        (["a", None, "a"], "category", ["l", "a", None, "a"], None),
        ([3, 1], "category", ["a", "i8", 1, [2]], np.array([3, 1])),
        ([1, None], "object", ["l", 1, None], None),
        (["2024-01", None], "period[M]", ["l", "2024-01", None], None),
        ([0.0, 1.0], "Sparse[float]", ["a", "f8", 1, [2]], np.array([0.0, 1.0])),
        ([1, 2], "timedelta64[s]", ["a", "i8", 1, [2], "timedelta64[s]"], np.array([1, 2])),
    ],
)
def test_series(items, dtype, wire, array):
    series = pd.Series(items, dtype=dtype, name="s")
    expected = [] if array is None else [array.tobytes()]
    assert encode(series) == (["S", "s", str(series.dtype), wire, None, ["l", None]], expected)


def test_times_with_a_zone_are_utc():
    series = pd.Series(pd.to_datetime(["2024-01-02 01:00"]).tz_localize("Europe/Berlin").as_unit("s"))
    wire, parts = encode(series)
    assert wire[2] == "datetime64[s, Europe/Berlin]"
    assert wire[3] == ["a", "i8", 1, [1], "datetime64[s]"]
    assert np.frombuffer(parts[0], "M8[s]")[0] == np.datetime64("2024-01-02T00:00")


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"n": [1, 2], "x": [0.5, None], "t": ["a", None], "f": [True, False]}),
        pd.DataFrame({"k": ["b", "a"], "j": [1, 1], "n": [1, 2]}).groupby("k").sum(),
        pd.DataFrame({"k": ["b", "a"], "j": [1, 1], "n": [1, 2]}).groupby(["k", "j"]).sum(),
        pd.DataFrame([[1, 2.5]], columns=["a", "a"], index=[7]),
        pd.DataFrame(index=range(3), columns=pd.Index([], dtype=object)),
        pd.DataFrame(
            {
                "zone": pd.to_datetime(["2024-01-02 01:00", None]).tz_localize("Europe/Berlin"),
                "time": pd.to_datetime(["2024-01-02 01:00", None]),
                "delta": pd.to_timedelta([1, None], "s"),
                "int": pd.array([1, None], "Int64"),
                "flag": pd.array([True, None], "boolean"),
                "cat": pd.Categorical(["x", None]),
                "obj": [[1], None],
                "period": pd.PeriodIndex(["2024-01", None], freq="M"),
            }
        ),
        pd.Series([1, 2], name="s"),
        pd.Series(["a"], index=["x"]),
    ],
)
def test_tables_round_trip(table):
    result = round_trip(table)
    (pd.testing.assert_frame_equal if table.ndim == 2 else pd.testing.assert_series_equal)(result, table)


def test_tables_without_pandas(monkeypatch):
    monkeypatch.delitem(sys.modules, "pandas")
    frame = ["F", ["l", "a"], ["l", "str"], ["l", ["l", "x"]], None, ["l", None], 1]
    assert decode_value(frame, []) == {"a": ["x"]}
    assert decode_value(["S", None, "str", ["l", "x"], None, ["l", None]], []) == ["x"]


def test_indexes_and_extension_arrays():
    assert encode(pd.Index(["a", "b"]))[0] == ["l", "a", "b"]
    assert encode(pd.Series(["a", "a"]).astype("category").unique())[0] == ["l", "a"]
    assert encode({"i": pd.RangeIndex(2)})[0] == ["d", "i", ["a", "i8", 1, [2]]]


@pytest.mark.parametrize(
    "mode",
    "1 L LA I I;16 I;16B I;16L F P PA RGB RGBA RGBX RGBa La CMYK YCbCr LAB HSV".split(),  # noqa: SIM905
)
def test_images(mode, capfd):
    wire, (part,) = encode({"image": Image.new(mode, (3, 2))})
    assert wire == ["d", "image", ["b", 1]]
    assert part.startswith(b"\x89PNG")
    assert capfd.readouterr().err == ""
