"""What a prompt asks, and what is entered at one."""

import pytest
from conftest import Request

from vivarium._prompt import check, complete


@pytest.mark.parametrize(
    "source",
    [
        "",
        "# a comment",
        "1 + 1",
        "a = 1; b",
        "await x",
        "x = [1,\n2]",
        "'''a\n'''",
        "for i in x:\n    a\n",
        "for i in x:\n    a\n    \n",
        "def f(): return 1\n",
        "async with a:\n    b\n",
        "@d\ndef f():\n    pass\n",
        "if a:\n    b\nelse:\n    c\n",
        "match a:\n    case 1:\n        b\n",
        "try:\n    a\nexcept E:\n    b\n",
        "for i in x:\n    a\nb",
        "1\n2",
        r"'\d'",
    ],
)
def test_complete_sources(source):
    assert check(source) == "complete"


@pytest.mark.parametrize(
    "source",
    [
        "x = [1,",
        "x = [1,\n",
        "'''a",
        "x = \\",
        "for i in x:",
        "for i in x:\n    a",
        "for i in x:\n    a\n    # a comment",
        "def f(): return 1",
        "class A:\n",
        "@d",
        "if a:\n    b\nelse:",
        "if a:\n    b\nelse:\n    c",
        "match a:\n    case 1:\n        b",
        "try:\n    a\n",
        "a = 1\nwhile a:\n    b",
    ],
)
def test_incomplete_sources(source):
    assert check(source) == "incomplete"


@pytest.mark.parametrize("source", ["a b", "for", ")", "x = 1\n  y", "print('a", "if a:\nb", "\0"])
def test_invalid_sources(source):
    assert check(source) == "invalid"


def test_a_source_too_deep_is_invalid():
    assert check("(" * 10_000 + ")" * 10_000) == "invalid"


def test_names_and_attributes():
    class Thing:
        def walk(self, how):
            """Takes an argument, so that a parenthesis stays open."""

        wake = 1
        _hidden = 2

    namespace = {"thing": Thing(), "thinner": 1}
    assert complete("x = thi", namespace) == {"word": "thi", "matches": ["thing", "thinner"]}
    assert complete("f(1,\n  thing.wa", namespace) == {
        "word": "thing.wa",
        "matches": ["thing.wake", "thing.walk("],
    }
    assert "thing._hidden" not in complete("thing.", namespace)["matches"]
    assert complete("thing._h", namespace)["matches"] == ["thing._hidden"]
    assert complete("whi", namespace)["matches"] == ["while "]
    assert complete("isinst", namespace)["matches"] == ["isinstance("]
    assert complete("nothing.a", namespace) == {"word": "nothing.a", "matches": []}
    assert complete("f(", namespace) == {"word": "", "matches": []}


ALIKE = {"hold": True, "purpose": "prompt"}


def test_values_are_printed_and_kept(run_all):
    outcome = run_all(
        Request("'a' * 3", ALIKE),
        Request("_ + 'b'", ALIKE),
        Request("None\nx = 1", ALIKE),
        Request("for i in range(2): i\n", ALIKE),
        Request("import asyncio\nawait asyncio.sleep(0, 'slept')", ALIKE),
        Request("# nothing", ALIKE),
        Request("_", {"hold": True}),
    )
    assert outcome.stdout == b"'aaa'\n'aaab'\n0\n1\n'slept'\n"
    assert [reply.result["text"] for reply in outcome.replies] == [None] * 6 + ["'slept'"]


def test_a_repr_that_raises(run):
    error = run("class A:\n    def __repr__(self): return 1 / 0\n\nA()", **ALIKE).reply.error
    assert (error["name"], error["line"]) == ("ZeroDivisionError", 2)


def test_magics(run):
    reply = run("%pip install tiny", answers=[{"error": None, "body": []}], **ALIKE).reply
    assert [question["requirements"] for question in reply.asks] == [["tiny"]]


def test_questions_are_no_runs(run_all):
    outcome = run_all(
        Request("spam = {}", {"hold": True}),
        Request("for x in y:", {"hold": True, "purpose": "check"}),
        Request("spam.po", {"hold": True, "purpose": "complete"}),
        Request("1 / 0", {"hold": True}),
    )
    _, checked, completed, last = outcome.replies
    assert checked.value == "incomplete"
    matches = ["l", "spam.pop(", "spam.popitem()"]
    assert completed.value == ["d", "word", "spam.po", "matches", matches]
    assert (last.result["executionCount"], last.error["frames"][0]["file"]) == (2, "<cell 2>")


def test_a_question_before_the_first_run(run_all):
    question = Request("isinst", {"hold": True, "purpose": "complete"})
    first, second = run_all(question, Request("__name__", {"hold": True})).replies
    assert "isinstance(" in str(first.value)
    assert second.value == "__main__"


def test_code_of_the_session_that_fails(run_all):
    code = """
class A:
    @property
    def name(self):
        print("asked")
        raise SystemExit(3)
    def __dir__(self):
        raise SystemExit(4)
a = A()
"""
    outcome = run_all(
        Request(code, {"hold": True}),
        Request("a.na", {"hold": True, "purpose": "complete"}),
        Request("2", {"hold": True}),
    )
    assert [reply.result["status"] for reply in outcome.replies] == ["ok", "error", "ok"]
    assert outcome.replies[1].error["name"] == "SystemExit"


def test_an_interrupt_ends_a_question(run_all):
    code = "import os, signal\nclass A:\n    def __dir__(self): os.kill(os.getpid(), signal.SIGINT)\na = A()"
    outcome = run_all(
        Request(code, {"hold": True}), Request("a.b", {"hold": True, "purpose": "complete"}), Request("2")
    )
    assert outcome.replies[1].error["name"] == "KeyboardInterrupt"
    assert outcome.reply.value == 2


def test_a_question_after_a_thaw_draws_anew(run_all):
    code = "import random\nclass A:\n    def __dir__(self): return ['a%d' % random.getrandbits(60)]\na = A()"
    seeded = Request("random.seed(1)", {"hold": True})
    ask = {"hold": True, "purpose": "complete"}
    values = []
    for resumed in (False, False, True, True):
        outcome = run_all(Request(code, {"hold": True}), seeded, Request("a.", {**ask, "resumed": resumed}))
        values.append(str(outcome.reply.value))
    assert values[0] == values[1]
    assert len(set(values)) == 3
