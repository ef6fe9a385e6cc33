"""An empty module: see `js`."""

from typing import NoReturn as _NoReturn


def __getattr__(name: str) -> _NoReturn:
    raise AttributeError(f"there is no JavaScript here: pyodide_js.{name} doesn't exist")
