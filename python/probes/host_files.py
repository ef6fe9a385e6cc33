"""T16: tries to read, list, link, mount and write files of the host."""

import ctypes
import glob
import importlib
import os
import shutil
from pathlib import Path

from attempts import attempt, canaries

secret = Path(canaries.secret)
create = Path(canaries.create)
libc = ctypes.CDLL(None)


def read(path: str) -> None:
    attempt(f"read {path}", lambda: Path(path).read_bytes()[:2000])


def mount(kind: str) -> object:
    files = importlib.import_module("pyodide_js").FS
    files.mount(getattr(files.filesystems, kind), {"root": "/"}, "/mnt")
    return os.listdir("/mnt")


def by_link() -> object:
    os.symlink(secret, "link")
    return Path("link").read_text()


def by_libc() -> object:
    descriptor = libc.open(str(secret).encode(), os.O_RDONLY)
    return os.read(descriptor, 1000)


def descriptors() -> object:
    found = {}
    for number in range(3, 64):
        try:
            found[number] = os.read(number, 64)
        except OSError:
            continue
    return found or None


for each in (
    str(secret),
    f"/proc/self/root{secret}",
    f"/../../../..{secret}",
    "/proc/self/maps",
    "/proc/self/mem",
    "/proc/1/environ",
    f"/proc/{os.getppid()}/environ",
    "/etc/passwd",
    "/etc/shadow",
    "/dev/mem",
    "/sys/kernel/notes",
):
    read(each)
attempt("a link", by_link)
attempt("open of libc", by_libc)
attempt("the folder", lambda: os.listdir(canaries.folder))
attempt("a pattern", lambda: glob.glob(f"{canaries.folder}/*"))
attempt(
    "the root's devices",
    lambda: [each for each in os.listdir("/dev") if each in ("sda", "mem", "kmsg")] or None,
)
attempt("a mount of NODEFS", lambda: mount("NODEFS"))
attempt("a mount of PROXYFS", lambda: mount("PROXYFS"))
attempt("a mount of IDBFS", lambda: mount("IDBFS"))
attempt("write", lambda: create.parent.mkdir(parents=True, exist_ok=True) or create.write_text("x"))
attempt("remove", lambda: shutil.rmtree(canaries.folder))
attempt("hard link", lambda: os.link(secret, create))
attempt("chroot", lambda: os.chroot(canaries.folder))
attempt("mknod", lambda: os.mknod(create, 0o600))
