"""T47: recursion until a stack is full: Python's, C's, and that of the parser."""

import ast
import json
import pickle
import sys
from typing import Any

from attempts import attempt


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def deeper(depth: int) -> int:
    return deeper(depth + 1) + 1


def without_limit() -> object:
    sys.setrecursionlimit(10**7)
    return deeper(0)


attempt("recursion", lambda: deeper(0))
attempt("the parser", lambda: ast.parse("-" * 200_000 + "1"))
attempt("json", lambda: json.loads("[" * 200_000))
attempt("pickle", lambda: len(pickle.dumps(nested(100_000))))
attempt("repr", lambda: len(repr(nested(300_000))))
attempt("recursion without a limit", without_limit)
