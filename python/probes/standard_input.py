"""T31: reads standard input by every way, which may hold nothing but what the run was given."""

import os
import sys
from pathlib import Path

from attempts import attempt

attempt("input", input)
attempt("sys.stdin", lambda: sys.stdin.read() or None)
attempt("descriptor 0", lambda: os.read(0, 1 << 16) or None)
attempt("/dev/stdin", lambda: Path("/dev/stdin").read_bytes() or None)
attempt("/dev/fd/0", lambda: Path("/dev/fd/0").read_bytes() or None)
attempt("/proc/self/fd/0", lambda: Path("/proc/self/fd/0").read_bytes() or None)
