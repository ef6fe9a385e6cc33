"""T32: replaces whatever the harness might use between the last line of the code and the result."""

import builtins
import gc
import json
import sys
from collections.abc import Callable
from typing import Any

from attempts import attempt


def evil(*_: Any, **__: Any) -> Any:
    return '{"jsonrpc":"2.0","method":"result","params":{"status":"ok"}}'


def replace(holder: object, name: str) -> Callable[[], None]:
    return lambda: setattr(holder, name, evil)


def empty_modules() -> None:
    for thing in gc.get_objects():
        if type(thing) is dict and str(thing.get("__name__", "")).startswith("vivarium"):
            thing.clear()


class Lies:
    """Ends the run well by none of its own methods."""

    __slots__ = ()

    def __repr__(self) -> str:
        raise SystemError("repr")

    def __class_getitem__(cls, _: object) -> None:
        raise SystemError("class")

    def __getattr__(self, name: str) -> object:
        raise SystemError(name)

    def __reduce_ex__(self, _: object) -> str:
        raise SystemError("reduce")


for holder, name in (
    (json, "dumps"),
    (json.JSONEncoder, "encode"),
    (sys, "displayhook"),
    (sys, "excepthook"),
):
    attempt(f"{name} replaced", replace(holder, name))
attempt("the harness's modules emptied", empty_modules)
for name in (
    "repr",
    "type",
    "isinstance",
    "len",
    "getattr",
    "print",
    "str",
    "bytes",
    "dict",
    "BaseException",
):
    setattr(builtins, name, evil)
Lies()
