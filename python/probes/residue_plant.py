"""T40: leaves a marker wherever an interpreter keeps anything. Another probe then looks for it."""

import builtins
import codecs
import ctypes
import json
import logging
import os
import site
import sys
import types
from collections.abc import Callable
from pathlib import Path

from attempts import attempt, canaries

marker = canaries.marker


def write(path: str) -> Callable[[], object]:
    def act() -> object:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return Path(path).write_text(marker)

    return act


def module() -> None:
    planted = types.ModuleType("planted")
    planted.marker = marker  # type: ignore[attr-defined]
    sys.modules["planted"] = planted


def in_memory() -> object:
    libc = ctypes.pythonapi
    libc.PyMem_RawMalloc.restype = ctypes.c_void_p
    address = libc.PyMem_RawMalloc(1 << 20)
    ctypes.memmove(address, (marker.encode() * 4096)[: 1 << 20], 4096)
    return address


attempt("builtins", lambda: setattr(builtins, "vivarium_probe", marker))
attempt("a builtin replaced", lambda: setattr(builtins, "open", lambda *_, **__: marker))
attempt("a module", module)
attempt("a module's attribute", lambda: setattr(json, "marker", marker))
attempt("a class's attribute", lambda: setattr(json.JSONEncoder, "marker", marker))
attempt("the environment", lambda: os.environ.__setitem__("MARKER", marker))
attempt("putenv", lambda: os.putenv("MARKER", marker))
attempt("sys.path", lambda: sys.path.insert(0, f"/{marker}"))
attempt("a codec", lambda: codecs.register(lambda name: None if name != marker else codecs.lookup("utf-8")))
attempt("logging", lambda: logging.getLogger(marker))
attempt("an interned string", lambda: sys.intern(marker))
for place in (
    "/tmp/marker",
    "/home/pyodide/marker",
    "/var/marker",
    f"{site.getsitepackages()[0]}/marker.py",
    "/dev/marker",
):
    attempt(f"a file {place}", write(place))
attempt("the working folder", lambda: os.makedirs(f"/tmp/{marker}") or os.chdir(f"/tmp/{marker}"))
attempt("memory", in_memory)
gc_cycle: list[object] = [marker]
attempt("a cycle", lambda: gc_cycle.append(gc_cycle))
