"""When an interrupt may be raised.

Python raises KeyboardInterrupt between any two instructions. Here it is raised only while the guard is open,
that is while a run's own code (or code called on its behalf, like `__repr__`) is running; the rest of the
harness can't be torn.
"""

import _signal  # type: ignore[import-not-found]
import sys
from collections.abc import Callable
from types import FrameType

from ._pristine import pristine as __builtins__  # noqa: F401

# The C functions: those of `signal` search an enum for each handler.
_get_handler = _signal.getsignal
_set_handler = _signal.signal
_settrace = sys.settrace
_setprofile = sys.setprofile
_getrecursionlimit = sys.getrecursionlimit
_setrecursionlimit = sys.setrecursionlimit
_SIGINT = int(_signal.SIGINT)


class Guard:
    """Closed until `call` opens it."""

    __slots__ = ("_limit", "_open", "_waiting")

    def __init__(self) -> None:
        self._open = False
        self._waiting = False
        self._limit = 1000

    def install(self) -> None:
        # Not `default_int_handler`: asyncio.Runner would replace it by one that only cancels the main task,
        # which never stops a coroutine that doesn't await.
        _set_handler(_SIGINT, self._on_interrupt)
        self._limit = _getrecursionlimit()

    def reset(self) -> None:
        """Forgets an interrupt that was meant for a former run."""
        self._open = False
        self._waiting = False

    def call(self, function: Callable[..., object], *args: object) -> BaseException | None:
        """Calls it interruptibly; returns what it raised."""
        raised: BaseException | None = None
        try:
            try:
                self._open = True
                self._deliver()
                function(*args)
            finally:
                self._open = False
                # First of all: a trace function would be called for each function that follows.
                _settrace(None)
                _setprofile(None)
                self._take_back()
        except BaseException as error:
            self._open = False
            raised = error
        return raised

    def shielded(self, function: Callable[..., None], *args: object) -> None:
        """Calls it without interrupts, from code that has them; one that came meanwhile is raised then."""
        was_open = self._open
        self._open = False
        try:
            function(*args)
        finally:
            self._open = was_open
        if was_open:
            self._deliver()

    def _on_interrupt(self, signum: int, frame: FrameType | None) -> None:
        if self._open:
            raise KeyboardInterrupt
        self._waiting = True

    def _deliver(self) -> None:
        if self._waiting:
            self._waiting = False
            raise KeyboardInterrupt

    def _take_back(self) -> None:
        """Undoes what would let the run's code act on the harness."""
        if _getrecursionlimit() != self._limit:
            _setrecursionlimit(self._limit)
        if _get_handler(_SIGINT) != self._on_interrupt:
            _set_handler(_SIGINT, self._on_interrupt)


guard = Guard()
