"""Runs the harness as a kernel does, each test in a forked child of its own: `boot` changes the process."""

import json
import logging
import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from vivarium import _clock, _harness


@dataclass
class Reply:
    result: dict[str, Any]
    displays: list[dict[str, Any]]
    value: Any
    parts: list[bytes]
    asks: list[dict[str, Any]]

    @property
    def error(self) -> dict[str, Any]:
        return self.result["error"]


@dataclass
class Outcome:
    replies: list[Reply]
    stdout: bytes
    stderr: bytes

    @property
    def reply(self) -> Reply:
        return self.replies[-1]


@dataclass
class Request:
    code: str
    options: dict[str, Any] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)

    # Given to the questions that it asks, in order.
    answers: list[dict[str, Any]] = field(default_factory=list)

    def frame(self) -> bytes:
        request = self._request()
        return request + b"".join(frame({"kind": "answer", "parts": [], **each}) for each in self.answers)

    def _request(self) -> bytes:
        header = {
            "code": self.code,
            "filename": "<run>",
            "argv": [],
            "baseEnv": {},
            "env": {},
            "globals": ["d"],
            "seed": None,
            "valueBytes": 1_000_000,
            "keep": False,
            "hold": False,
            "resumed": False,
            "purpose": "program",
            **self.options,
            "parts": [len(part) for part in self.parts],
        }
        return frame(header, self.parts)


def frame(header: dict[str, Any], parts: Sequence[bytes] = ()) -> bytes:
    text = json.dumps(header).encode()
    body = len(text).to_bytes(4, "little") + text + b"".join(parts)
    return len(body).to_bytes(4, "little") + body


def parse_frames(data: bytes) -> list[Reply]:
    replies: list[Reply] = []
    displays: list[dict[str, Any]] = []
    asks: list[dict[str, Any]] = []
    while data:
        size = int.from_bytes(data[:4], "little")
        body, data = data[4 : 4 + size], data[4 + size :]
        at = 4 + int.from_bytes(body[:4], "little")
        header = json.loads(body[4:at].decode("ascii"))
        parts = []
        for length in header["parts"]:
            parts.append(body[at : at + length])
            at += length
        assert at == len(body)
        if header["kind"] == "display":
            displays.append(header)
            continue
        if header["kind"] == "ask":
            asks.append(header["question"])
            continue
        value = None if header.get("value") is None else json.loads(parts[header["value"]])
        replies.append(Reply(header, displays, value, parts, asks))
        displays, asks = [], []
    return replies


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


# The only thing a test may sleep by: an interrupt is always waiting.
def interrupted_sleep(ms: float) -> None:
    interrupt()


def make_sleep() -> Callable[[float], None]:
    """A host's sleep that moves the clock instead of waiting."""
    now = time.monotonic()

    def sleep(ms: float) -> None:
        nonlocal now
        now += ms / 1000

    time.monotonic = lambda: now
    return sleep


def _child(raw: bytes, stdin: bytes, count: int, interrupts: bool, out: list[int]) -> None:
    in_fd, in_name = tempfile.mkstemp()
    os.unlink(in_name)
    os.write(in_fd, stdin)
    os.lseek(in_fd, 0, os.SEEK_SET)
    channel_fd, channel_name = tempfile.mkstemp()
    os.unlink(channel_name)
    os.write(channel_fd, raw)
    os.lseek(channel_fd, 0, os.SEEK_SET)
    for fd, target in ((in_fd, 0), (out[0], 1), (out[1], 2)):
        os.dup2(fd, target)
    sleep = interrupted_sleep if interrupts else make_sleep()
    _clock._monotonic = time.monotonic
    # Those of pytest; a kernel has none, so that what is logged goes to stderr.
    logging.getLogger().handlers.clear()
    _harness.boot(sleep, channel_fd, out[2])
    for _ in range(count):
        _harness.execute()


@pytest.fixture
def run_all() -> Callable[..., Outcome]:
    def run_all(
        *requests: Request, stdin: bytes = b"", interrupts: bool = False, raw: bytes | None = None
    ) -> Outcome:
        files = [tempfile.TemporaryFile() for _ in range(3)]  # noqa: SIM115
        frames = b"".join(request.frame() for request in requests) if raw is None else raw
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                outputs = [file.fileno() for file in files]
                _child(frames, stdin, len(requests) or 1, interrupts, outputs)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        stdout, stderr, channel = [_content(file) for file in files]
        assert status == 0, stderr.decode()
        return Outcome(parse_frames(channel), stdout, stderr)

    return run_all


def _content(file: Any) -> bytes:
    with file:
        file.seek(0)
        return file.read()


@pytest.fixture
def run(run_all: Callable[..., Outcome]) -> Callable[..., Outcome]:
    def run(
        code: str,
        *,
        stdin: bytes = b"",
        interrupts: bool = False,
        parts: list[bytes] | None = None,
        answers: list[dict[str, Any]] | None = None,
        **options: Any,
    ) -> Outcome:
        return run_all(Request(code, options, parts or [], answers or []), stdin=stdin, interrupts=interrupts)

    return run
