"""time.sleep on the host's sleep, so that an interrupt ends it."""

import operator
import time
from collections.abc import Callable

from ._pristine import pristine as __builtins__  # noqa: F401

_monotonic = time.monotonic
_LONGEST = float(1 << 33)

HostSleep = Callable[[float], None]


def checking(host_sleep: HostSleep) -> HostSleep:
    """The host's sleep, then KeyboardInterrupt if that is why it ended."""

    def sleep(ms: float) -> None:
        host_sleep(ms)
        # In WebAssembly the interpreter looks for signals only now and then; `repr` looks at once.
        repr(None)

    return sleep


def make_sleep(host_sleep: HostSleep) -> Callable[[float], None]:
    def sleep(seconds: float, /) -> None:
        """Delays execution for that many seconds; an interrupt ends it."""
        deadline = _monotonic() + _checked(seconds)
        while (left := deadline - _monotonic()) > 0:
            host_sleep(left * 1000)

    return sleep


def _checked(seconds: object) -> float:
    """The checks and messages of CPython's own."""
    value = float(seconds) if issubclass(type(seconds), float) else operator.index(seconds)  # type: ignore[arg-type]
    if value != value:
        raise ValueError("Invalid value NaN (not a number)")
    if not -_LONGEST < value < _LONGEST:
        raise OverflowError("timestamp out of range for platform time_t")
    if value < 0:
        raise ValueError("sleep length must be non-negative")
    return value
