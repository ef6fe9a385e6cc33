"""T07: asks for everything that says something of the host: environment, arguments, names, paths."""

import ctypes
import getpass
import os
import platform
import socket
import sys
import sysconfig
from pathlib import Path

from attempts import attempt, canaries

libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p

attempt("os.environ", lambda: dict(os.environ))
attempt("the variable", lambda: os.environ.get(canaries.variable))
attempt("getenv of libc", lambda: libc.getenv(canaries.variable.encode()))
attempt("sys", lambda: [sys.executable, sys.prefix, sys.path, sys.flags, sys.orig_argv])
attempt("sysconfig", sysconfig.get_paths)
attempt("os.uname", os.uname)
attempt("platform", platform.node)
attempt("hostname", socket.gethostname)
attempt("user", getpass.getuser)
attempt("home", lambda: os.path.expanduser("~"))
attempt("parent", os.getppid)
attempt("/proc/self/environ", Path("/proc/self/environ").read_text)
attempt("/proc/self/cmdline", Path("/proc/self/cmdline").read_text)
