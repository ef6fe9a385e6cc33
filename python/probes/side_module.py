"""T03: tries to have machine code loaded that the guest wrote itself, or found outside."""

import ctypes
import importlib.machinery
import importlib.util
import os
import sys

from attempts import attempt, canaries

# A module with an empty `dylink.0` section and nothing else.
module = b"\0asm\x01\0\0\0" + b"\0\x0e\x08dylink.0" + b"\x01\x04\0\0\0\0"
own = os.path.join(os.getcwd(), "own.so")
with open(own, "wb") as file:
    file.write(module)


def extension() -> object:
    loader = importlib.machinery.ExtensionFileLoader("own", own)
    spec = importlib.util.spec_from_loader("own", loader)
    if spec is None:
        raise ImportError("own")
    return importlib.util.module_from_spec(spec)


attempt("ctypes.CDLL of an own file", lambda: ctypes.CDLL(own))
attempt("ctypes.PyDLL of an own file", lambda: ctypes.PyDLL(own))
attempt("an own extension module", extension)
attempt("ctypes.CDLL of a file outside", lambda: ctypes.CDLL(canaries.secret))
attempt("ctypes.CDLL of the host's libc", lambda: ctypes.CDLL("/lib/x86_64-linux-gnu/libc.so.6"))
attempt("the interpreter itself", lambda: os.execv(sys.executable or "python", ["python"]))
