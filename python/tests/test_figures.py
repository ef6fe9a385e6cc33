"""Figures and images as displays."""

import base64
import importlib
import struct
import sys

import pytest
from conftest import Request

PNG = b"\x89PNG"


def size(display):
    png = base64.b64decode(display["data"]["image/png"])
    assert png.startswith(PNG)
    return struct.unpack(">II", png[16:24])


def texts(outcome):
    return [display["data"]["text/plain"] for display in outcome.reply.displays]


def test_when_the_run_is_the_first_to_import_matplotlib(run):
    assert "matplotlib" not in sys.modules
    outcome = run(
        """
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
import inspect
plt.figure(figsize=(3, 2))
plt.show()
assert "class FigureManagerBase" in inspect.getsource(inspect.getmodule(matplotlib.backend_bases))
"""
    )
    assert outcome.stderr == b""
    assert texts(outcome) == ["<Figure size 300x200 with 0 Axes>"]


@pytest.fixture
def plot(run, monkeypatch):
    """Runs code in an interpreter that has matplotlib."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    importlib.import_module("matplotlib.pyplot")
    return lambda code, **options: run("import matplotlib.pyplot as plt\n" + code, **options)


def test_figures_left_open(plot):
    outcome = plot(
        "plt.figure(5, (3, 2)).add_subplot()\nplt.figure(2, (4, 3)).add_subplot()\nplt.figure(5)\n1"
    )
    assert texts(outcome) == ["<Figure size 300x200 with 1 Axes>", "<Figure size 400x300 with 1 Axes>"]
    assert [set(each["data"]) for each in outcome.reply.displays] == [{"text/plain", "image/png"}] * 2
    # Tightly around what is drawn.
    assert size(outcome.reply.displays[0]) != (300, 200)
    assert outcome.reply.value == 1


def test_as_svg(plot):
    outcome = plot("plt.plot([1, 2])\nplt.show()\nplt.figure()\n1", figures="svg")
    first, second = outcome.reply.displays
    assert set(first["data"]) == set(second["data"]) == {"text/plain", "image/svg+xml"}
    assert first["data"]["image/svg+xml"].startswith("<?xml")


def test_show_displays_and_closes(plot):
    outcome = plot(
        """
plt.plot([1])
plt.show()
print(plt.get_fignums())
plt.figure(figsize=(2, 2))
plt.show(block=True)
plt.show()
plt.figure(figsize=(1, 1)).show()
print(plt.get_fignums())
"""
    )
    assert texts(outcome) == [
        "<Figure size 640x480 with 1 Axes>",
        "<Figure size 200x200 with 0 Axes>",
        "<Figure size 100x100 with 0 Axes>",
    ]
    assert (outcome.stdout, outcome.stderr) == (b"[]\n[]\n", b"")


def test_the_value_is_shown_once(plot):
    outcome = plot("other = plt.figure(figsize=(2, 2))\nfig, ax = plt.subplots()\nfig")
    assert texts(outcome) == ["<Figure size 200x200 with 0 Axes>"]
    assert set(outcome.reply.result["display"]["data"]) == {"text/plain", "image/png"}
    assert outcome.reply.value[:2] == ["r", "Figure"]
    unmanaged = plot("from matplotlib.figure import Figure\nFigure(figsize=(2, 2))")
    assert texts(unmanaged) == []
    assert size(unmanaged.reply.result["display"]) > (0, 0)


def test_artists_are_text(plot):
    outcome = plot("plt.plot([1])")
    assert outcome.reply.result["display"] is None
    assert outcome.reply.result["text"].startswith("[<matplotlib.lines.Line2D")
    assert len(outcome.reply.displays) == 1


def test_displayed_ones_are_shown_again_only_if_they_changed(plot):
    code = "fig, ax = plt.subplots()\nline, = ax.plot([1])\ndisplay(fig)\n"
    assert len(plot(code).reply.displays) == 1
    assert len(plot(code + "line.set_ydata([3])").reply.displays) == 2


def test_one_that_can_not_be_drawn(plot):
    outcome = plot(
        """
plt.title("$\\\\nonsense$")
plt.figure(figsize=(2, 2))
1
"""
    )
    assert (outcome.reply.result["status"], outcome.reply.value) == ("ok", 1)
    assert texts(outcome) == ["<Figure size 200x200 with 0 Axes>"]
    assert outcome.stderr.startswith(
        b"display: <Figure size 640x480 with 1 Axes> could not be drawn: ValueError"
    )
    value = plot("fig = plt.figure()\nfig.suptitle('$\\\\nonsense$')\nfig")
    assert value.reply.result["status"] == "ok"
    assert value.reply.result["display"] is None
    assert texts(value) == []


def test_after_an_error_and_an_interrupt(plot):
    assert len(plot("plt.figure()\n1 / 0").reply.displays) == 1
    interrupted = plot("import time\nplt.figure()\ntime.sleep(1)", interrupts=True)
    assert interrupted.reply.error["name"] == "KeyboardInterrupt"
    assert texts(interrupted) == []


def test_nothing_is_left_for_the_next_run(plot, run_all):
    code = "import matplotlib.pyplot as plt\nplt.figure()"
    outcome = run_all(Request(code, {"keep": True}), Request("plt = 1", {"keep": True}))
    assert [len(reply.displays) for reply in outcome.replies] == [0, 0]
    assert "image/png" in outcome.replies[0].result["display"]["data"]


def test_show_keeps_the_order_in_which_figures_were_made(plot):
    outcome = plot("plt.figure(1, (3, 2))\nplt.figure(2, (4, 3))\nplt.figure(1)\nplt.show()")
    assert texts(outcome) == ["<Figure size 300x200 with 0 Axes>", "<Figure size 400x300 with 0 Axes>"]


def test_what_does_not_block_leaves_figures_open(plot):
    outcome = plot(
        """
plt.plot([1])
plt.show(block=False)
plt.pause(0.01)
display("same")
plt.title("more")
plt.pause(0.01)
print(plt.get_fignums())
plt.figure()
plt.show(block=False)
plt.close()
1
"""
    )
    figure = "<Figure size 640x480 with 1 Axes>"
    assert texts(outcome) == [figure, "'same'", figure, "<Figure size 640x480 with 0 Axes>"]
    assert outcome.stdout == b"[1]\n"


def test_animations_and_pause(plot):
    outcome = plot("plt.plot([1])\nplt.pause(0.01)\n1")
    assert (len(outcome.reply.displays), outcome.stderr) == (1, b"")


@pytest.mark.parametrize("mode", ["RGB", "P", "CMYK", "I;16", "F", "LAB"])
def test_images(run, mode):
    outcome = run(f"from PIL import Image\nimage = Image.new('{mode}', (3, 2))\ndisplay(image)\nimage")
    assert outcome.stderr == b""
    assert size(outcome.reply.displays[0]) == (3, 2)
    assert set(outcome.reply.result["display"]["data"]) == {"text/plain", "image/png"}
    assert outcome.reply.value == ["b", 1]
    assert outcome.reply.parts[1] == base64.b64decode(outcome.reply.result["display"]["data"]["image/png"])


def test_an_image_that_changes_is_drawn_anew(run):
    outcome = run(
        """
from PIL import Image
image = Image.new("L", (3, 2))
display(image)
image.putpixel((0, 0), 9)
display(image)
"""
    )
    first, second = (display["data"]["image/png"] for display in outcome.reply.displays)
    assert first != second


def test_frames_are_html(run):
    outcome = run("import pandas\npandas.DataFrame({'a': [1]})")
    data = outcome.reply.result["display"]["data"]
    assert set(data) == {"text/plain", "text/html"}
    assert "<table" in data["text/html"]
    assert outcome.reply.value[0] == "F"
    assert outcome.reply.parts[1] == (1).to_bytes(8, "little")


def test_displays_of_a_warm_up_go_nowhere(plot):
    outcome = plot(
        """
from vivarium import _harness
print(_harness.warm_up("import matplotlib.pyplot as plt\\nplt.figure()\\ndisplay(1)", "warm.py"))
display(2)
"""
    )
    assert outcome.stdout == b"None\n"
    assert texts(outcome) == ["2"]
