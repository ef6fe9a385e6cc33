"""T45: more output than anyone may hold: in one piece, in many, as an exception and as the value."""

import os
import sys

from attempts import attempt


def flood() -> object:
    line = b"x" * (1 << 20)
    return sum(os.write(1, line) for _ in range(256))


def drops() -> object:
    return sum(sys.stderr.write("x\n") for _ in range(200_000))


class Loud:
    def __repr__(self) -> str:
        return "x" * (64 << 20)


attempt("in large pieces", flood)
attempt("in small pieces", drops)
Loud()
