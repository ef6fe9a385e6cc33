"""matplotlib's figures and Pillow's images as pictures. Neither package is imported here.

`plt.show()` and the end of a run show the figures that are open, and close them.
"""

import io
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from itertools import count
from types import ModuleType
from typing import Any

from ._pristine import pristine as __builtins__  # noqa: F401
from ._repr import safe_repr, type_name

_HOOKED = "matplotlib.backend_bases"
_modules = sys.modules

Show = Callable[[dict[str, str | bytes], object], None]

_show: Show | None = None
_format = "png"
_last_image: tuple[object, bytes | None] | None = None
_PNG_MODES = frozenset(["1", "L", "LA", "I;16", "I;16B", "P", "RGB", "RGBA"])
_NEAREST = {"PA": "RGBA", "RGBa": "RGBA", "La": "LA", "I": "I;16"}
_order = count().__next__


def install_figures(show: Show) -> None:
    """`show` takes a picture by MIME type and what it is of. Acts on matplotlib when that is imported."""
    global _show
    _show = show
    if _HOOKED in _modules:
        _adopt(_modules[_HOOKED])
    elif not any(type(finder) is _Finder for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())  # type: ignore[arg-type]


def begin_figures(form: str) -> None:
    """A run begins, which wants `png` or `svg`."""
    global _format, _last_image
    _format = form
    _last_image = None


class _Finder:
    """Finds one module as the others do, and acts on it once it has run."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> ModuleSpec | None:
        if name != _HOOKED:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                _adopt_after(spec.loader)
                return spec
        return None


def _adopt_after(loader: Any) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        _adopt(module)

    loader.exec_module = exec_module


def _adopt(module: Any) -> None:
    """Gives the backends that have no window of their own a way to show figures."""
    manager_type = module.FigureManagerBase
    initialise = manager_type.__init__
    if hasattr(manager_type, "_vivarium_adopted"):
        return
    manager_type._vivarium_adopted = True

    def __init__(self: Any, *args: Any, **options: Any) -> None:  # noqa: N807
        initialise(self, *args, **options)
        self._vivarium_order = _order()

    def show(self: Any) -> None:
        _show_and_close([self])

    def pyplot_show(cls: Any, *, block: bool | None = None) -> None:
        if block is False:
            # Also of `plt.pause`: the program goes on drawing.
            for manager in _open_managers():
                _show_if_new(manager)
        else:
            _show_and_close(_open_managers())

    manager_type.__init__ = __init__
    manager_type.show = show
    # The backends of matplotlib itself export the latter, and pyplot takes that if there is one.
    manager_type.pyplot_show = module._Backend.show = classmethod(pyplot_show)


def show_figures(draw: bool = True) -> None:
    """Shows the open figures in the order they were made, and closes them. Raises no Exception."""
    if "matplotlib._pylab_helpers" not in _modules:
        return
    try:
        managers = _open_managers()
    except Exception as error:
        _complain("pyplot's figures", error)
        return
    if managers:
        _show_and_close(managers, draw)


def _open_managers() -> list[Any]:
    managers = _modules["matplotlib._pylab_helpers"].Gcf.get_all_fig_managers()
    return sorted(managers, key=lambda manager: getattr(manager, "_vivarium_order", -1))


def _show_and_close(managers: list[Any], draw: bool = True) -> None:
    for manager in managers:
        if draw:
            _show_if_new(manager)
        _close(manager)


def _show_if_new(manager: Any) -> None:
    """One that has been shown is shown again only if it has changed."""
    figure = manager.canvas.figure
    try:
        if _show is not None and not getattr(figure, "_vivarium_shown", False):
            _show(_draw(figure), figure)
            _note_shown(figure)
    except Exception as error:
        _complain(safe_repr(figure, 200), error)


def _close(manager: Any) -> None:
    try:
        _modules["matplotlib._pylab_helpers"].Gcf.destroy(manager)
    except Exception as error:
        _complain("a figure", error)


def _draw(figure: Any) -> dict[str, str | bytes]:
    file = io.BytesIO()
    figure.savefig(file, format=_format, bbox_inches="tight")
    data = file.getvalue()
    return {"image/svg+xml": data.decode()} if _format == "svg" else {"image/png": data}


def picture_of(value: object, main: bool) -> dict[str, str | bytes] | None:
    """The picture of a figure or an image, or None. With `main`, as a run's value, a figure is closed."""
    kind = type(value)
    if issubclass(kind, _class("matplotlib.figure", "Figure")):
        try:
            return _draw(value)
        except Exception as error:
            _complain(safe_repr(value, 200), error)
            return {}
        finally:
            _was_shown(value, main)
    if issubclass(kind, _class("PIL.Image", "Image")):
        png = image_png(value, again=main)
        return {} if png is None else {"image/png": png}
    return None


def _was_shown(figure: Any, main: bool) -> None:
    manager = getattr(figure.canvas, "manager", None)
    if main and manager is not None:
        _close(manager)
    else:
        _note_shown(figure)


def _note_shown(figure: Any) -> None:
    if not hasattr(figure, "_vivarium_shown"):
        notify = figure.stale_callback

        # `stale` alone doesn't tell: drawing resets it, and `plt.pause` draws.
        def changed(*args: Any) -> None:
            figure._vivarium_shown = False
            if notify is not None:
                notify(*args)

        figure.stale_callback = changed
    figure.stale = False
    figure._vivarium_shown = True


def image_png(image: Any, again: bool = False) -> bytes | None:
    """The bytes of a PNG file; modes that PNG lacks are converted. None, and a note, when it can't be.

    With `again`, what it gave last if that was for this image, which has not changed since.
    """
    global _last_image
    last, _last_image = _last_image, None
    if again and last is not None and last[0] is image:
        return last[1]
    file = io.BytesIO()
    png: bytes | None = None
    try:
        fit = image if image.mode in _PNG_MODES else image.convert(_NEAREST.get(image.mode, "RGB"))
        fit.save(file, "PNG", compress_level=1)
        png = file.getvalue()
    except MemoryError:
        raise
    except Exception as error:
        _complain("an image", error)
    _last_image = (image, png)
    return png


def _class(module: str, name: str) -> Any:
    return getattr(_modules.get(module), name, ())


def _complain(what: str, error: Exception) -> None:
    if sys.stderr is not None:
        print(
            f"display: {what} could not be drawn: {type_name(type(error))}: {safe_repr(error, 200)}",
            file=sys.stderr,
        )
