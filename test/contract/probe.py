"""Facts about the interpreter that a run could have changed. Equal before and after a rewind.

The suite runs it alone, and at the end of a poison: there it must come out different (or fail), which proves
that the fact is looked at.
"""

import abc as _abc
import builtins as _builtins
import codecs as _codecs
import collections as _collections
import decimal as _decimal
import gc as _gc
import importlib as _importlib
import json as _json
import linecache as _linecache
import logging as _logging
import os as _os
import pathlib as _pathlib
import random as _random
import re as _re
import signal as _signal
import site as _site
import sys as _sys
import tempfile as _tempfile
import threading as _threading
import time as _time
import warnings as _warnings
from typing import Any as _Any


def _text(value: object) -> str:
    """`repr` without addresses."""
    return _re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _codec_known(name: str) -> bool:
    try:
        _codecs.lookup(name)
    except LookupError:
        return False
    return True


def _next_descriptor() -> int:
    descriptor = _os.open("/dev/null", _os.O_RDONLY)
    _os.close(descriptor)
    return descriptor


def _umask() -> int:
    old = _os.umask(0)
    _os.umask(old)
    return old


def _site_packages() -> list[str]:
    found = []
    for folder in _site.getsitepackages():
        found += [*_os.listdir(folder)] if _os.path.isdir(folder) else []
    return sorted(found)


def _fresh_import() -> bool:
    _importlib.invalidate_caches()
    try:
        import colorsys as module
    except ImportError:
        return False
    return module.rgb_to_hsv(1, 1, 1) == (0.0, 0.0, 1)


class _Own(_abc.ABC):  # noqa: B024
    """Fails to be made when the machinery of classes was patched."""


def _facts() -> dict[str, _Any]:
    namespace = _sys.modules["__main__"].__dict__
    return {
        "builtins": sorted(
            f"{name}={_text(value)}" for name, value in vars(_builtins).items() if name != "_"
        ),
        "globals": sorted(name for name in namespace if not name.startswith("_")),
        "main is globals": namespace is globals(),
        "modules patched": [
            _text(function)
            for function in (
                _json.dumps,
                _json.loads,
                _os.getcwd,
                _os.listdir,
                _time.time,
                _random.random,
                _importlib.import_module,
                _warnings.warn,
                _tempfile.mktemp,
            )
        ],
        "classes marked": [
            cls.__qualname__
            for cls in (_json.JSONEncoder, _collections.Counter, _pathlib.PurePath, _logging.Logger)
            if "leak" in vars(cls)
        ],
        "json": _json.dumps({"a": [1, 2]}),
        "json default": _json.JSONEncoder.item_separator,
        "path": _sys.path,
        "argv": _sys.argv,
        "meta_path": [_text(finder) for finder in _sys.meta_path],
        "path_hooks": [_text(hook) for hook in _sys.path_hooks],
        "hooks": [
            _text(hook)
            for hook in (
                _sys.excepthook,
                _sys.displayhook,
                _sys.unraisablehook,
                _sys.breakpointhook,
                _threading.excepthook,
                _sys.gettrace(),
                _sys.getprofile(),
                _threading.gettrace(),
                _sys.monitoring.get_tool(4),
                _sys.get_asyncgen_hooks(),
            )
        ],
        "limits": [_sys.getrecursionlimit(), _sys.getswitchinterval(), _sys.get_int_max_str_digits()],
        "codec": _codec_known("leak"),
        "environment": dict(_os.environ),
        "cwd": _os.getcwd(),
        "folder": _os.listdir(),
        "tmp": _os.listdir(_tempfile.gettempdir()),
        "home": sorted(_os.listdir(_os.path.expanduser("~"))),
        "root": sorted(_os.listdir("/")),
        "site-packages": _site_packages(),
        "descriptor": _next_descriptor(),
        "umask": _umask(),
        "zone": [_time.tzname, _time.timezone],
        "gc": [
            _gc.isenabled(),
            _gc.get_threshold(),
            _gc.get_debug(),
            len(_gc.callbacks),
            _gc.get_freeze_count(),
        ],
        "signals": [_text(_signal.getsignal(number)) for number in _signal.valid_signals()],
        "warnings": [_text(entry) for entry in _warnings.filters],
        "decimal": [_decimal.getcontext().prec, _decimal.DefaultContext.prec],
        "logging": [
            _logging.getLogger().level,
            len(_logging.getLogger().handlers),
            _logging.root.manager.disable,
        ],
        "linecache": sorted(name for name in _linecache.cache if name.startswith("leak")),
        "stdin": _sys.stdin.read(),
        "streams": [_text(_sys.stdin), _text(_sys.stdout), _text(_sys.stderr)],
        "import": _fresh_import(),
        "numbers": [int("241") == int("240") + 1, sum([0.5, 0.25]) == 0.75],
        "modules": sorted(name for name in _sys.modules if "leak" in name),
    }


_found = _facts()
_gc.collect()
print("probe é")
print("probe ü", file=_sys.stderr)
_found  # noqa: B018
