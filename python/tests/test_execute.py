"""Code in, one result out."""

import os

import pytest
from conftest import Request


@pytest.mark.parametrize(
    ("code", "text", "value"),
    [
        ("1 + 1", "2", 2),
        ("x = 1", None, None),
        ("None", None, None),
        ("1 + 1;", None, None),
        ("1 + 1 ;  # why", None, None),
        ("1 + 1  # ; no", "2", 2),
        ("'a;b'", "'a;b'", "a;b"),
        ("'é' ; 'ü;'", "'ü;'", "ü;"),
        ("'doc'", "'doc'", "doc"),
        ("", None, None),
        ("if True:\n    1", None, None),
        ("import asyncio\nawait asyncio.sleep(0, 7)", "7", 7),
        ("import asyncio\nx = await asyncio.sleep(0, 7)\nx + 1", "8", 8),
        ("[i async for i in agen()] if False else 3", "3", 3),
        ("__name__, __file__", "('__main__', '<run>')", ["t", "__main__", "<run>"]),
        ("from __future__ import annotations\n5", "5", 5),
    ],
)
def test_value_of_last_expression(run, code, text, value):
    reply = run(code).reply
    assert reply.result["status"] == "ok", reply.error
    assert (reply.result["text"], reply.value) == (text, value)
    assert (reply.result["value"] is None) == (value is None)


def test_main_is_a_module_that_tools_accept(run):
    code = """
import dataclasses, inspect, pickle, sys, typing
@dataclasses.dataclass
class P:
    x: "int"
def f(a):
    return a
[
    pickle.loads(pickle.dumps(P(1))) == P(1),
    inspect.getsource(f),
    inspect.getsource(P).splitlines()[1],
    typing.get_type_hints(P) == {"x": int},
    sys.modules["__main__"].f is f,
]
"""
    expected = ["l", True, "def f(a):\n    return a\n", "class P:", True, True]
    assert run(code).reply.value == expected


def test_argv_env_and_globals(run):
    options = {
        "argv": ["a", "b"],
        "env": {"VIVARIUM_TEST": "1"},
        "globals": ["d", "n", ["i", "1" + "0" * 5000], "data", ["b", 0], "xs", ["l", 1, ["f", "inf"]]],
    }
    code = "import os, sys\n[sys.argv, os.environ['VIVARIUM_TEST'], n == 10**5000, data, xs]"
    reply = run(code, parts=[b"\x00\xff"], **options).reply
    assert reply.value == ["l", ["l", "<run>", "a", "b"], "1", True, ["b", 1], ["l", 1, ["f", "inf"]]]
    assert reply.parts[1:] == [b"\x00\xff"]


def test_seeds(run_all):
    draw = "import random\nrandom.random()"
    fresh = run_all(Request(draw), Request(draw)).replies
    assert fresh[0].value != fresh[1].value
    seeded = run_all(*[Request(draw, {"seed": 5})] * 2).replies
    assert seeded[0].value == seeded[1].value


def test_env_and_namespace_of_a_kept_run_end_with_it(run_all):
    keep = {"keep": True}
    first, second = run_all(
        Request(
            "import json\njson.marked = 1\na = 1",
            {**keep, "env": {"VIVARIUM_TEST": "1"}},
        ),
        Request("import os, json\n['a' in globals(), os.environ.get('VIVARIUM_TEST'), json.marked]", keep),
    ).replies
    assert first.result["status"] == "ok"
    assert second.value == ["l", False, None, 1]
    assert second.result["executionCount"] == 2


def test_finalizers_of_a_kept_run_print_in_it(run):
    outcome = run("class A:\n    def __del__(self): print('gone')\na = A()", keep=True)
    assert outcome.stdout == b"gone\n"


def test_exit_functions_run(run):
    assert run("import atexit\natexit.register(print, 'bye')\nprint('end');").stdout == b"end\nbye\n"


@pytest.mark.parametrize(
    ("code", "status", "exit_code", "stderr"),
    [
        ("sys.exit()", "ok", 0, b""),
        ("sys.exit(0)", "ok", 0, b""),
        ("sys.exit(3)", "error", 3, b""),
        ("sys.exit(-1)", "error", -1, b""),
        ("sys.exit(2**80)", "error", -1, b""),
        ("sys.exit('bad')", "error", 1, b"bad\n"),
        ("raise SystemExit", "ok", 0, b""),
    ],
)
def test_exit(run, code, status, exit_code, stderr):
    outcome = run("import sys\n" + code)
    result = outcome.reply.result
    assert (result["status"], result["exitCode"], outcome.stderr) == (status, exit_code, stderr)
    assert (result["error"] or {"name": None})["name"] == (None if status == "ok" else "SystemExit")


POISON = """
import builtins, gc, json, linecache, os, sys
for name in ("len", "isinstance", "type", "str", "print", "id", "iter"):
    setattr(builtins, name, None)
json.dumps = json.loads = json.JSONEncoder.encode = os.write = os.read = None
sys.stdout = sys.stderr = None
sys.setrecursionlimit(60)
sys.settrace(lambda *args: 1 / 0)
"""


def test_a_poisoned_interpreter_still_answers(run):
    reply = run(POISON + "{'a': [1, 2.5, 'x']}").reply
    assert (reply.result["text"], reply.value) == ("{'a': [1, 2.5, 'x']}", ["d", "a", ["l", 1, 2.5, "x"]])
    failed = run(POISON + "raise ValueError('yes')").reply
    assert (failed.error["name"], failed.error["value"]) == ("ValueError", "yes")


@pytest.mark.parametrize("raw", [b"", b"\x10\x00\x00\x00", b"\x08\x00\x00\x00\x04\x00\x00\x00nope"])
def test_a_broken_request_is_a_result_too(run_all, raw):
    outcome = run_all(raw=raw)
    assert [reply.result["status"] for reply in outcome.replies] == ["error"]


@pytest.mark.parametrize(
    "code",
    [
        "import time\ntime.sleep(100)",
        "import asyncio\nawait asyncio.sleep(100)",
        "import asyncio\nasyncio.run(asyncio.sleep(100))",
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass",
        # While the value is converted.
        "import time\nclass A:\n    def __repr__(self): time.sleep(9)\nA()",
        # While the error is described.
        "import time\nclass E(Exception):\n    def __str__(self): time.sleep(9)\nraise E",
        "import time\nclass E(SystemExit):\n    code = property(lambda self: time.sleep(9))\nraise E",
    ],
)
def test_interrupts(run, code):
    reply = run(code, interrupts=True).reply
    assert reply.result["status"] == "error"
    assert reply.error["name"] in ("KeyboardInterrupt", "E")


def test_an_interrupt_while_a_result_is_written_is_not_torn(run_all):
    code = "import vivarium._channel as c, os, signal\nwrite = c._write\n"
    code += "def w(fd, data):\n    os.kill(os.getpid(), signal.SIGINT)\n    return write(fd, data[:5])\n"
    code += "c._write = w\n"
    replies = run_all(
        Request(code + "try:\n    display(1)\nexcept KeyboardInterrupt: print('late')"), Request("2")
    )
    assert replies.stdout == b"late\n"
    assert [reply.result["status"] for reply in replies.replies] == ["ok", "ok"]
    assert replies.replies[0].displays[0]["data"] == {"text/plain": "1"}
    assert replies.replies[1].value == 2


def test_a_handler_of_the_run_does_not_outlive_it(run_all):
    first = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n1"
    second = "import time\ntime.sleep(9)"
    replies = run_all(Request(first), Request(second), interrupts=True).replies
    assert replies[0].value == 1
    assert replies[1].error["name"] == "KeyboardInterrupt"


def test_modules_of_the_working_folder(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "helper_of_test.py").write_text("x = 5")
    assert os.getcwd() == str(tmp_path)
    assert run("import helper_of_test\nhelper_of_test.x").reply.value == 5


def test_a_recursion_limit_of_the_run_does_not_outlive_it(run_all):
    code = "import sys\nsys.setrecursionlimit(sys.getrecursionlimit() - 100)"
    limit = Request("import sys\nsys.getrecursionlimit()", {"keep": True})
    replies = run_all(limit, Request(code, {"keep": True}), limit).replies
    assert replies[0].value == replies[2].value


def test_modules_that_the_image_did_not_see(run_all, tmp_path, monkeypatch):
    # The folder's time is put back, as the kernel fixes all times of files.
    monkeypatch.chdir(tmp_path)
    seen = Request("import importlib.util\nimportlib.util.find_spec('late_module_of_test') is None")
    write = Request(
        "import os\nt = os.stat('.')\nopen('late_module_of_test.py', 'w').write('x = 6')\n"
        "os.utime('.', ns=(t.st_atime_ns, t.st_mtime_ns))"
    )
    late = Request("import late_module_of_test\nlate_module_of_test.x")
    assert [reply.value for reply in run_all(seen, write, late).replies] == [True, None, 6]
