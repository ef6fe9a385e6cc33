"""What every probe reports by: each attempt's name before it is made, and what came of it, as JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Canaries:
    """What lies outside and must stay as it is."""

    secret: str
    """Path of a file that must not be read."""
    create: str
    """Path where nothing may appear."""
    folder: str
    """The folder of both."""
    port: int
    """One of the loopback interface where every connection is counted."""
    variable: str
    """Name of a variable in the host's environment."""
    marker: str
    """A word that belongs to one run only."""


_given = json.loads(sys.argv[1])
_tried = frozenset[str](_given.pop("tried"))
canaries = Canaries(**_given)


def attempt(name: str, act: Callable[[], object]) -> None:
    """Makes an attempt, unless an earlier run ended in it."""
    if name in _tried:
        return
    print(json.dumps({"try": name}), flush=True)
    try:
        outcome = {"got": _shown(act())}
    except BaseException as error:
        outcome = {"raised": type(error).__name__, "why": str(error)[:200]}
    print(json.dumps({"tried": name, **outcome}), flush=True)


def _shown(value: object) -> str | None:
    return None if value is None else repr(value)[:4000]
