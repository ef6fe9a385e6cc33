"""What a run installs, and what stands in for modules that no kernel has."""

import sys

import pytest
from conftest import Request

INSTALLED = {"error": None, "body": [{"name": "tiny", "version": "1.0"}]}


def refusal(message, code="install", **details):
    return {"error": {"code": code, "message": message, "details": details}, "body": None}


def install(*requirements):
    return {"kind": "install", "requirements": list(requirements)}


def test_micropip_asks_the_host(run):
    code = """
import asyncio, inspect, micropip
assert inspect.iscoroutinefunction(micropip.install)
await micropip.install('tiny>=1')
await micropip.install(['tiny', 'other[extra]'], keep_going=True, verbose=True)
"""
    reply = run(code, answers=[INSTALLED, INSTALLED]).reply
    assert reply.result["status"] == "ok", reply.error
    assert reply.asks == [install("tiny>=1"), install("tiny", "other[extra]")]


def test_what_is_installed_is_importable(run, tmp_path):
    code = f"""
import os, sys, micropip
sys.path.append({str(tmp_path)!r})
try:
    import tiny_installed
except ImportError:
    pass
os.utime({str(tmp_path)!r}, (0, 0))
sys.path_importer_cache[{str(tmp_path)!r}]._path_mtime = 0
open({str(tmp_path / "tiny_installed.py")!r}, 'w').write('x = 5')
os.utime({str(tmp_path)!r}, (0, 0))
await micropip.install('tiny')
import tiny_installed
tiny_installed.x
"""
    reply = run(code, answers=[INSTALLED]).reply
    assert reply.value == 5, reply.error


def test_what_is_there_is_not_asked_for(run):
    code = """
import micropip
from importlib.metadata import version
await micropip.install(['PyTest', f'pytest == {version("pytest")}'])
"""
    assert run(code).reply.result["status"] == "ok"
    reply = run("import micropip\nawait micropip.install('pytest==0.1')", answers=[INSTALLED]).reply
    assert reply.asks == [install("pytest==0.1")]


def test_a_refusal(run):
    code = """
import micropip
try:
    await micropip.install('nump')
except ValueError as error:
    result = [str(error), error.reason, error.package, error.suggestion, type(error).__module__]
result + [issubclass(micropip.InstallError, ValueError)]
"""
    facts = {"reason": "not_found", "package": "nump", "suggestion": "Did you mean numpy?"}
    expected = [
        "l",
        "There is no nump. Did you mean numpy?",
        "not_found",
        "nump",
        "Did you mean numpy?",
        "micropip",
        True,
    ]
    for message in ("There is no nump.", "There is no nump. Did you mean numpy?"):
        assert run(code, answers=[refusal(message, **facts)]).reply.value == expected


def test_a_refusal_that_is_not_caught_points_at_the_run(run):
    error = run("import micropip\nawait micropip.install('x')", answers=[refusal("No x.")]).reply.error
    assert (error["name"], error["value"], error["line"]) == ("InstallError", "No x.", 2)
    assert [frame["file"] for frame in error["frames"]] == ["<run>"]
    other = run(
        "import micropip\nawait micropip.install('x')", answers=[refusal("Gone.", "closed")]
    ).reply.error
    assert (other["name"], other["value"]) == ("RuntimeError", "Gone.")


def test_the_channel_is_in_step_afterwards(run_all):
    code = "import micropip\nawait micropip.install('x')"
    outcome = run_all(
        Request(code, answers=[refusal("No.")]), Request(code, answers=[INSTALLED]), Request("1 + 1")
    )
    assert [reply.result["status"] for reply in outcome.replies] == ["error", "ok", "ok"]
    assert outcome.reply.value == 2


@pytest.mark.parametrize(
    "call",
    [
        "'x', index_urls='https://a.test'",
        "'x', credentials='include'",
        "'x', deps=False",
        "'x', pre=True",
        "'x', constraints=['a<1']",
        "'x', reinstall=True",
        "'https://a.test/x-1-py3-none-any.whl'",
        "['x', 'emfs:/x-1-py3-none-any.whl']",
        "'x-1-py3-none-any.whl'",
        "'x @ https://a.test/x-1-py3-none-any.whl'",
    ],
)
def test_what_it_cannot_do(run, call):
    reply = run(f"import micropip\nawait micropip.install({call})").reply
    assert (reply.error["name"], reply.asks) == ("ValueError", [])
    assert "can" in reply.error["value"]


def test_forgetting_await_does_nothing_but_warn(run):
    code = """
import micropip, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    micropip.install('x')
[str(each.message) for each in caught]
"""
    reply = run(code).reply
    assert (reply.value, reply.asks) == (["l", "coroutine 'install' was never awaited"], [])


def test_list_freeze_uninstall(run):
    code = """
import json, micropip
from importlib.metadata import version
found = micropip.list()['pytest']
assert (found.name, found.version, found.source) == ('pytest', version('pytest'), 'vivarium')
assert json.loads(micropip.freeze())['packages']['pytest'] == {'name': 'pytest', 'version': version('pytest')}
errors = []
for call in (lambda: micropip.uninstall('pytest'), lambda: micropip.set_index_urls([])):
    try:
        call()
    except (RuntimeError, AttributeError) as error:
        errors.append(type(error).__name__)
errors
"""
    reply = run(code).reply
    assert reply.value == ["l", "RuntimeError", "AttributeError"], reply.error


@pytest.mark.parametrize("name", ["js", "pyodide_js"])
def test_there_is_no_javascript(run, name):
    code = f"""
import {name}
seen = [hasattr({name}, each) for each in ('window', 'fetch', '_api', 'process', 'globalThis')]
assert not any(seen)
public = [each for each in vars({name}) if not each.startswith('_')]
assert public in ([], ["console"]), public
try:
    from {name} import fetch
except ImportError:
    {name}.fetch('https://a.test')
"""
    error = run(code).reply.error
    assert (error["name"], error["line"]) == ("AttributeError", 10)
    assert error["value"].startswith("there is no JavaScript here")
    assert error["value"].endswith(f"{name}.fetch doesn't exist")
    assert run(f"import {name}._api").reply.error["name"] == "ModuleNotFoundError"


def test_the_stand_ins_are_behind_the_standard_library_and_before_packages(run):
    code = "import sys\n[path.rpartition('/')[2] for path in sys.path]"
    names = run(code).reply.value[1:]
    at = names.index("_stubs")
    assert names.count("_stubs") == 1
    assert names[at + 1] == "site-packages"
    assert "site-packages" not in names[:at]
    assert f"python{sys.version_info[0]}.{sys.version_info[1]}" in names[:at]
