"""T49: exceptions that pretend, that refuse to be printed, and that are none of the usual."""

import sys

from attempts import attempt


class WorkerCrashed(BaseException):
    """Named like one of the host's."""


class SilentError(Exception):
    def __str__(self) -> str:
        raise SilentError

    __repr__ = __str__


def end(error: BaseException) -> None:
    raise error


attempt("sys.exit", lambda: sys.exit("left"))
attempt("KeyboardInterrupt", lambda: end(KeyboardInterrupt()))
attempt("GeneratorExit", lambda: end(GeneratorExit()))
attempt("named like ours", lambda: end(WorkerCrashed("the worker was lost")))
attempt("a group", lambda: end(BaseExceptionGroup("group", [SilentError(), WorkerCrashed()])))
sys.excepthook = lambda *_: print("hook")
raise SilentError
