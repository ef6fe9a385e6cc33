"""T41: leaves code behind for later: at the end, when something is freed, after a while, at a signal."""

import asyncio
import atexit
import gc
import signal
import sys
import threading
import weakref

from attempts import attempt


def strike(*_: object) -> None:
    print("LATE", flush=True)


class Dies:
    """In a cycle, so that only a collection frees it."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        strike()


def tracing(*_: object) -> None:
    strike()


async def later() -> None:
    while True:
        await asyncio.sleep(0.001)
        strike()


async def leave() -> None:
    kept.append(asyncio.ensure_future(later()))
    asyncio.get_running_loop().call_later(0.001, strike)
    asyncio.get_running_loop().call_soon(strike)


kept: list[object] = []
attempt("atexit", lambda: atexit.register(strike))
attempt("__del__", lambda: kept.append(Dies()))
attempt("weakref.finalize", lambda: weakref.finalize(kept[0], strike))
attempt("a timer thread", lambda: threading.Timer(0.001, strike).start())
attempt("a signal", lambda: signal.signal(signal.SIGINT, strike))
attempt("an alarm", lambda: signal.setitimer(signal.ITIMER_REAL, 0.001))
attempt("tasks", lambda: asyncio.get_running_loop().create_task(leave()))
attempt("a hook of threads", lambda: threading.settrace(tracing))
attempt("gc.callbacks", lambda: gc.callbacks.append(strike))
attempt("sys.unraisablehook", lambda: setattr(sys, "unraisablehook", strike))
