"""Frames to and from the kernel: u32 body length, u32 JSON length, JSON, binary parts; little-endian."""

import json
import os
from collections.abc import Sequence
from json.encoder import c_make_encoder, encode_basestring_ascii  # type: ignore[attr-defined]
from typing import Any

from ._guard import guard
from ._pristine import pristine as __builtins__  # noqa: F401

Bytes = bytes | bytearray | memoryview

_read = os.read
_write = os.write
_quote = encode_basestring_ascii
# The C halves of `json`, which depend on nothing that a run can patch.
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_make_encoder: Any = c_make_encoder


def to_json(value: object) -> str:
    """ASCII JSON text; ValueError or TypeError when it can't be had."""
    # Everything is escaped, since lone surrogates must survive. NaN isn't JSON.
    encode = _make_encoder({}, _refuse, _quote, None, ":", ",", False, False, False)
    return "".join(encode(value, 0))


def _refuse(value: object) -> object:
    raise TypeError("not JSON")


def quote(text: str) -> str:
    return _quote(text)


class Channel:
    """Both directions of the channel, on file descriptors of the kernel."""

    __slots__ = ("_in", "_out")

    def __init__(self, fd_in: int, fd_out: int) -> None:
        self._in = fd_in
        self._out = fd_out

    def receive(self) -> tuple[dict[str, Any], list[bytes]]:
        """Reads one frame. EOFError when the kernel has none."""
        header, parts = self.receive_views()
        return header, [bytes(part) for part in parts]

    def receive_views(self) -> tuple[dict[str, Any], list[memoryview]]:
        """The same without a copy of its parts."""
        size = int.from_bytes(self._read_exactly(4), "little")
        body = self._read_exactly(size)
        at = 4 + int.from_bytes(body[:4], "little")
        header, _ = _scan(body[4:at].decode(), 0)
        view = memoryview(body)
        parts: list[memoryview] = []
        for length in header["parts"]:
            parts.append(view[at : at + length])
            at += length
        return header, parts

    def send(self, fields: str, parts: Sequence[Bytes] = ()) -> None:
        """Writes one frame. `fields` are the members of the JSON object as text, without `parts`."""
        lengths = ",".join([str(len(part)) for part in parts])
        header = ("{" + fields + ',"parts":[' + lengths + "]}").encode("ascii")
        size = 4 + len(header) + sum([len(part) for part in parts])
        if size >= 1 << 32:
            raise OverflowError("frame too large")
        prefix = size.to_bytes(4, "little") + len(header).to_bytes(4, "little")
        guard.shielded(self._write_all, [prefix + header, *parts])

    def _write_all(self, chunks: Sequence[Bytes]) -> None:
        for chunk in chunks:
            done = _write(self._out, chunk)
            while done < len(chunk):
                with memoryview(chunk) as view:
                    done += _write(self._out, view[done:])

    def _read_exactly(self, size: int) -> bytes:
        data = _read(self._in, size) if size else b""
        if len(data) == size:
            return data
        chunks = [data]
        left = size - len(data)
        while left > 0:
            if not chunks[-1]:
                raise EOFError("the channel ended within a frame")
            chunks.append(_read(self._in, left))
            left -= len(chunks[-1])
        return b"".join(chunks)
