"""Rich display."""

import vivarium

RICH = """
class H:
    def _repr_html_(self): return "<b>"
    def _repr_png_(self): return b"abc"
    def _repr_json_(self): return {"a": [1]}
    def _repr_latex_(self): return None
    def __repr__(self): return "H()"
"""
BUNDLE = {"text/html": "<b>", "image/png": "YWJj", "application/json": '{"a":[1]}', "text/plain": "H()"}


def test_export():
    assert vivarium.__version__
    assert callable(vivarium.display)


def test_last_expression(run):
    assert run(RICH + "H()").reply.result["display"] == {"data": BUNDLE, "metadata": {}}
    assert run("[1]").reply.result["display"] is None
    assert run(RICH + "H").reply.result["display"] is None


def test_display_frames_come_in_order(run):
    reply = run(RICH + "display(H(), 5, metadata={'m': 1})\nfrom vivarium import display as d\nd([1]);").reply
    assert [frame["data"] for frame in reply.displays] == [BUNDLE, {"text/plain": "5"}, {"text/plain": "[1]"}]
    assert reply.displays[0]["metadata"] == {"m": 1}
    assert reply.result["status"] == "ok"


def test_raw(run):
    reply = run(
        "display({'text/html': '<i>', 'image/png': b'abc', 'x': None}, raw=True)\ndisplay(1, raw=True)"
    ).reply
    assert reply.displays[0]["data"] == {"text/html": "<i>", "image/png": "YWJj"}
    assert reply.error["name"] == "TypeError"


def test_mimebundle(run):
    code = """
class B:
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": "plain", "text/html": "bundle"}, {"text/html": {"w": 1}, "bad": float("nan")}
    def _repr_html_(self): return "not this"
    def _repr_svg_(self): return "<svg/>", {"h": 2}
display(B())
"""
    frame = run(code).reply.displays[0]
    assert frame["data"] == {"text/plain": "plain", "text/html": "bundle", "image/svg+xml": "<svg/>"}
    assert frame["metadata"] == {}


def test_methods_that_raise_are_named(run):
    code = "class X:\n    def _repr_html_(self): 1 / 0\n    def _repr_svg_(self): return '<svg/>'\nX()"
    outcome = run(code)
    assert set(outcome.reply.result["display"]["data"]) == {"image/svg+xml", "text/plain"}
    assert outcome.stderr.count(b"\n") == 1
    assert b"X._repr_html_" in outcome.stderr


def test_objects_that_answer_to_any_name(run):
    outcome = run("class A:\n    def __getattr__(self, name): return print\ndisplay(A());")
    assert list(outcome.reply.displays[0]["data"]) == ["text/plain"]
    assert outcome.stdout == b""


def test_an_attribute_of_the_object_itself(run):
    code = "class A: pass\na = A()\na._repr_html_ = lambda: '<u>'\na"
    assert run(code).reply.result["display"]["data"]["text/html"] == "<u>"
