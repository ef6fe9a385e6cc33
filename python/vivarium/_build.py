"""Once, before an image is taken: packages are imported and warmed; what can't be frozen is refused."""

import gc
import importlib
from typing import Any, TypedDict

from . import _harness
from ._channel import quote, to_json
from ._freezable import javascript_objects, pending_tasks


class Script(TypedDict):
    filename: str
    code: str


class Plan(TypedDict):
    imports: list[str]
    warm: list[Script]


class Failure(TypedDict):
    reason: str
    package: str
    message: str


def receive_plan() -> Plan:
    plan: Any
    plan, _ = _harness.receive()
    return plan


def build(plan: Plan) -> Failure | None:
    """Imports and warms as planned; returns why that can't be done."""
    if not plan["imports"] and not plan["warm"]:
        return None
    thresholds = gc.get_threshold()
    # Cycles that pile up make the heap larger, and objects that stay are scattered over all of it.
    gc.set_threshold(500, 2, 1)
    try:
        failure = _import_and_warm(plan)
    finally:
        gc.set_threshold(*thresholds)
    return (
        failure
        or _refuse("tasks that are pending", pending_tasks())
        or _refuse("objects of JavaScript", javascript_objects())
    )


def answer(failure: Failure | None) -> None:
    _harness.send(f'"kind":"result","failure":{to_json(failure)}')


def _import_and_warm(plan: Plan) -> Failure | None:
    for name in plan["imports"]:
        _tell(f"importing {name}")
        try:
            importlib.import_module(name)
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
            return _failure("import_failed", name, f"{name} is installed but can't be imported: {text}")
    for script in plan["warm"]:
        _tell(f"running {script['filename']}")
        error = _harness.warm_up(script["code"], script["filename"])
        if error is not None:
            return _failure("import_failed", "", f"{script['filename']} failed as a warm-up: {error}")
    return None


def _refuse(what: str, found: list[str]) -> Failure | None:
    if not found:
        return None
    return _failure("not_freezable", "", f"an image can't hold {what}: {', '.join(found)}")


def _failure(reason: str, package: str, message: str) -> Failure:
    return {"reason": reason, "package": package, "message": message}


def _tell(message: str) -> None:
    _harness.send(f'"kind":"progress","message":{quote(message)}')
