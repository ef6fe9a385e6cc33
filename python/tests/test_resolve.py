"""Requirements to wheels, by the real micropip, with an index of synthetic pages and tiny wheels."""

import asyncio
import hashlib
import io
import json
import os
import sys
import zipfile
from pathlib import Path

import pytest

from vivarium._install import InstallError
from vivarium._micropip import top_levels
from vivarium._resolve import imports_of, load_micropip, resolve

ROOT = Path(__file__).parents[2]
INDEX = "https://index.test/simple"
CDN = "https://cdn.test/"
SIMPLE = "application/vnd.pypi.simple.v1+json"


def entry(name, version, depends=(), imports=None):
    return {
        "name": name,
        "version": version,
        "file_name": f"{name}-{version}-py3-none-any.whl",
        "install_dir": "site",
        "sha256": hashlib.sha256(name.encode()).hexdigest(),
        "package_type": "package",
        "imports": [name.replace("-", "_")] if imports is None else imports,
        "depends": list(depends),
    }


DISTRIBUTION = {
    each["name"]: each
    for each in (
        entry("numpy", "2.4.3"),
        entry("six", "1.17.0"),
        entry("pytz", "2026.1"),
        entry("python-dateutil", "2.9.0", ["six"], ["dateutil"]),
        entry("pandas", "3.0.2", ["numpy", "python-dateutil", "pytz"]),
        entry("scikit-learn", "1.8.0", ["numpy"], ["sklearn"]),
        entry("micropip", "0.11.1"),
    )
}


@pytest.fixture(scope="module", autouse=True)
def micropip(tmp_path_factory):
    for folder in (os.environ.get("VIVARIUM_TEST_WHEELS"), ROOT.parent / "shared/wheels"):
        found = sorted(Path(folder).glob("micropip-*.whl")) if folder else []
        if found:
            unpacked = tmp_path_factory.mktemp("micropip")
            with zipfile.ZipFile(found[-1]) as wheel:
                wheel.extractall(unpacked)
            path = sys.path[:]
            sys.path.append(str(unpacked))
            yield load_micropip()
            sys.path[:] = path
            return
    pytest.fail("no wheel of micropip: set VIVARIUM_TEST_WHEELS to a folder that has one")


class Index:
    """What answers `fetch`."""

    def __init__(self):
        self.pages = {}
        self.files = {}
        self.asked = []
        self.status = {}

    def add(self, name, version, requires=(), *, tag="py3-none-any", extras=(), files=None, **facts):
        stem = f"{name.replace('-', '_')}-{version}"
        if tag == "sdist":
            filename, data = f"{name}-{version}.tar.gz", b""
        else:
            filename = f"{stem}-{tag}.whl"
            lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
            lines += [f"Provides-Extra: {extra}" for extra in extras]
            lines += [f"Requires-Dist: {each}" for each in requires]
            content = {f"{name.replace('-', '_')}/__init__.py": "", **(files or {})}
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as wheel:
                for path, text in {**content, f"{stem}.dist-info/METADATA": "\n".join(lines)}.items():
                    wheel.writestr(path, text)
            data = buffer.getvalue()
        self.files[f"https://files.test/{filename}"] = data
        page = self.pages.setdefault(name, [])
        digest = facts.pop("sha256", hashlib.sha256(data).hexdigest())
        url = f"../../files/{filename}" if facts.pop("relative", False) else f"https://files.test/{filename}"
        if url.startswith(".."):
            self.files[f"https://index.test/files/{filename}"] = data
        page.append({"filename": filename, "url": url, "hashes": {"sha256": digest}, **facts})
        return self

    def ask(self, question):
        assert question["kind"] == "fetch"
        url = question["url"]
        self.asked.append(url)
        if url in self.status:
            status = self.status[url]
            if isinstance(status, Exception):
                raise status
            return {"status": status, "url": url, "headers": {}}, [b""]
        if url in self.files:
            return {"status": 200, "url": url, "headers": {}}, [self.files[url]]
        name = url.removeprefix(INDEX + "/").removesuffix("/")
        if name not in self.pages:
            return {"status": 404, "url": url, "headers": {}}, [b"none"]
        page = {"name": name, "meta": {"api-version": "1.1"}, "files": self.pages[name]}
        return {"status": 200, "url": url, "headers": {"content-type": SIMPLE}}, [json.dumps(page).encode()]


@pytest.fixture
def index():
    return Index()


@pytest.fixture
def find(index):
    def find(*requirements, pre=False, urls=(INDEX,)):
        request = {
            "requirements": list(requirements),
            "lockfile": {"info": {"arch": "wasm32"}, "packages": DISTRIBUTION},
            "lockfileBaseUrl": CDN,
            "indexUrls": None if urls is None else list(urls),
            "pre": pre,
        }
        path = sys.path[:]
        result = asyncio.run(resolve(json.loads(json.dumps(request)), index.ask))
        assert sys.path == path
        # It crosses the border as it is.
        return json.loads(json.dumps(result))

    return find


def versions(result):
    assert result["ok"], result
    return {name: each["version"] for name, each in result["lockfile"]["packages"].items()}


def test_a_package_of_the_distribution_is_resolved_from_its_lock_alone(find, index):
    result = find("numpy")
    assert versions(result) == {"numpy": "2.4.3"}
    numpy = result["lockfile"]["packages"]["numpy"]
    assert numpy == {**DISTRIBUTION["numpy"], "file_name": CDN + DISTRIBUTION["numpy"]["file_name"]}
    assert (result["index"], index.asked) == ({}, [])


def test_the_distribution_brings_its_closure(find, index):
    result = find("Pandas>=3")
    assert sorted(versions(result)) == ["numpy", "pandas", "python-dateutil", "pytz", "six"]
    assert result["lockfile"]["packages"]["python-dateutil"]["depends"] == ["six"]
    assert index.asked == []


def test_micropip_itself_is_not_taken_for_installed(find):
    assert versions(find("micropip")) == {"micropip": "0.11.1"}


def test_a_wheel_of_an_index_with_a_dependency_in_the_distribution(find, index):
    index.add("Demo-Tool".lower(), "1.0", ["NumPy>=2", "helper"]).add("demo-tool", "0.9").add("helper", "3.1")
    result = find("Demo_Tool")
    assert versions(result) == {"demo-tool": "1.0", "helper": "3.1", "numpy": "2.4.3"}
    url = "https://files.test/demo_tool-1.0-py3-none-any.whl"
    demo = result["lockfile"]["packages"]["demo-tool"]
    assert demo["depends"] == ["helper", "numpy"]
    assert (demo["imports"], demo["file_name"]) == (["demo_tool"], url)
    assert demo["sha256"] == hashlib.sha256(index.files[url]).hexdigest()
    assert sorted(result["index"]) == ["demo-tool", "helper"]
    assert result["index"]["demo-tool"] == {"url": url, "fileName": "demo_tool-1.0-py3-none-any.whl"}
    assert not any("numpy" in url for url in index.asked)


def test_the_usual_index_is_micropips(find, index):
    find("nothing", urls=None)
    assert [url.endswith("/simple/nothing/") for url in index.asked] == [True]


def test_indexes_are_asked_in_order(find, index):
    index.add("demo", "1.0")
    assert versions(find("demo", urls=["https://other.test/simple/", INDEX + "/"])) == {"demo": "1.0"}
    assert index.asked[:2] == ["https://other.test/simple/demo/", INDEX + "/demo/"]


def test_metadata_apart_from_the_wheel(find, index):
    index.add("demo", "1.0", ["six"], **{"core-metadata": True})
    url = "https://files.test/demo-1.0-py3-none-any.whl"
    index.files[url + ".metadata"] = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Dist: six\n"
    assert versions(find("demo")) == {"demo": "1.0", "six": "1.17.0"}


def test_relative_addresses_and_other_pythons(find, index):
    index.add("demo", "2.0", **{"requires-python": "<3"}).add("demo", "1.0", relative=True)
    result = find("demo")
    assert versions(result) == {"demo": "1.0"}
    assert result["index"]["demo"]["url"] == "https://index.test/files/demo-1.0-py3-none-any.whl"


def test_pages_in_html(find, index):
    index.add("demo", "1.0", ["six"])
    page = (
        '<!DOCTYPE html><a href="https://files.test/demo-1.0-py3-none-any.whl">demo-1.0-py3-none-any.whl</a>'
    )

    def ask(question, former=index.ask):
        body, parts = former(question)
        if question["url"].endswith("/demo/"):
            return {**body, "headers": {"Content-Type": "text/html; charset=utf-8"}}, [page.encode()]
        return body, parts

    index.ask = ask
    assert versions(find("demo")) == {"demo": "1.0", "six": "1.17.0"}
    assert find("demo==2")["suggestion"] == "demo 1.0 has a wheel that would work."


def test_a_version_that_the_distribution_lacks_comes_from_the_index(find, index):
    index.add("six", "1.16.0").add("six", "1.15.0")
    result = find("six<1.17")
    assert versions(result) == {"six": "1.16.0"}
    assert list(result["index"]) == ["six"]
    assert versions(find("python-dateutil", "six<1.16")) == {"python-dateutil": "2.9.0", "six": "1.15.0"}


def test_a_choice_is_made_anew_when_a_later_need_rules_it_out(find, index):
    index.add("lib", "1.0").add("lib", "2.0").add("a", "1", ["lib"]).add("b", "1", ["lib<2"])
    assert versions(find("a", "b")) == {"a": "1", "b": "1", "lib": "1.0"}
    index.add("six", "1.16.0").add("old", "1", ["six<1.17"])
    assert versions(find("six", "old")) == {"old": "1", "six": "1.16.0"}


def test_the_newest_stable_version_unless_others_are_wanted(find, index):
    index.add("demo", "1.0").add("demo", "1.1rc1")
    assert versions(find("demo")) == {"demo": "1.0"}
    assert versions(find("demo", pre=True)) == {"demo": "1.1rc1"}
    assert versions(find("demo>=1.1rc1")) == {"demo": "1.1rc1"}


def test_extras_and_markers(find, index):
    index.add(
        "demo",
        "1.0",
        [
            "six; extra == 'slow'",
            "pytz; extra == 'time'",
            "numpy; python_version < '3'",
            "demo[time]; extra == 'all'",
        ],
        extras=["slow", "time", "all"],
    )
    assert versions(find("demo")) == {"demo": "1.0"}
    assert versions(find("demo[slow]")) == {"demo": "1.0", "six": "1.17.0"}
    both = find("demo", "demo[slow]")
    assert versions(both) == {"demo": "1.0", "six": "1.17.0"}
    assert both["lockfile"]["packages"]["demo"]["depends"] == ["six"]
    assert versions(find("demo[all]")) == {"demo": "1.0", "pytz": "2026.1"}
    assert versions(find("six; python_version < '3'", "pytz")) == {"pytz": "2026.1"}


def test_a_wheel_by_its_address(find, index):
    index.add("demo", "1.0", ["six"])
    url = "https://files.test/demo-1.0-py3-none-any.whl"
    for requirement in (url, f"demo @ {url}"):
        result = find(requirement)
        assert versions(result) == {"demo": "1.0", "six": "1.17.0"}
        assert result["index"]["demo"]["url"] == url


@pytest.mark.parametrize("depends", [True, False])
def test_import_names(find, index, depends):
    files = {
        "other.py": "",
        "_native.cpython-314.so": "",
        "demo-1.0.data/purelib/extra/a.py": "",
        "docs/a.md": "",
    }
    files |= {"demo-1.0.data/scripts/run.py": "", "demo-1.0.dist-info/hook.py": ""}
    if depends:
        files["demo-1.0.dist-info/top_level.txt"] = "declared\n"
    index.add("demo", "1.0", files=files)
    imports = find("demo")["lockfile"]["packages"]["demo"]["imports"]
    assert imports == (["declared"] if depends else ["_native", "demo", "extra", "other"])


def test_top_levels_of_nothing():
    assert top_levels(["a-1.dist-info/METADATA", "a.data", "x/y.txt"]) == []


def test_the_same_twice(find, index):
    index.add("a", "1", ["c", "d", "six"]).add("c", "1", ["d"]).add("d", "1", ["a"])
    assert find("a", "pandas") == find("a", "pandas")


def refused(result, reason, package, *, suggestion=None):
    assert not result["ok"]
    assert (result["reason"], result["package"]) == (reason, package), result
    assert result["message"].endswith(".")
    if suggestion is not None:
        assert result["suggestion"] == suggestion
    return result["message"]


def test_conflict_of_two_requirements(find, index):
    index.add("demo", "1.0").add("demo", "2.0")
    result = find("demo==1.0", "demo==2.0")
    message = refused(result, "conflict", "demo", suggestion="demo 2.0 has a wheel that would work.")
    assert "demo==1.0 is asked for, demo==2.0 is asked for" in message
    assert result["detail"]


def test_conflict_of_two_packages(find, index):
    index.add("lib", "1.0").add("lib", "2.0").add("a", "1", ["lib>=2"]).add("b", "1", ["lib<2"])
    message = refused(find("a", "b"), "conflict", "lib")
    assert "a 1 needs lib>=2, b 1 needs lib<2" in message


@pytest.mark.parametrize("also", [(), ("numpy",), ("pandas",)])
def test_conflict_with_the_distribution(find, index, also):
    index.add("demo", "1.0", ["numpy<2"]).add("numpy", "1.26", tag="cp27-cp27m-win32")
    for requirements in (("demo", *also), (*also, "demo")):
        message = refused(find(*requirements), "conflict", "numpy")
        assert "demo 1.0 needs numpy<2, but Pyodide's distribution has numpy 2.4.3" in message


def test_conflict_of_an_address_with_a_version(find, index):
    index.add("six", "1.0")
    url = "https://files.test/six-1.0-py3-none-any.whl"
    index.add("demo", "1.0", ["six>=1.17"])
    for requirement in (url, f"six @ {url}"):
        assert versions(find("six", requirement)) == {"six": "1.0"}
        message = refused(find(requirement, "demo"), "conflict", "six")
        assert "demo 1.0 needs six>=1.17" in message
    assert f"six @ {url} is asked for" in message


def test_no_wheel_but_in_the_distribution(find, index):
    index.add("numpy", "1.26", tag="cp27-cp27m-win32")
    refused(find("numpy<2"), "no_wheel", "numpy", suggestion="Pyodide's distribution has numpy 2.4.3.")


@pytest.mark.parametrize("tag", ["cp27-cp27m-win32", "sdist"])
def test_no_wheel_but_of_an_older_version(find, index, tag):
    index.add("demo", "2.0", tag=tag).add("demo", "1.0").add("demo", "0.9").add("parent", "1", ["demo>=2"])
    suggestion = "demo 1.0 has a wheel that would work."
    assert versions(find("demo")) == {"demo": "1.0"}
    assert "demo>=2" in refused(find("demo>=2"), "no_wheel", "demo", suggestion=suggestion)
    assert "which parent 1 needs" in refused(find("parent"), "no_wheel", "demo", suggestion=suggestion)


def test_no_wheel_at_all(find, index):
    index.add("demo", "2.0", tag="sdist")
    refused(find("demo"), "no_wheel", "demo", suggestion="")


def test_no_such_version(find, index):
    index.add("demo", "1.0")
    refused(find("demo==9"), "not_found", "demo", suggestion="demo 1.0 has a wheel that would work.")
    refused(find("numpy==9"), "not_found", "numpy", suggestion="Pyodide's distribution has numpy 2.4.3.")


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("numpi", "Did you mean numpy?"), ("sklearn", "Did you mean scikit-learn?"), ("qqqqq", "")],
)
def test_not_found(find, name, suggestion):
    assert refused(find(name), "not_found", name, suggestion=suggestion) == f"There is no package {name}."
    assert "there is no index" in refused(find(name, urls=[]), "not_found", name, suggestion=suggestion)


def test_not_found_as_a_dependency(find, index):
    index.add("demo", "1.0", ["missing"])
    assert "which demo 1.0 needs" in refused(find("demo"), "not_found", "missing")


@pytest.mark.parametrize(
    "text", ["not a requirement", "numpy>>2", "", "-r x.txt", "a @ file:///etc/passwd", "./a.whl"]
)
def test_bad_requirements(find, text):
    assert repr(text) in refused(find("numpy", text), "bad_requirement", "")


def test_an_extra_that_a_package_lacks(find, index):
    index.add("demo", "1.0")
    refused(find("demo[no]"), "bad_requirement", "demo", suggestion="Ask for demo.")


def test_a_host_that_cannot_fetch_is_not_asked_for_the_next_index(find, index):
    index.add("demo", "1.0")
    url = "https://other.test/simple"
    failure = InstallError(
        "other.test can't be reached.", reason="network", suggestion="Leave out --offline."
    )
    for status in (failure, RuntimeError("The runtime is closed."), 503, 403):
        index.status = {f"{url}/demo/": status}
        refused(find("demo", urls=[url, INDEX]), "network", "demo")
    index.status = {f"{url}/demo/": failure}
    assert find("demo", urls=[url, INDEX])["suggestion"] == "Leave out --offline."
    index.status = {"https://files.test/demo-1.0-py3-none-any.whl": 404}
    assert "demo-1.0" in refused(find("demo"), "network", "demo")


def test_a_page_that_is_none(find, index):
    for kind, data in ((SIMPLE, b"<html>"), ("text/plain", b"hello"), (SIMPLE, b"\xff")):
        page = ({"status": 200, "url": "", "headers": {"content-type": kind}}, [data])
        index.ask = lambda question, page=page: page
        refused(find("demo"), "network", "demo")


def test_wheels_that_are_not_what_they_should_be(find, index):
    index.add("demo", "1.0", sha256="0" * 64)
    refused(find("demo"), "hash_mismatch", "demo")
    index.add("torn", "1.0", sha256=hashlib.sha256(b"PK torn").hexdigest())
    index.files["https://files.test/torn-1.0-py3-none-any.whl"] = b"PK torn"
    refused(find("torn"), "unsafe_wheel", "torn")
    index.add("odd", "1.0", ["what is this"])
    refused(find("odd"), "unsafe_wheel", "odd")


def test_imports_of_a_script():
    source = """
%pip install numpy
import os, numpy as np, os.path
from pandas.io import json
from . import mine
from .other import thing
from __future__ import annotations
def f():
    import PIL.Image, js, micropip
    if True:
        import numpy.linalg
"""
    assert imports_of(source) == ["numpy", "pandas", "PIL"]
    with pytest.raises(SyntaxError):
        imports_of("import =")


def test_from_a_run(run):
    request = {"requirements": ["six", "nump"], "lockfile": {"info": {}, "packages": DISTRIBUTION}}
    request |= {"lockfileBaseUrl": CDN, "indexUrls": [INDEX], "pre": False}
    code = f"""
import json, sys
for name in [name for name in sys.modules if name.partition('.')[0] == 'micropip']:
    del sys.modules[name]
import micropip
assert not hasattr(micropip, 'PackageManager')
from vivarium import _resolve
result = await _resolve.resolve(json.loads({json.dumps(request)!r}))
[result['reason'], result['package'], result['suggestion']]
"""
    url = f"{INDEX}/nump/"
    answer = {"error": None, "body": {"status": 404, "url": url, "headers": {}}, "parts": [0]}
    reply = run(code, answers=[answer]).reply
    assert reply.value == ["l", "not_found", "nump", "Did you mean numpy?"], reply.error
    headers = reply.asks[0].pop("headers")
    assert reply.asks == [{"kind": "fetch", "url": url}]
    assert headers["accept"].startswith(SIMPLE)
