"""asyncio and time.sleep without a host's event loop."""

import pytest


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("async def main():\n    return await asyncio.gather(f(2), f(1))\nasyncio.run(main())", ["l", 2, 1]),
        ("await asyncio.gather(f(2), f(1))", ["l", 2, 1]),
        ("with asyncio.Runner() as r: x = r.run(f(1)), r.run(f(2))\nx", ["t", 1, 2]),
        ("loop = asyncio.new_event_loop()\nx = loop.run_until_complete(f(3))\nloop.close()\nx", 3),
        ("await asyncio.to_thread(lambda: 5)", 5),
        ("async with asyncio.TaskGroup() as g: t = g.create_task(f(4))\nt.result()", 4),
        ("try:\n    async with asyncio.timeout(1): await f(9)\nexcept TimeoutError: x = 1\nx", 1),
        ("q = asyncio.Queue()\nt = asyncio.create_task(q.get())\nawait q.put(6)\nawait t", 6),
        ("asyncio.get_running_loop() is asyncio.get_event_loop() and bool(await f(1))", True),
        ("asyncio.get_running_loop().call_soon_threadsafe(print)\nawait f(1)", 1),
    ],
)
def test_asyncio(run, code, value):
    reply = run("import asyncio\nasync def f(n):\n    await asyncio.sleep(n)\n    return n\n" + code).reply
    assert reply.result["status"] == "ok", reply.error
    assert reply.value == value


def test_tasks_overlap(run):
    code = "import asyncio, time\nt = time.monotonic()\n"
    code += "await asyncio.gather(*[asyncio.sleep(9) for _ in range(9)])\n"
    assert 9 <= run(code + "time.monotonic() - t").reply.value < 10


def test_nested_run_is_refused(run):
    reply = run("import asyncio\nc = asyncio.sleep(0)\ntry:\n    asyncio.run(c)\nfinally:\n    await c").reply
    assert "cannot be called from a running event loop" in reply.error["value"]


@pytest.mark.parametrize("code", ["await wait()", "asyncio.run(wait())"])
def test_deadlock_is_an_error_that_shows_where(run, code):
    reply = run("import asyncio\nasync def wait():\n    await asyncio.Event().wait()\n" + code).reply
    assert reply.error["name"] == "RuntimeError"
    assert reply.error["value"].startswith("deadlock")
    assert f"    {code}" in reply.error["traceback"]


def test_executor_errors_arrive(run):
    code = "import asyncio\ntry: await asyncio.to_thread(lambda: 1 / 0)\nexcept ZeroDivisionError: x = 1\nx"
    assert run(code).reply.value == 1


@pytest.mark.parametrize("keep", [False, True])
def test_leftovers_are_silent(run, keep):
    code = (
        "import asyncio\nasync def stubborn():\n    while True:\n        try: await asyncio.sleep(1)\n"
        "        except asyncio.CancelledError: pass\n"
        "a = asyncio.create_task(stubborn()); b = asyncio.create_task(asyncio.sleep(99))\n"
        "await asyncio.sleep(0, 1)"
    )
    outcome = run(code, keep=keep)
    assert (outcome.reply.value, outcome.stdout, outcome.stderr) == (1, b"", b"")


def test_asynchronous_generators_are_closed(run):
    code = (
        "async def g():\n    try:\n        yield 1\n    finally: print('closed')\nit = g()\nawait anext(it)"
    )
    assert run(code).stdout == b"closed\n"


def test_sleep(run):
    assert (
        run("import time\nt = time.monotonic()\ntime.sleep(100)\ntime.monotonic() - t >= 100").reply.value
        is True
    )


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ("-1", "ValueError"),
        ("'a'", "TypeError"),
        ("None", "TypeError"),
        ("float('nan')", "ValueError"),
        ("float('inf')", "OverflowError"),
        ("", "TypeError"),
    ],
)
def test_sleep_checks_its_argument(run, argument, error):
    assert run(f"import time\ntime.sleep({argument})").reply.error["name"] == error
