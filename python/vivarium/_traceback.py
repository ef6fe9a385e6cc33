"""What Python raised, as data and as Python prints it, without the harness's own frames."""

import linecache
from collections.abc import Iterator
from os.path import dirname
from traceback import TracebackException
from types import CodeType, FrameType, TracebackType
from typing import Any, NamedTuple, TypedDict

from ._pristine import pristine as __builtins__
from ._repr import type_name

MESSAGE_LIMIT = 10_000
EDGE_FRAMES = 50
_EDGE_TRACEBACK = 1_500
_MAX_CHAIN = 50
_MAX_LINES = 4_000

_HIDDEN = (dirname(__file__) + "/", "<frozen importlib")
_PYODIDE = ("/pyodide/", "/_pyodide/")
_getline = linecache.getline
# Past metaclasses, which are the run's own code.
_namespace = type.__dict__["__dict__"].__get__


class WireFrame(TypedDict):
    file: str
    line: int
    column: int | None
    endLine: int | None
    endColumn: int | None
    function: str
    source: str | None


class WireError(TypedDict):
    """`WirePythonError` of `src/protocol/messages.ts`."""

    name: str
    value: str
    traceback: list[str]
    frames: list[WireFrame]
    line: int | None
    column: int | None


class Entry(NamedTuple):
    """A frame and the instruction it is at."""

    frame: FrameType
    lasti: int
    line: int


def describe(error: BaseException, filename: str, code: CodeType | None, coroutine: Any) -> WireError:
    """Runs the run's own methods (`__str__`, …), so it may raise anything: then use `describe_briefly`."""
    entries = _clean_chain(error, code, coroutine)
    value = message_of(error)
    if isinstance(error, SyntaxError) and error.filename == filename and error.text is None and error.lineno:
        # The compiler's later passes don't look for the line: it is in no file.
        error.text = _getline(filename, error.lineno) or None
    frames = [_frame(entry) for entry in _edges(entries)]
    line, column = _place(error, frames, filename)
    return {
        "name": error_name(type(error)),
        "value": value,
        "traceback": _lines(error),
        "frames": frames,
        "line": line,
        "column": column,
    }


def describe_briefly(error: BaseException, value: str = "") -> WireError:
    """For an error that resists description, with none of its own code run."""
    name = error_name(type(error))
    last = f"{name}: {value}" if value else name
    return {"name": name, "value": value, "traceback": [last], "frames": [], "line": None, "column": None}


def error_name(kind: type) -> str:
    """Qualified if it would pass for a builtin's: the host takes a `MemoryError` for one."""
    name = type_name(kind)
    module = _namespace(kind).get("__module__", "builtins")
    if module == "builtins" or name not in __builtins__:
        return name
    return f"{module if type(module) is str else '?'}.{name}"


def message_of(error: BaseException) -> str:
    try:
        return _cut(str(error))
    except Exception as failure:
        return f"<str() raised {type_name(type(failure))}>"


def _cut(text: str) -> str:
    if len(text) <= MESSAGE_LIMIT:
        return text
    return f"{text[:MESSAGE_LIMIT]}… (cut at {MESSAGE_LIMIT} characters)"


def _lines(error: BaseException) -> list[str]:
    formatted = TracebackException(type(error), error, error.__traceback__, compact=True)
    if not formatted.stack:
        # 3.11 prints a header over no frames.
        formatted.stack = None  # type: ignore[assignment]
    lines: list[str] = []
    for text in formatted.format():
        # At line feeds only: a message may hold what else `splitlines` takes for a line's end.
        lines += _cut(text).removesuffix("\n").split("\n")
        if len(lines) > _MAX_LINES:
            return [*lines[:_MAX_LINES], "… (cut)"]
    return lines


def _clean_chain(error: BaseException, code: CodeType | None, coroutine: Any) -> list[Entry]:
    """Takes hidden frames out of every exception that will be printed; returns the frames of `error`."""
    entries = _visible(error.__traceback__, code)
    if coroutine is not None and not any(entry.frame.f_code is code for entry in entries):
        # Raised by the event loop while the top level waited: show where it waits.
        entries = list(_waiting(coroutine))
    seen: set[int] = set()
    todo: list[BaseException] = [error]
    while todo:
        current = todo.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        cleaned = entries if current is error else _visible(current.__traceback__, code)
        BaseException.with_traceback(current, _relink(cleaned))
        if len(seen) >= _MAX_CHAIN:
            current.__cause__ = current.__context__ = None
        if isinstance(current, BaseExceptionGroup):
            todo.extend(current.exceptions)
        todo.extend(linked for linked in (current.__cause__, current.__context__) if linked is not None)
    return entries


def _visible(trace: TracebackType | None, code: CodeType | None) -> list[Entry]:
    entries: list[Entry] = []
    started = False
    while trace is not None:
        frame = trace.tb_frame
        current = frame.f_code
        if current is code and not started:
            # What is above the run's first frame is the harness, or the event loop it is run by.
            started = True
            entries.clear()
        if not _hidden(current.co_filename):
            entries.append(Entry(frame, trace.tb_lasti, trace.tb_lineno))
        trace = trace.tb_next
    if len(entries) > 2 * _EDGE_TRACEBACK:
        return entries[:_EDGE_TRACEBACK] + entries[-_EDGE_TRACEBACK:]
    return entries


def _hidden(filename: str) -> bool:
    return filename.startswith(_HIDDEN) or (
        any(part in filename for part in _PYODIDE) and filename.startswith(("/lib/python", "<frozen"))
    )


def _waiting(coroutine: Any) -> Iterator[Entry]:
    for _ in range(2 * EDGE_FRAMES):
        frame = getattr(coroutine, "cr_frame", None)
        if frame is None:
            return
        if not _hidden(frame.f_code.co_filename):
            yield Entry(frame, frame.f_lasti, frame.f_lineno)
        coroutine = coroutine.cr_await


def _relink(entries: list[Entry]) -> TracebackType | None:
    trace: TracebackType | None = None
    for entry in reversed(entries):
        trace = TracebackType(trace, entry.frame, entry.lasti, entry.line)
    return trace


def _edges(entries: list[Entry]) -> list[Entry]:
    if len(entries) <= 2 * EDGE_FRAMES:
        return entries
    return entries[:EDGE_FRAMES] + entries[-EDGE_FRAMES:]


def _frame(entry: Entry) -> WireFrame:
    code = entry.frame.f_code
    line = entry.line or 1
    source = _getline(code.co_filename, line, entry.frame.f_globals)
    end_line, start, end = _position(code, entry.lasti)
    last = source if end_line in (None, line) else _getline(code.co_filename, end_line or line)
    return {
        "file": code.co_filename,
        "line": line,
        "column": _column(source, start),
        "endLine": end_line,
        "endColumn": _column(last, end),
        "function": code.co_name,
        "source": _cut(source.rstrip("\r\n")) if source else None,
    }


def _position(code: CodeType, lasti: int) -> tuple[int | None, int | None, int | None]:
    """End line, and start and end column in bytes, of an instruction."""
    if lasti < 0:
        return None, None, None
    for index, (_, end_line, start, end) in enumerate(code.co_positions()):
        if index == lasti // 2:
            return end_line, start, end
    return None, None, None


def _column(source: str, offset: int | None) -> int | None:
    if offset is None:
        return None
    return (
        len(source.encode("utf-8", "surrogatepass")[:offset].decode("utf-8", "replace")) + 1
        if source
        else None
    )


def _place(error: BaseException, frames: list[WireFrame], filename: str) -> tuple[int | None, int | None]:
    """Of the innermost frame in the run's own file, so that an editor can point at it."""
    if isinstance(error, SyntaxError) and (not frames or error.filename == filename):
        return _number(error.lineno), _number(error.offset)
    for frame in reversed(frames):
        if frame["file"] == filename:
            return frame["line"], frame["column"]
    return (frames[-1]["line"], frames[-1]["column"]) if frames else (None, None)


def _number(value: object) -> int | None:
    return value if type(value) is int and 0 < value < 1 << 31 else None
