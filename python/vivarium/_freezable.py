"""What an image can't hold. Asked before one is taken, and before `gc.freeze()`, which this undoes."""

import asyncio
import gc
import sys
from collections.abc import Iterator
from inspect import CORO_CLOSED, getcoroutinestate
from types import AsyncGeneratorType, CoroutineType, FrameType, ModuleType
from typing import Any

from ._pristine import pristine as __builtins__  # noqa: F401
from ._repr import type_name

_modules = sys.modules
_MAX_PATH = 12
_MAX_FOUND = 20


def pending_tasks() -> list[str]:
    """Names of the tasks and coroutines that have begun or wait to, and were not awaited to their end."""
    gc.collect()
    gc.unfreeze()
    objects = gc.get_objects()
    names: list[str] = []
    # Coroutines that one named before drives.
    driven: set[int] = set()
    for each in objects:
        if issubclass(type(each), asyncio.Task) and not each.done():
            coroutine = each.get_coro()
            names.append(f"task {each.get_name()} ({_name_of(coroutine)})")
            driven.update(_chain(coroutine))
    suspended = [
        each
        for each in objects
        if type(each) is CoroutineType and id(each) not in driven and getcoroutinestate(each) != CORO_CLOSED
    ]
    for each in suspended:
        driven.update(_chain(each.cr_await))
    names += [f"coroutine {_name_of(each)}" for each in suspended if id(each) not in driven]
    names += [
        f"asynchronous generator {_name_of(each)}"
        for each in objects
        if type(each) is AsyncGeneratorType and each.ag_frame is not None and each.ag_frame.f_lasti > 0
    ]
    return names


def _chain(awaited: Any) -> Iterator[int]:
    while awaited is not None:
        yield id(awaited)
        awaited = getattr(awaited, "cr_await", None)


def _name_of(coroutine: Any) -> str:
    return str(getattr(coroutine, "__qualname__", None) or type_name(type(coroutine)))


def javascript_objects(proxy: type | None = None) -> list[str]:
    """Where objects of JavaScript are held, e.g. `urllib3.fetch.streaming.worker`; at most twenty of them."""
    if proxy is None:
        from pyodide.ffi import JsProxy as proxy  # type: ignore[import-not-found,no-redef]  # noqa: N813
    gc.collect()
    gc.unfreeze()
    kinds: dict[type, bool] = {}

    def is_proxy(each: object) -> bool:
        kind = type(each)
        known = kinds.get(kind)
        if known is None:
            known = kinds[kind] = issubclass(kind, proxy) and not issubclass(kind, type)
        return known

    # By those who refer to them, since the collector needn't know the proxies themselves.
    found: dict[int, str] = {}
    objects = gc.get_objects()
    for holder in objects:
        # Loaders of Pyodide's own modules are in every kernel, and their objects in every reference table.
        if is_proxy(holder) or getattr(type(holder), "__module__", None) == "_pyodide._importhook":
            continue
        for each in gc.get_referents(holder):
            if is_proxy(each) and id(each) not in found:
                found[id(each)] = _path_to(each, holder, objects)
                if len(found) == _MAX_FOUND:
                    return sorted(found.values())
    return sorted(found.values())


def _path_to(target: object, holder: object, ignored: object) -> str:
    """The shortest way from a module, as attributes and indices; else the type of what holds it."""
    queue: list[tuple[object, str]] = [(holder, _label(holder, target))]
    seen = {id(target), id(holder)}
    for _ in range(_MAX_PATH):
        former, queue = queue, []
        # Its own variables refer to what it looks at.
        own = (former, queue, ignored)
        for each, path in former:
            if issubclass(type(each), ModuleType):
                return f"{each.__name__}{path}"
            for referrer in gc.get_referrers(each):
                if id(referrer) in seen or any(referrer is one for one in own):
                    continue
                if issubclass(type(referrer), (FrameType, Iterator)) or type(referrer) is list is type(each):
                    continue
                seen.add(id(referrer))
                queue.append((referrer, _label(referrer, each) + path))
        if len(queue) > 10_000:
            break
    return f"a {type_name(type(holder))}"


def _label(holder: object, held: object) -> str:
    kind = type(holder)
    if issubclass(kind, dict):
        for key, value in dict.items(holder):
            if value is held:
                # The dict of a module or an object, or one that is held itself: the reader will know.
                return f".{key}" if type(key) is str and key.isidentifier() else f"[{key!r}]"
        return ""
    if issubclass(kind, (list, tuple)):
        return next((f"[{index}]" for index, item in enumerate(holder) if item is held), "")
    # Its dict is no referent while the values lie in the object itself.
    attributes = getattr(holder, "__dict__", {})
    return next((f".{name}" for name, value in attributes.items() if value is held), "")
