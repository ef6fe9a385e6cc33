"""Errors as data and as text."""

import sys


def test_frames_and_carets(run):
    reply = run("def f(x):\n    return 'é', 1 / x\n\nf(0)").reply
    error = reply.error
    assert (error["name"], error["value"], error["line"], error["column"]) == (
        "ZeroDivisionError",
        "division by zero",
        2,
        17,
    )
    assert error["frames"] == [
        {
            "file": "<run>", "line": 4, "column": 1, "endLine": 4, "endColumn": 5, "function": "<module>",
            "source": "f(0)",
        },
        {
            "file": "<run>", "line": 2, "column": 17, "endLine": 2, "endColumn": 22, "function": "f",
            "source": "    return 'é', 1 / x",
        },
    ]  # fmt: skip
    assert error["traceback"][0] == "Traceback (most recent call last):"
    assert error["traceback"][-4:] == [
        '  File "<run>", line 2, in f', "    return 'é', 1 / x", "                ~~^~~",
        "ZeroDivisionError: division by zero",
    ]  # fmt: skip
    assert reply.result["value"] is None


def test_harness_frames_are_never_shown(run):
    code = "import asyncio\nasync def f():\n    import time\n    time.sleep(-1)\nawait f()"
    error = run(code).reply.error
    assert [frame["file"] for frame in error["frames"]] == ["<run>", "<run>"]
    assert not any("vivarium" in line or "asyncio/" in line for line in error["traceback"])


def test_chains(run):
    code = "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError('k') from e"
    lines = run(code).reply.error["traceback"]
    assert "The above exception was the direct cause of the following exception:" in lines
    assert "ZeroDivisionError: division by zero" in lines
    assert lines[-1] == "KeyError: 'k'"


def test_groups_and_notes(run):
    code = "e = ExceptionGroup('g', [ValueError(1), TypeError('x')])\ne.add_note('a note')\nraise e"
    text = "\n".join(run(code).reply.error["traceback"])
    for part in ("ExceptionGroup: g (2 sub-exceptions)", "ValueError: 1", "TypeError: x", "a note"):
        assert part in text


def test_syntax_error(run):
    error = run("x = 1\ny = (1 +\nprint(2)").reply.error
    assert (error["name"], error["line"], error["column"], error["frames"]) == ("SyntaxError", 2, 5, [])
    assert error["traceback"][:3] == ['  File "<run>", line 2', "    y = (1 +", "        ^"]
    assert error["traceback"][-1] == "SyntaxError: '(' was never closed"


def test_source_that_cannot_be_compiled(run):
    assert run("x = '\\ud800'\0").reply.error["name"] in ("SyntaxError", "ValueError")
    assert run("a\ud800").reply.result["status"] == "error"
    assert run("(" * 1000).reply.result["status"] == "error"


def test_recursion_is_bounded(run):
    error = run("def f(n): return f(n + 1)\nf(0)").reply.error
    assert error["name"] == "RecursionError"
    assert len(error["frames"]) == 100
    assert len(error["traceback"]) < 50


def test_long_chains_are_bounded(run):
    code = (
        "e = None\nfor i in range(20000):\n    n = ValueError(i)\n    n.__context__ = e\n    e = n\nraise e"
    )
    assert len(run(code).reply.error["traceback"]) < 1000


def test_hostile_exceptions(run):
    code = "class E(Exception):\n    def __str__(self): raise {}\nraise E"
    assert run(code.format("ValueError")).reply.error["value"] == "<str() raised ValueError>"
    for other in ("KeyboardInterrupt", "SystemExit", "E"):
        assert run(code.format(other)).reply.error["name"] == "E"
    assert len(run("raise ValueError('x' * 10**6)").reply.error["value"]) < 11_000


def test_other_base_exceptions(run):
    assert run("raise GeneratorExit").reply.error["name"] == "GeneratorExit"
    assert run("raise KeyboardInterrupt").reply.error["name"] == "KeyboardInterrupt"


def test_lone_surrogates_survive(run):
    assert run("raise ValueError('\\ud800')").reply.error["value"] == "\ud800"


def test_deepest_line_of_the_run(run):
    error = run("import json\n\njson.loads('{')").reply.error
    assert error["line"] == 3
    assert error["frames"][-1]["file"].endswith("decoder.py")
    if sys.version_info >= (3, 12):
        assert error["frames"][-1]["source"]


def test_a_class_cannot_pass_for_a_builtin(run):
    def name_of(code):
        return run(code).reply.error["name"]

    for base in ("Exception", "MemoryError"):
        assert name_of(f"class MemoryError({base}): pass\nraise MemoryError") == "__main__.MemoryError"
    patched = "import builtins\nclass EOFError(Exception): pass\nbuiltins.EOFError = EOFError\nraise EOFError"
    assert name_of(patched) == "__main__.EOFError"
    assert name_of("class MemoryError(Exception): __module__ = 5\nraise MemoryError") == "?.MemoryError"
    assert name_of("class Mine(Exception): pass\nraise Mine") == "Mine"
    assert name_of("raise MemoryError") == "MemoryError"
    assert name_of("raise OSError(2, 'x')") == "FileNotFoundError"
