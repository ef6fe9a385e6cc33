"""What an image can't hold is named."""

import asyncio
import gc
import sys
import types

import pytest

from vivarium._freezable import javascript_objects, pending_tasks


class Proxy:
    """Stands for `pyodide.ffi.JsProxy`."""


class FetchProxy(Proxy):
    __slots__ = ()


async def work():
    await asyncio.sleep(3600)


async def numbers():
    yield 1
    yield 2


def test_nothing_is_pending():
    asyncio.run(asyncio.sleep(0))
    assert pending_tasks() == []


def test_tasks():
    loop = asyncio.new_event_loop()
    task = loop.create_task(work(), name="warm")
    try:
        assert pending_tasks() == ["task warm (work)"]
        loop.run_until_complete(asyncio.sleep(0))
        assert pending_tasks() == ["task warm (work)"]
    finally:
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()
    assert pending_tasks() == []


def test_coroutines_and_generators():
    async def outer():
        await middle()

    @types.coroutine
    def wait():
        yield

    async def middle():
        await wait()

    coroutine = outer()
    coroutine.send(None)
    fresh = middle()
    generator = numbers()
    unused = numbers()
    with pytest.raises(StopIteration):
        generator.__anext__().send(None)
    prefix = "test_coroutines_and_generators.<locals>."
    try:
        assert sorted(pending_tasks()) == [
            "asynchronous generator numbers",
            f"coroutine {prefix}middle",
            f"coroutine {prefix}outer",
        ]
    finally:
        coroutine.close()
        fresh.close()
        with pytest.raises(StopIteration):
            generator.aclose().send(None)
    assert pending_tasks() == []
    assert unused is not None


@pytest.fixture
def module(monkeypatch):
    module = types.ModuleType("warm_module")
    monkeypatch.setitem(sys.modules, "warm_module", module)
    yield module
    vars(module).clear()
    gc.collect()


class Holder:
    pass


def test_no_javascript(module):
    assert javascript_objects(Proxy) == []
    module.kind = Proxy
    own = type("JsLoader", (), {"__module__": "_pyodide._importhook"})()
    own.jsproxy = Proxy()
    assert javascript_objects(Proxy) == []


def test_javascript_by_its_path(module):
    module.window = Proxy()
    module.fetchers = {"first": [0, FetchProxy()]}
    module.session = Holder()
    module.session.fetch = Proxy()
    module.call = lambda: module
    module.closure = (lambda inner: lambda: inner)(Proxy())
    found = javascript_objects(Proxy)
    assert [path for path in found if "closure" not in path] == [
        "warm_module.fetchers.first[1]",
        "warm_module.session.fetch",
        "warm_module.window",
    ]
    assert len(found) == 4


def test_javascript_that_no_module_holds():
    class Loop:
        pass

    loop = Loop()
    loop.me = [loop, Proxy()]
    del loop
    gc.disable()
    try:
        assert javascript_objects(Proxy) == []
    finally:
        gc.enable()
