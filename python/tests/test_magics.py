"""Lines for notebooks."""

import pytest
from conftest import Request

INSTALLED = {"error": None, "body": []}


def asked(reply):
    assert reply.result["status"] == "ok", reply.error
    return [question["requirements"] for question in reply.asks]


@pytest.mark.parametrize(
    ("line", "requirements"),
    [
        ("%pip install tiny", ["tiny"]),
        ("!pip install tiny", ["tiny"]),
        ("!pip3 install -q --upgrade tiny other", ["tiny", "other"]),
        ("%pip install 'tiny>=1,<2' other==1.0.0 -U", ["tiny>=1,<2", "other==1.0.0"]),
        ("%pip install tiny>=1  # and why", ["tiny>=1"]),
        ("!python -m pip install --user --no-cache-dir tiny[all]", ["tiny[all]"]),
        ("%pip install \\\n  tiny \\\n  other", ["tiny", "other"]),
        ("% pip install tiny", ["tiny"]),
        ("%pip install 0x", ["0x"]),
    ],
)
def test_pip_install(run, line, requirements):
    reply = run(f"{line}\nx = 2\nx * 3", answers=[INSTALLED]).reply
    assert asked(reply) == [requirements]
    assert reply.value == 6


def test_several_and_within_blocks(run):
    code = """
%pip install one
if True:
    !pip install two
    x = 1
else:
\t%pip install three
text = '''
%pip install four
'''
%matplotlib inline
text
"""
    reply = run(code.strip("\n").replace("\n", "\r\n"), answers=[INSTALLED]).reply
    assert asked(reply) == [["one", "two", "three"]]
    assert reply.value == "\n%pip install four\n"


def test_lines_keep_their_numbers(run):
    error = run("%pip install one \\\n  two\n\n1 / 0", answers=[INSTALLED]).reply.error
    assert (error["name"], error["line"]) == ("ZeroDivisionError", 4)
    error = run("%pip install one\nx = 1\n  y = 2").reply.error
    assert (error["name"], error["line"]) == ("IndentationError", 3)


def test_a_future_import_may_follow(run):
    reply = run("%pip install one\nfrom __future__ import annotations\n3", answers=[INSTALLED]).reply
    assert reply.value == 3


def test_a_modulo_is_no_magic(run):
    reply = run("pip = 7\nx = (pip\n%pip)\nx").reply
    assert (asked(reply), reply.value) == ([], 0)


def test_nothing_runs_when_it_cannot_be_had(run):
    answer = {"error": {"code": "install", "message": "No one.", "details": {}}, "body": None}
    outcome = run("print('ran')\n%pip install one", answers=[answer])
    error = outcome.reply.error
    assert (error["name"], error["value"], outcome.stdout) == ("InstallError", "No one.", b"")
    assert error["traceback"] == ["micropip.InstallError: No one."]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%pip install -r requirements.txt", "the option -r can't be used here"),
        (
            "%pip install --index-url=https://a.test x",
            "the option --index-url=https://a.test can't be used here",
        ),
        ("%pip install -q", "no package is named"),
        ("%pip install 'x", "No closing quotation"),
        ("%pip install ./x", "./x is no package's name"),
        ("%pip install https://a.test/x.whl", "is no package's name"),
        ("%pip list", "%pip list isn't supported"),
        ("%timeit 1", "%timeit 1 isn't supported"),
        ("%%time", "the cell magic %%time isn't supported"),
        ("!ls -l", "there is no shell"),
    ],
)
def test_others_are_refused(run, line, message):
    reply = run(f"x = 1\n{line}\n").reply
    assert (reply.error["name"], reply.error["line"], reply.asks) == ("SyntaxError", 2, [])
    assert message in reply.error["value"]
    assert line in "\n".join(reply.error["traceback"])


def test_other_syntax_errors_are_as_they_were(run):
    error = run("x = 1\ny = = 2").reply.error
    assert (error["name"], error["line"]) == ("SyntaxError", 2)
    assert "During handling" not in "\n".join(error["traceback"])
    assert run("print('%pip install x').reply.stdout" + "\n)").reply.error["line"] == 2


def test_the_next_run_is_not_disturbed(run_all):
    outcome = run_all(Request("%pip install one\n1", answers=[INSTALLED]), Request("%time"), Request("2"))
    assert [reply.value for reply in outcome.replies] == [1, None, 2]
