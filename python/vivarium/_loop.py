"""An asyncio event loop that blocks: the thread sleeps until the next timer is due.

No JavaScript event loop is involved, so `asyncio.run` is a plain call and an interrupt ends it.
"""

import asyncio
import asyncio.base_events
from asyncio import events, runners
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

from ._clock import HostSleep
from ._pristine import pristine as __builtins__  # noqa: F401

T = TypeVar("T")


class DeadlockError(RuntimeError):
    """Every task waits and nothing is scheduled that could wake one."""


# Shown to users, to whom it is a RuntimeError.
DeadlockError.__name__ = DeadlockError.__qualname__ = "RuntimeError"
DeadlockError.__module__ = "builtins"


class _Sleeper:
    """Where a selector would be. There are no sockets to select from."""

    def __init__(self, host_sleep: HostSleep) -> None:
        self._sleep = host_sleep

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise DeadlockError(
                "deadlock: every task is waiting and nothing is scheduled that could wake one"
            )
        if timeout > 0:
            self._sleep(timeout * 1000)
        return []


class BlockingEventLoop(asyncio.base_events.BaseEventLoop):
    """What `asyncio.new_event_loop()` makes."""

    host_sleep: HostSleep

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Sleeper(type(self).host_sleep)

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        # Wakes `select` from another thread; there is none.
        pass

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Runs it here and now: there are no threads. An executor that isn't made of threads is used."""
        from concurrent.futures import ThreadPoolExecutor

        if executor is not None and not isinstance(executor, ThreadPoolExecutor):
            return super().run_in_executor(executor, func, *args)
        self._check_closed()  # type: ignore[attr-defined]
        future: asyncio.Future[T] = self.create_future()
        try:
            result = func(*args)
        except (KeyboardInterrupt, SystemExit):
            raise
        except StopIteration as error:
            wrapped = RuntimeError("StopIteration interacts badly with generators")
            wrapped.__cause__ = error
            future.set_exception(wrapped)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        return future


# The policy classes lost their public names in 3.14, where asyncio.run still goes through them.
_BasePolicy: Any = getattr(events, "_BaseDefaultEventLoopPolicy", None) or events.BaseDefaultEventLoopPolicy
_set_policy: Any = getattr(events, "_set_event_loop_policy", None) or events.set_event_loop_policy


class _Policy(_BasePolicy):  # type: ignore[misc]
    _loop_factory = BlockingEventLoop


def install_loop(host_sleep: HostSleep) -> None:
    """Makes `BlockingEventLoop` asyncio's loop everywhere, and no loop the running one."""
    BlockingEventLoop.host_sleep = staticmethod(host_sleep)
    # Pyodide declares its own loop running for good, and replaces `asyncio.run`.
    events._set_running_loop(None)
    _set_policy(_Policy())
    asyncio.run = runners.run
    for name in ("SelectorEventLoop", "EventLoop"):
        setattr(asyncio, name, BlockingEventLoop)


class RunLoop:
    """The loop of a run's top-level `await`; made when it is first needed."""

    __slots__ = ("_loop",)

    def __init__(self) -> None:
        self._loop: BlockingEventLoop | None = None

    def run(self, coroutine: Any, *, held: bool = False) -> object:
        """`held`: other runs come on this loop, in which a coroutine that failed must not go on."""
        if self._loop is None:
            self._loop = BlockingEventLoop()
        if not held:
            return self._loop.run_until_complete(coroutine)
        task = self._loop.create_task(coroutine)
        try:
            return self._loop.run_until_complete(task)
        except BaseException:
            task.cancel()
            raise

    def finish(self) -> None:
        """Closes asynchronous generators; leaves tasks as they are."""
        loop = self._loop
        if loop is not None and loop._asyncgens:  # type: ignore[attr-defined]
            loop.run_until_complete(loop.shutdown_asyncgens())

    def pending(self) -> list[Any]:
        """Tasks that haven't come to their end, in the order of their names."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return []
        return sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())

    def cancel(self) -> list[Any]:
        """Cancels what is left; returns the tasks that won't go."""
        tasks = self.pending()
        loop = self._loop
        if loop is None or not tasks:
            return tasks
        for task in tasks:
            task.cancel()
        for _ in range(10):
            if all(task.done() for task in tasks):
                break
            loop.run_until_complete(asyncio.sleep(0))
        return [task for task in tasks if not task.done()]

    def close(self) -> None:
        """Cancels what is left. Tasks that won't go are dropped without a word."""
        for task in self.cancel():
            task._log_destroy_pending = False
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            loop.close()
