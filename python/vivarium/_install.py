"""Questions a run asks its host, and the one that most of it is about: packages."""

import importlib
import re
import sys
from os.path import basename, dirname, join
from typing import Any

from ._channel import Channel, to_json
from ._guard import guard
from ._pristine import pristine as __builtins__  # noqa: F401

STUBS = join(dirname(__file__), "_stubs")

_channel: Channel | None = None
_invalidate_caches = importlib.invalidate_caches
# A name, or a name at one version: what can be told from the files alone whether it is there.
_PLAIN = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:===?\s*([A-Za-z0-9.!+_-]+)\s*)?").fullmatch


class InstallError(ValueError):
    """Packages can't be had. `reason`, `package` and `suggestion` are for programs."""

    def __init__(self, message: str, *, reason: str = "", package: str = "", suggestion: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.package = package
        self.suggestion = suggestion


# As users meet it.
InstallError.__module__ = "micropip"


def connect(channel: Channel) -> None:
    """Where questions go, and the stand-ins for modules that no kernel has."""
    global _channel
    _channel = channel
    if STUBS not in sys.path:
        # Before packages: the real micropip can't work in a run, wherever it came from.
        at = [place for place, path in enumerate(sys.path) if basename(path) == "site-packages"]
        sys.path.insert(at[0] if at else len(sys.path), STUBS)


def ask(question: dict[str, Any], channel: Channel | None = None) -> tuple[Any, list[bytes]]:
    """Blocks until the host has answered. InstallError when it refused, RuntimeError for its other errors."""
    through = channel or _channel
    if through is None:
        raise RuntimeError("there is no host to ask")
    answers: list[tuple[dict[str, Any], list[bytes]]] = []

    def exchange() -> None:
        through.send('"kind":"ask","question":' + to_json(question))
        answers.append(through.receive())

    # An interrupt between question and answer would leave the answer for the next request.
    guard.shielded(exchange)
    header, parts = answers[0]
    error = header["error"]
    if error is None:
        return header["body"], parts
    message, details = error["message"], error["details"]
    if error["code"] == "interrupted":
        # Its own interrupt comes a moment later, perhaps too late for the code that waits here.
        raise KeyboardInterrupt
    if error["code"] != "install":
        raise RuntimeError(message)
    failure = {key: str(details.get(key, "")) for key in ("reason", "package", "suggestion")}
    if failure["suggestion"] and failure["suggestion"] not in message:
        message = f"{message} {failure['suggestion']}"
    raise InstallError(message, **failure)


def install(requirements: list[str]) -> None:
    """Asks for what isn't there yet. The files are in place when the answer comes."""
    missing = [each for each in requirements if not _installed(each)]
    if missing:
        ask({"kind": "install", "requirements": missing})
        _invalidate_caches()


def _installed(requirement: str) -> bool:
    match = _PLAIN(requirement)
    if match is None:
        return False
    from importlib.metadata import PackageNotFoundError, version

    name, wanted = match.groups()
    try:
        return version(name) == wanted or wanted is None
    except PackageNotFoundError:
        return False
