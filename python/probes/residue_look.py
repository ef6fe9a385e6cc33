"""T40: looks for the marker of an earlier run in objects, files and the whole of memory."""

import builtins
import ctypes
import gc
import os
import re
import sys
from pathlib import Path

from attempts import attempt

# Put together here: this file's own text must not be what is found.
pattern = re.compile(b"-".join([b"marker", b"of", b"a", b"run", b"[0-9a-f]{8,}"]))
libc = ctypes.CDLL(None)


def found(texts: list[bytes]) -> object:
    return sorted({match.decode() for text in texts for match in pattern.findall(text)}) or None


def objects() -> object:
    return found([repr(each).encode() for each in gc.get_objects() if type(each) in (dict, list, tuple)])


def names() -> object:
    spaces = [vars(builtins), os.environ, sys.modules, *map(vars, list(sys.modules.values()))]
    return found([repr([*space.items()]).encode() for space in spaces])


def files() -> object:
    texts = [os.getcwd().encode()]
    for folder, folders, entries in os.walk("/"):
        if folder.startswith("/proc"):
            continue
        texts.append(repr([folder, folders, entries]).encode())
        if folder.startswith(("/tmp", "/home", "/var", "/dev", "/lib/python3.14/site-packages")):
            paths = [Path(folder, entry) for entry in entries]
            texts += [path.read_bytes() for path in paths if path.is_file() and path.stat().st_size < 1 << 20]
    return found(texts)


def memory() -> object:
    return found([ctypes.string_at(1024, libc.sbrk(0) - 1024)])


attempt("names", names)
attempt("objects", objects)
attempt("files", files)
attempt("memory", memory)
