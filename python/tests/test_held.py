"""Runs of a session: each goes on where the one before left off."""

import pytest
from conftest import Request

HOLD = {"hold": True}


def values(run_all, *requests):
    return [reply.error["value"] if reply.error else reply.value for reply in run_all(*requests).replies]


def held(code, **options):
    return Request(code, {**HOLD, **options})


@pytest.mark.parametrize(
    ("first", "second", "value"),
    [
        ("x = 1\ndef f(): return x", "x = 2\nf()", 2),
        ("import sys\nsys.mine = 3", "sys.mine", 3),
        ("class A: pass\na = A()", "isinstance(a, A) and a.__module__", "__main__"),
        ("import pickle\nclass A: pass\ndata = pickle.dumps(A())", "type(pickle.loads(data)) is A", True),
        ("import random\nrandom.seed(1)\na = random.random()", "random.seed(1)\na == random.random()", True),
        ("import atexit\nran = []\natexit.register(ran.append, 1)", "len(ran)", 0),
        ("import sys, io\nsys.stdout = io.StringIO()\nprint('kept')", "sys.stdout.getvalue()", "kept\n"),
        ("import os\nos.environ['A'] = '2'", "os.environ['A']", "2"),
        ("1 / 0", "__name__", "__main__"),
    ],
)
def test_state_stays(run_all, first, second, value):
    assert values(run_all, held(first), held(second))[1] == value


def test_cells_are_numbered_and_their_source_is_found(run_all):
    replies = run_all(held("def f():\n    return 1 / 0"), held("f()")).replies
    assert [(frame["file"], frame["line"], frame["source"]) for frame in replies[1].error["frames"]] == [
        ("<cell 2>", 1, "f()"),
        ("<cell 1>", 2, "    return 1 / 0"),
    ]


def test_a_name_that_was_given_stays_that_of_the_file(run_all):
    assert values(run_all, held("__file__", filename="mine.py")) == ["mine.py"]


def test_environment_of_the_kernel_comes_once_and_that_of_a_run_for_it_only(run_all):
    look = "import os\n[os.environ.get(name) for name in 'ABC']"
    change = "import os\nos.environ['A'] = 'changed'"
    base = {"baseEnv": {"A": "base", "B": "base"}}
    assert values(
        run_all,
        held(look, **base, env={"B": "run", "C": "run"}),
        held(look, **base),
        held(change, **base),
        held(look, **base),
    ) == [
        ["l", "base", "run", "run"],
        ["l", "base", "base", None],
        None,
        ["l", "changed", "base", None],
    ]


def test_tasks_go_on_in_the_next_run(run_all):
    first = "import asyncio\nasync def f():\n    await asyncio.sleep(1)\n    return 7\n"
    first += "t = asyncio.create_task(f())"
    assert values(run_all, held(first + "\nawait asyncio.sleep(0)"), held("await t"))[1] == 7


def test_a_coroutine_that_failed_does_not_go_on(run_all):
    first = (
        "import asyncio\nran = []\nasync def main():\n    try: await asyncio.Event().wait()\n"
        "    except asyncio.CancelledError: ran.append('cancelled'); raise\nawait main()"
    )
    assert values(run_all, held(first), held("await asyncio.sleep(0)\nran"))[1] == ["l", "cancelled"]


def test_random_numbers_are_fresh_after_a_thaw_or_those_of_its_seed(run_all):
    draw = "import random\nrandom.random()"
    drawn = values(
        run_all,
        held("import random\nrandom.seed(1)"),
        held("random.seed(1)\nrandom.random()"),
        held("random.seed(1)"),
        held(draw, resumed=True),
        held(draw, resumed=True, seed=4),
        held(draw, seed=4),
    )
    assert drawn[3] != drawn[1]
    assert drawn[4] == drawn[5]


PENDING = (
    "import asyncio\nasync def f(): await asyncio.sleep(9)\n"
    "t = asyncio.create_task(f(), name='one')\nawait asyncio.sleep(0)"
)
STUBBORN = (
    "import asyncio\nasync def f():\n    while True:\n        try: await asyncio.sleep(9)\n"
    "        except asyncio.CancelledError: pass\n"
    "t = asyncio.create_task(f(), name='one')\nawait asyncio.sleep(0)"
)


@pytest.mark.parametrize(
    ("code", "policy", "cancelled", "left"),
    [
        (PENDING, "cancel", ["one (f)"], []),
        (PENDING, "refuse", [], ["one (f)"]),
        (STUBBORN, "cancel", [], ["one (f)"]),
        ("x = 1", "cancel", [], []),
        ("x = 1", "refuse", [], []),
    ],
)
def test_tasks_are_settled_before_a_freeze(run_all, code, policy, cancelled, left):
    replies = run_all(held(code), Request("", {"tasks": policy})).replies
    assert (replies[1].result["cancelled"], replies[1].result["left"]) == (cancelled, left)


def test_tasks_of_no_session_are_none(run_all):
    result = run_all(Request("", {"tasks": "refuse"})).replies[0].result
    assert (result["cancelled"], result["left"]) == ([], [])
