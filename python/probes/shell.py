"""T01: tries to start a program of the host, by Python's ways and by those of the C library."""

import ctypes
import os
import pty
import subprocess

from attempts import attempt, canaries

command = f"touch {canaries.create}"
words = ["/bin/sh", "-c", command]
libc = ctypes.CDLL(None)

attempt("os.system", lambda: os.system(command))
attempt("os.popen", lambda: os.popen(command).read())
attempt("subprocess.run", lambda: subprocess.run(words, check=True))
attempt("subprocess in a shell", lambda: subprocess.getoutput(command))
attempt("os.fork", os.fork)
attempt("os.execv", lambda: os.execv(words[0], words))
attempt("os.spawnv", lambda: os.spawnv(os.P_WAIT, words[0], words))
attempt("os.posix_spawn", lambda: os.posix_spawn(words[0], words, {}))
attempt("pty.spawn", lambda: pty.spawn(words))
attempt("system of libc", lambda: libc.system(command.encode()))
attempt("popen of libc", lambda: libc.popen(command.encode(), b"r"))
attempt("execv of libc", lambda: libc.execv(b"/bin/sh", None))
attempt("posix_spawn of libc", lambda: libc.posix_spawn(None, b"/bin/sh", None, None, None, None))
