"""What the runs of a session share: the module they all run in, and the loop of their `await`s."""

from types import ModuleType

from ._loop import RunLoop
from ._pristine import pristine as __builtins__  # noqa: F401


class Held:
    """Of one session, from its first run on."""

    __slots__ = ("loop", "main")

    def __init__(self, main: ModuleType, loop: RunLoop) -> None:
        self.main = main
        self.loop = loop

    def settle_tasks(self, cancel: bool) -> tuple[list[str], list[str]]:
        """Names of the tasks that were pending and have been cancelled, and of those that still are."""
        pending = self.loop.pending()
        left = self.loop.cancel() if cancel else pending
        return [_name_of(task) for task in pending if task not in left], [_name_of(task) for task in left]


def _name_of(task: object) -> str:
    coroutine = task.get_coro()  # type: ignore[attr-defined]
    of = getattr(coroutine, "__qualname__", None) or type(coroutine).__name__
    return f"{task.get_name()} ({of})"  # type: ignore[attr-defined]
