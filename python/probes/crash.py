"""T48: ends or breaks the process from C: exit, abort, memory that isn't there, memory overwritten."""

import ctypes
import os

from attempts import attempt

libc = ctypes.CDLL(None)

attempt("os._exit(0)", lambda: os._exit(0))
attempt("os.abort", os.abort)
attempt("exit of libc", lambda: libc.exit(0))
attempt("emscripten_force_exit", lambda: libc.emscripten_force_exit(0))
attempt("a read from nowhere", lambda: ctypes.string_at(0xFFFFFFF0, 100))
attempt("a call to nowhere", lambda: ctypes.CFUNCTYPE(None)(0x7FFFFFFF)())
attempt("memory overwritten", lambda: ctypes.memset(1024, 255, 8 << 20))
