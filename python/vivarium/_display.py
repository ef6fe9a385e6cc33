"""Rich display: an object's MIME bundle, and `display()`."""

import sys
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from ._channel import quote, to_json
from ._figures import picture_of
from ._pristine import pristine as __builtins__  # noqa: F401
from ._repr import safe_repr, type_name
from ._streams import flush_streams

TEXT_LIMIT = 100_000

_METHODS = (
    ("_repr_html_", "text/html"),
    ("_repr_markdown_", "text/markdown"),
    ("_repr_svg_", "image/svg+xml"),
    ("_repr_png_", "image/png"),
    ("_repr_jpeg_", "image/jpeg"),
    ("_repr_latex_", "text/latex"),
    ("_repr_json_", "application/json"),
    ("_repr_pdf_", "application/pdf"),
    ("_repr_javascript_", "application/javascript"),
)
_PLAIN_TYPES = frozenset(
    [type(None), bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset]
)

Bundle = tuple[dict[str, str], dict[str, object]]


def has_rich_display(value: object) -> bool:
    """False for the types that certainly have none; saves the search."""
    return type(value) not in _PLAIN_TYPES


def mime_bundle(value: object, main: bool = False) -> Bundle:
    """All the object offers, `text/plain` always. Methods that raise are named on stderr and skipped.

    With `main` it is a run's value, after which nothing shows it again.
    """
    data: dict[str, str] = {}
    metadata: dict[str, object] = {}
    picture = picture_of(value, main)
    if picture is not None:
        _take(data, dict.items(picture))
    elif has_rich_display(value) and not issubclass(type(value), type):
        offered = _offer(value, "_repr_mimebundle_", include=None, exclude=None)
        if offered is not None:
            found, extra = offered if type(offered) is tuple else (offered, {})
            if issubclass(type(found), dict):
                _take(data, dict.items(found))
            if issubclass(type(extra), dict):
                metadata.update(dict.items(extra))
        for method, mime in _METHODS:
            if mime in data:
                continue
            offered = _offer(value, method)
            if offered is None:
                continue
            content, extra = offered if type(offered) is tuple and len(offered) == 2 else (offered, None)
            _take(data, [(mime, content)])
            if extra:
                metadata[mime] = extra
    if "text/plain" not in data:
        data["text/plain"] = safe_repr(value, TEXT_LIMIT)
    return data, metadata


def bundle_fields(data: dict[str, str], metadata: dict[str, object]) -> str:
    """The bundle as members of a JSON object. Metadata that isn't JSON is dropped."""
    try:
        meta = to_json(metadata)
    except Exception:
        meta = "{}"
    members = ",".join([f"{quote(mime)}:{quote(content)}" for mime, content in data.items()])
    return f'"data":{{{members}}},"metadata":{meta}'


_send: Callable[[str], object] | None = None


def connect_display(send: Callable[[str], object] | None) -> None:
    """Where `display()` sends the members of a display frame."""
    global _send
    _send = send


def display(*objs: object, raw: bool = False, metadata: dict[str, object] | None = None) -> None:
    """Shows objects in their richest forms. With `raw` they are dicts of MIME type to content."""
    for obj in objs:
        data: dict[str, str] = {}
        extra: dict[str, object] = {}
        if raw:
            if not isinstance(obj, dict):
                raise TypeError(f"display(raw=True) takes dicts of MIME types, not {type_name(type(obj))}")
            _take(data, dict.items(obj))
        else:
            data, extra = mime_bundle(obj)
        if metadata:
            extra = {**extra, **metadata}
        if _send is None:
            print(data.get("text/plain", ""))
        else:
            _send('"kind":"display",' + bundle_fields(data, extra))


def show_picture(picture: dict[str, str | bytes], value: object) -> None:
    """Displays what has been drawn of the object."""
    if _send is not None:
        data = {"text/plain": safe_repr(value, TEXT_LIMIT)}
        _take(data, dict.items(picture))
        flush_streams()
        _send('"kind":"display",' + bundle_fields(data, {}))


def _offer(value: object, method: str, **options: object) -> Any:
    """Calls it when the type defines it, or the object itself; objects that answer to any name have none."""
    try:
        if not hasattr(type(value), method) and method not in getattr(value, "__dict__", ()):
            return None
        bound = getattr(value, method)
        return bound(**options) if callable(bound) else None
    except Exception as error:
        _skip(f"{type_name(type(value))}.{method}", error)
        return None


def _take(data: dict[str, str], items: Any) -> None:
    for mime, content in items:
        if not isinstance(mime, str) or content is None:
            continue
        try:
            data[str.__str__(mime)] = _as_text(mime, content)
        except Exception as error:
            _skip(mime, error)


def _as_text(mime: str, content: object) -> str:
    if isinstance(content, str):
        return str.__str__(content)
    if isinstance(content, (bytes, bytearray, memoryview)):
        if mime.startswith("text/") or mime.endswith(("+xml", "json", "javascript")):
            return bytes(content).decode("utf-8", "replace")
        return b64encode(content).decode("ascii")
    return to_json(content)


def _skip(what: str, error: Exception) -> None:
    if sys.stderr is not None:
        print(f"display: {what} raised {type_name(type(error))}: {safe_repr(error, 200)}", file=sys.stderr)
