"""Entry of the kernel: imported once, when an interpreter boots plainly; an image has its result in its heap.

The kernel calls `execute` by its address. Everything goes through two descriptors, as bytes: Python is never
handed a JavaScript object.
"""

import os
import struct
import sys
from pathlib import Path

from pyodide.ffi import JsProxy, unregister_js_module

from vivarium import _build, _harness

# Agreed with src/kernel/devices.ts.
CHANNEL_FD = 1000
SLEEP_FD = 1001

_pack = struct.Struct("<d").pack
_write = os.write


def _sleep(ms: float) -> None:
    _write(SLEEP_FD, _pack(ms))


def _hide_javascript() -> None:
    """Takes away every handle on JavaScript that Pyodide leaves about. Depth: the boundary is the process."""
    for name in ("js", "pyodide_js"):
        unregister_js_module(name)
    sys.meta_path[:] = [each for each in sys.meta_path if not type(each).__module__.startswith("_pyodide")]
    for name, module in list(sys.modules.items()):
        if isinstance(module, JsProxy):
            del sys.modules[name]
            continue
        for attribute, value in list(vars(module).items()):
            if isinstance(value, JsProxy):
                delattr(module, attribute)


_hide_javascript()
_harness.boot(_sleep, CHANNEL_FD, CHANNEL_FD)
_failure = _build.build(_build.receive_plan())
_own = [Path(__file__).with_name(name).read_text() for name in ("_warm.py", "_warm_packages.py")]
_harness.rehearse([*_own, "1 + 1"], times=12)
_harness.settle()
_build.answer(_failure)
execute = _harness.execute
