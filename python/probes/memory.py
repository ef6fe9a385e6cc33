"""T46: takes memory until there is none, in objects, in one piece, and in files."""

import ctypes

from attempts import attempt


def objects() -> None:
    kept: list[object] = []
    while True:
        kept.append(bytearray(1 << 20))


def files() -> None:
    number = 0
    while True:
        with open(f"filled-{number}", "wb") as file:
            file.write(bytes(1 << 20))
        number += 1


def by_libc() -> object:
    libc = ctypes.CDLL(None)
    taken = 0
    while libc.malloc(1 << 20):
        taken += 1
    return f"{taken} MiB"


attempt("in one piece", lambda: len(bytearray(3 << 30)))
attempt("in objects", objects)
attempt("by malloc", by_libc)
attempt("in files", files)
