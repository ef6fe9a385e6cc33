"""An empty module: packages that look for a browser import it, and find none."""

from typing import NoReturn as _NoReturn


class console:  # noqa: N801
    """Says nothing. urllib3 warns here before it fails, and that it can't would hide why."""

    debug = error = info = log = warn = staticmethod(lambda *_: None)


def __getattr__(name: str) -> _NoReturn:
    raise AttributeError(f"there is no JavaScript here, and no network: js.{name} doesn't exist")
