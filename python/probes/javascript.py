"""T04, T05: looks for JavaScript objects all over Python, and by each tries to reach the platform."""

import gc
import importlib
import json
import sys
from collections.abc import Callable

from attempts import attempt, canaries
from pyodide import ffi

secret = json.dumps(canaries.secret)
scripts = [
    f"return globalThis.Deno.readTextFileSync({secret})",
    f"return globalThis.process.getBuiltinModule('node:fs').readFileSync({secret}, 'utf8')",
    f"return fetch('http://127.0.0.1:{canaries.port}/')",
    f"return import('file://' + {secret})",
    "return globalThis.postMessage({kind: 'pong', id: 'x'})",
]


def by(find: Callable[[], object]) -> Callable[[], object]:
    """By the constructor of a constructor, which makes functions from strings, whatever the object is."""

    def act() -> object:
        start = find()
        make = start.constructor.constructor  # type: ignore[attr-defined]
        found: list[object] = []
        for script in scripts:
            try:
                found.append(str(make(script)()))
            except Exception as error:
                found.append(repr(error)[:100])
        return found

    return act


def from_modules() -> object:
    return [key for key, module in sys.modules.items() if isinstance(module, ffi.JsProxy)] or None


def from_collector() -> object:
    return [repr(thing) for thing in gc.get_objects() if isinstance(thing, ffi.JsProxy)] or None


def from_subclasses() -> object:
    kind: type = ffi.JsProxy
    return [each.__name__ for each in kind.__subclasses__()] or None


def from_frames() -> object:
    try:
        raise LookupError
    except LookupError as error:
        frame = error.__traceback__.tb_frame if error.__traceback__ else None
    found = []
    while frame is not None:
        spaces = (frame.f_globals, frame.f_locals)
        found += [key for space in spaces for key, value in space.items() if isinstance(value, ffi.JsProxy)]
        frame = frame.f_back
    return found or None


def without_module(name: str) -> object:
    sys.modules.pop(name, None)
    return by(lambda: importlib.import_module(name))()


attempt("js", by(lambda: importlib.import_module("js")))
attempt("pyodide_js", by(lambda: importlib.import_module("pyodide_js")))
attempt("js, once more", lambda: without_module("js"))
attempt(
    "_pyodide_core",
    lambda: [key for key in vars(importlib.import_module("_pyodide_core")) if "js" in key.lower()],
)
attempt("a converted list", by(lambda: ffi.to_js([1])))
attempt("a converted dict", by(lambda: ffi.to_js({"a": 1})))
attempt("a proxy", by(lambda: ffi.create_proxy(lambda: 1)))
attempt("a converted function", by(lambda: ffi.to_js(print)))
attempt("an error of JavaScript", by(lambda: ffi.JsException("Error", "x").js_error))
attempt("modules", from_modules)
attempt("the collector", from_collector)
attempt("subclasses", from_subclasses)
attempt("frames", from_frames)
