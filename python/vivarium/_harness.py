"""What the kernel calls: `boot` once, when the image is built, then `execute` for each run.

A run's errors are its result. `execute` itself never raises and always answers with one `result` frame.
"""

import ast
import atexit
import builtins
import gc
import importlib
import linecache
import os
import sys
import time
import warnings
from types import CodeType, ModuleType
from typing import Any

from ._channel import Bytes, Channel, quote, to_json
from ._clock import HostSleep, checking, make_sleep
from ._display import (
    TEXT_LIMIT,
    bundle_fields,
    connect_display,
    display,
    has_rich_display,
    mime_bundle,
    show_picture,
)
from ._entropy import find_generators, forget_names, reseed
from ._figures import begin_figures, install_figures, show_figures
from ._guard import guard
from ._held import Held
from ._install import connect, install
from ._loop import RunLoop, install_loop
from ._magics import compile_without_magics
from ._pristine import pristine as __builtins__  # noqa: F401
from ._prompt import check, compile_interactively, complete
from ._repr import safe_repr
from ._streams import flush_streams, install_streams
from ._traceback import WireError, describe, describe_briefly, message_of
from ._values import Encoded, decode_value, encode_value

# Frozen into the image, so that a run's import of one costs nothing.
WARM_IMPORTS = (
    "abc", "argparse", "array", "ast", "asyncio", "base64", "bisect", "calendar", "cmath", "collections",
    "collections.abc", "concurrent.futures", "contextlib", "contextvars", "copy", "csv", "dataclasses",
    "datetime", "decimal", "difflib", "enum", "fnmatch", "fractions", "functools", "gc", "glob", "hashlib",
    "heapq", "hmac", "html", "inspect", "io", "itertools", "json", "linecache", "logging", "math",
    "numbers", "operator", "os", "os.path", "pathlib", "pickle", "platform", "pprint", "queue", "random",
    "re", "secrets", "shutil", "signal", "statistics", "string", "struct", "tempfile", "textwrap",
    "threading", "time", "timeit", "tokenize", "traceback", "types", "typing", "unicodedata",
    "urllib.parse", "uuid", "warnings", "weakref", "zipfile", "zlib",
)  # fmt: skip

_COMPILE_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_AST_FLAGS = _COMPILE_FLAGS | ast.PyCF_ONLY_AST
_CO_COROUTINE = 0x80
# No identifier, so no name of the run's own; it exists while the last expression is stored and fetched.
_VALUE_NAME = "<value>"

_sources = linecache.cache
_modules = sys.modules
_environ = os.environ
_getcwd = os.getcwd
_importers = sys.path_importer_cache
_invalidate_caches = importlib.invalidate_caches
_run_exit_functions = atexit._run_exitfuncs
_count_exit_functions = atexit._ncallbacks
_collect = gc.collect

_channel = Channel(-1, -1)
_execution_count = 0
# Nothing has run since `settle`: after a restore and after every rewind.
_pristine_state = False
# Kept until the next one: the rewind drops what it holds without a finalizer. Freeing a value that is nested
# deeply would overflow the stack.
_last_run: "_Run | None" = None
# Set by a session's first run.
_held: Held | None = None


def boot(sleep: HostSleep, channel_fd_in: int, channel_fd_out: int) -> None:
    """Prepares the interpreter. `sleep` blocks for so many milliseconds or until an interrupt is waiting."""
    global _channel
    _channel = Channel(channel_fd_in, channel_fd_out)
    connect_display(_channel.send)
    connect(_channel)
    guard.install()
    sleep = checking(sleep)
    time.sleep = make_sleep(sleep)  # type: ignore[assignment]
    builtins.display = display  # type: ignore[attr-defined]
    for name in WARM_IMPORTS:
        try:
            importlib.import_module(name)
        except ImportError:
            # The distribution leaves some of the standard library out.
            continue
    install_loop(sleep)
    install_streams()
    install_figures(show_picture)
    if "" not in sys.path:
        sys.path.insert(0, "")


def rehearse(codes: list[str], times: int) -> None:
    """Runs each of them so many times and forgets it all but what the interpreter learned by it.

    The image then holds specialised byte code and filled caches, to which every rewind goes back.
    """
    global _execution_count
    for code in codes * times:
        run = _Run(_own_header(code, "<rehearsal>"), [])
        _perform_unseen(run)
        run.result()
    _execution_count = 0


def warm_up(code: str, filename: str) -> str | None:
    """Runs a script as `rehearse` does, once; returns the last line of its traceback when it fails."""
    run = _Run(_own_header(code, filename), [])
    _perform_unseen(run)
    return run.failure


def _own_header(code: str, filename: str) -> dict[str, Any]:
    empty = {"argv": [], "baseEnv": {}, "env": {}, "globals": ["d"], "seed": None}
    kind = {"keep": True, "hold": False, "resumed": False, "purpose": "program"}
    return {**empty, **kind, "code": code, "filename": filename, "valueBytes": 1 << 20}


def _perform_unseen(run: "_Run") -> None:
    """There is nobody yet whom displays could be sent to; they are made all the same."""
    connect_display(len)
    try:
        run.perform()
    finally:
        connect_display(_channel.send)


def send(fields: str) -> None:
    _channel.send(fields)


def receive() -> tuple[dict[str, Any], list[bytes]]:
    return _channel.receive()


def settle() -> None:
    """Prepares what every first run would have to, and hides it all from the garbage collector.

    A collection then doesn't touch its pages.
    """
    global _pristine_state
    _renew()
    _pristine_state = True
    # What has been warned of by a warm-up is to be told again.
    with warnings.catch_warnings():
        pass
    gc.collect()
    find_generators()
    gc.freeze()


def _renew() -> None:
    """Undoes what a former run may have done to what the next one is given."""
    install_streams()
    _forget_folders()
    forget_names()


def _forget_folders() -> None:
    _invalidate_caches()
    # A finder of the image has seen this folder as it was then, and files there may bear the same time.
    _importers.pop(_getcwd(), None)


def execute() -> None:
    """Reads one request, runs it, writes `display` frames and exactly one `result` frame."""
    global _last_run
    guard.reset()
    run: _Run | None = None
    try:
        header, parts = _channel.receive_views()
        if "tasks" in header:
            fields, buffers = _settle_tasks(header["tasks"] == "cancel"), []
        elif header["purpose"] in ("check", "complete"):
            fields, buffers = _assist(header)
        else:
            _last_run = run = _Run(header, parts)
            run.perform()
            fields, buffers = run.result()
    except BaseException as error:
        if run is not None:
            # Most likely memory has run out: let go of what the run holds.
            run.namespace.clear()
        fields, buffers = _result(describe_briefly(error, message_of(error))), []
    _channel.send(fields, buffers)


def _settle_tasks(cancel: bool) -> str:
    """Of a session that is to be frozen."""
    cancelled, left = ([], []) if _held is None else _held.settle_tasks(cancel)
    return f'"kind":"result","cancelled":{to_json(cancelled)},"left":{to_json(left)}'


def _assist(header: dict[str, Any]) -> tuple[str, list[Bytes]]:
    """Answers what a prompt asks between the runs of a session."""
    if header["resumed"]:
        forget_names()
        reseed(None)
    answers: list[Encoded] = []

    def answer() -> None:
        source: str = header["code"]
        namespace = {} if _held is None else _held.main.__dict__
        found = check(source) if header["purpose"] == "check" else complete(source, namespace)
        answers.append(encode_value(found, header["valueBytes"]))

    raised = guard.call(answer)
    guard.call(flush_streams)
    if raised is not None:
        return _result(describe_briefly(raised, message_of(raised))), []
    [encoded] = answers
    return _result(None, value="0"), [encoded.json.encode("ascii"), *encoded.parts]


class _Run:
    """One execution. `perform` fills in the outcome step by step; an interrupt in one leaves the others."""

    def __init__(self, header: dict[str, Any], parts: list[memoryview]) -> None:
        global _execution_count
        _execution_count += 1
        self._header = header
        self._parts = parts
        self._filename: str = header["filename"]
        self._keep: bool = header["keep"]
        self._hold: bool = header["hold"]
        self._compile = compile_interactively if header["purpose"] == "prompt" else _compile
        if self._hold and self._filename == "<run>":
            self._filename = f"<cell {_execution_count}>"
        self._loop = _held.loop if self._hold and _held is not None else RunLoop()
        self._code: CodeType | None = None
        self._coroutine: Any = None
        self._value: object = None
        self._text = "null"
        self._encoded: Encoded | None = None
        self._display = "null"
        self._error: WireError | None = None
        self._exit_code: int | None = None
        self._interrupted = False
        self.namespace: dict[str, Any] = {}

    def perform(self) -> None:
        former_env = self._former_env()
        raised = guard.call(self._prepare) or guard.call(self._evaluate)
        if raised is None and self._value is not None:
            raised = guard.call(self._convert)
        if raised is not None:
            self._fail(raised)
        guard.call(self._end)
        if former_env:
            guard.call(_restore_env, former_env)
        if self._keep:
            guard.call(self._clean)
            guard.call(flush_streams)

    def _former_env(self) -> dict[str, str | None]:
        """What is put back when it has ended. A session keeps what it began with or has changed."""
        base, own = self._header["baseEnv"], self._header["env"]
        if self._hold:
            first = base if _held is None else {}
            return {name: first.get(name, _environ.get(name)) for name in own}
        return {name: _environ.get(name) for name in {**base, **own}} if self._keep else {}

    def result(self) -> tuple[str, list[Bytes]]:
        encoded = self._encoded
        fields = _result(
            self._error,
            text=self._text,
            value="null" if encoded is None else "0",
            display=self._display,
            exit_code=self._exit_code,
            truncated=encoded is not None and encoded.truncated,
        )
        if encoded is None:
            return fields, []
        return fields, [encoded.json.encode("ascii"), *encoded.parts]

    @property
    def failure(self) -> str | None:
        """What it raised, in one line."""
        error = self._error
        return None if error is None else f"{error['name']}: {error['value']}"

    def _prepare(self) -> None:
        global _pristine_state, _held
        fresh, _pristine_state = _pristine_state, False
        header = self._header
        code: str = header["code"]
        filename = self._filename
        held = _held if self._hold else None
        if held is not None:
            # What it has made of its surroundings is its own; only files may have come in between.
            _forget_folders()
        elif not fresh:
            _renew()
        if header["resumed"]:
            forget_names()
        if held is None or header["resumed"] or header["seed"] is not None:
            reseed(header["seed"])
        begin_figures(header.get("figures", "png"))
        sys.argv = [filename, *header["argv"]]
        base = header["baseEnv"] if held is None else {}
        for name, value in {**base, **header["env"]}.items():
            _environ[name] = value
        module = ModuleType("__main__") if held is None else held.main
        if self._hold:
            _held = held or Held(module, self._loop)
        _modules["__main__"] = module
        self.namespace = namespace = module.__dict__
        namespace["__file__"] = filename
        namespace["__builtins__"] = builtins
        # Without a time of change the entry is never looked for on disk.
        _sources[filename] = (len(code), None, code.splitlines(keepends=True), filename)
        if header["globals"] is not None:
            namespace.update(decode_value(header["globals"], self._parts))
            self._parts = []

    def _evaluate(self) -> None:
        namespace = self.namespace
        source: str = self._header["code"]
        refused: SyntaxError | None = None
        try:
            code = self._compile(source, self._filename)
        except SyntaxError as error:
            refused = error
        if refused is not None:
            # Not within `except`: what it raises would hang on that error.
            code, requirements = compile_without_magics(source, self._filename, refused, self._compile)
            install(requirements)
        self._code = code
        if code.co_flags & _CO_COROUTINE:
            self._coroutine = eval(code, namespace)
            self._loop.run(self._coroutine, held=self._hold)
        else:
            exec(code, namespace)
        self._value = namespace.pop(_VALUE_NAME, None)

    def _convert(self) -> None:
        value = self._value
        self._text = quote(safe_repr(value, TEXT_LIMIT))
        self._encoded = encode_value(value, self._header["valueBytes"])
        if has_rich_display(value):
            data, metadata = mime_bundle(value, main=True)
            if len(data) > 1:
                self._display = "{" + bundle_fields(data, metadata) + "}"

    def _fail(self, error: BaseException) -> None:
        self._interrupted = issubclass(type(error), KeyboardInterrupt)
        self._text = self._display = "null"
        self._encoded = None
        if issubclass(type(error), SystemExit):
            failed = guard.call(self._exit, error)
            if failed is None:
                if self._exit_code == 0:
                    return
            else:
                self._exit_code = 1
        if guard.call(self._describe, error) is None:
            return
        # Its own code or what the run patched is in the way.
        self._error = describe_briefly(error, "<no description>")
        guard.call(self._describe_briefly, error)

    def _exit(self, error: SystemExit) -> None:
        code = error.code
        if code is None:
            self._exit_code = 0
        elif isinstance(code, int):
            number = int(code)
            # As CPython: what isn't a C int is -1.
            self._exit_code = number if -(1 << 31) <= number < 1 << 31 else -1
        else:
            self._exit_code = 1
            print(code, file=sys.stderr)

    def _describe(self, error: BaseException) -> None:
        self._error = describe(error, self._filename, self._code, self._coroutine)

    def _describe_briefly(self, error: BaseException) -> None:
        self._error = describe_briefly(error, message_of(error))

    def _end(self) -> None:
        """What the end of a script does. Pending tasks are left to the rewind, or a session's next run."""
        if not self._hold:
            self._loop.finish()
        # Before matplotlib closes them, and not when time is up.
        show_figures(draw=not self._interrupted)
        if not self._hold and _count_exit_functions():
            _run_exit_functions()
        flush_streams()

    def _clean(self) -> None:
        """Lets go of everything the run named, while its output still counts as its own."""
        self._loop.close()
        self._value = self._coroutine = self._code = None
        self.namespace.clear()
        _modules["__main__"] = ModuleType("__main__")
        _sources.pop(self._filename, None)
        _collect()


def _restore_env(former: dict[str, str | None]) -> None:
    for name, value in former.items():
        if value is None:
            _environ.pop(name, None)
        else:
            _environ[name] = value


def _compile(source: str, filename: str) -> CodeType:
    """Code that stores the value of its last expression, unless a semicolon follows it."""
    tree = compile(source, filename, "exec", _AST_FLAGS, dont_inherit=True)
    body = tree.body
    if body and type(body[-1]) is ast.Expr and not _ends_in_semicolon(source, body[-1]):
        last = body[-1]
        target = ast.copy_location(ast.Name(_VALUE_NAME, ast.Store()), last)
        body[-1] = ast.copy_location(ast.Assign([target], last.value), last)
    code: CodeType = compile(tree, filename, "exec", _COMPILE_FLAGS, dont_inherit=True)
    return code


def _ends_in_semicolon(source: str, last: ast.Expr) -> bool:
    if ";" not in source:
        return False
    # Lines as the tokenizer counts them; columns are bytes.
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    rest = lines[(last.end_lineno or 1) - 1].encode("utf-8")[last.end_col_offset or 0 :]
    return rest.lstrip(b" \t\f\\").startswith(b";")


def _result(
    error: WireError | None,
    *,
    text: str = "null",
    value: str = "null",
    display: str = "null",
    exit_code: int | None = None,
    truncated: bool = False,
) -> str:
    """The members of a result frame. `text`, `value` and `display` are JSON text."""
    status = "ok" if error is None else "error"
    failure = "null" if error is None else to_json(error)
    cut = "true" if truncated else "false"
    code = "null" if exit_code is None else str(exit_code)
    return (
        f'"kind":"result","status":"{status}","text":{text},"value":{value},"display":{display},"error":{failure},'
        f'"exitCode":{code},"executionCount":{_execution_count},'
        f'"truncated":{{"value":{cut},"results":false}}'
    )
