"""T33: a value that could harm its reader: names of prototypes, numbers and text beyond JSON's, cycles."""

import math
import sys
from typing import Any

deep: list[Any] = []
for _ in range(100_000):
    deep = [deep]
cycle: dict[str, Any] = {}
cycle["itself"] = cycle
sys.setrecursionlimit(5_000)

{
    "__proto__": {"polluted": "by __proto__"},
    "constructor": {"prototype": {"polluted": "by constructor"}},
    "prototype": {"polluted": "by prototype"},
    "toJSON": "toJSON",
    "then": "then",
    "toString": "toString",
    "valueOf": 1,
    "hasOwnProperty": 2,
    "__defineGetter__": 3,
    "": 4,
    "not a number": math.nan,
    "infinite": [math.inf, -math.inf],
    "negative zero": -0.0,
    "beyond exact": 2**53 + 1,
    "beyond 64 bits": -(2**80),
    "lone surrogate": "\ud800 and \udc00",
    "NUL": "a\0b",
    "bytes": b"\xff\xfe",
    "deep": deep,
    "cycle": cycle,
    "keys": {1: "one", None: "none", ("a", 2): "pair", "__proto__": "again"},
}
