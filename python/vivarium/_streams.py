"""sys.stdin, sys.stdout and sys.stderr on the kernel's descriptors, byte-exact and unbuffered."""

import sys
from io import BufferedReader, FileIO, TextIOWrapper

from ._pristine import pristine as __builtins__  # noqa: F401


def install_streams() -> None:
    """Gives the run streams of its own, whatever a former one did to its own."""
    stdin = TextIOWrapper(
        BufferedReader(FileIO(0, "r", closefd=False), 8192), "utf-8", "surrogateescape", newline="\n"
    )
    stdin.mode = "r"  # type: ignore[misc]
    sys.stdin = sys.__stdin__ = stdin  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _writer(1)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _writer(2)  # type: ignore[misc]


def flush_streams() -> None:
    """Flushes what the run left in streams of its own making."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()


def _writer(fd: int) -> TextIOWrapper:
    # On a raw file, so that what is written is out at once and in order with the other stream.
    stream = TextIOWrapper(
        FileIO(fd, "w", closefd=False),
        "utf-8",
        "backslashreplace",
        newline="\n",
        write_through=True,
    )
    stream.mode = "w"  # type: ignore[misc]
    return stream
