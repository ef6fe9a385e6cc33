"""Stands in for micropip: installing is the host's doing, as its policy allows."""

from __future__ import annotations

import json as _json
from importlib import metadata as _metadata
from typing import NamedTuple as _NamedTuple
from typing import NoReturn as _NoReturn

from vivarium._install import InstallError
from vivarium._install import install as _install

__all__ = ["InstallError", "freeze", "install", "list", "uninstall"]


class PackageMetadata(_NamedTuple):
    name: str
    version: str
    source: str


async def install(
    requirements: str | list[str],
    keep_going: bool = False,
    deps: bool = True,
    credentials: str | None = None,
    pre: bool = False,
    index_urls: list[str] | str | None = None,
    *,
    constraints: list[str] | None = None,
    reinstall: bool = False,
    verbose: bool | int | None = None,
) -> None:
    """Installs packages for the rest of the run. InstallError says why that can't be."""
    if index_urls is not None or credentials is not None:
        raise ValueError(
            "index_urls and credentials can't be given: the host decides where packages are from"
        )
    if not deps:
        raise ValueError("deps=False can't be had: packages come with what they need")
    if pre:
        raise ValueError("pre=True can't be had: name the pre-release, as in 'package==1.0rc1'")
    if constraints:
        raise ValueError("constraints can't be had: put the versions into the requirements")
    if reinstall:
        raise ValueError("reinstall=True can't be had: what is installed stays as it is until the run ends")
    wanted = [requirements] if isinstance(requirements, str) else [*requirements]
    for each in wanted:
        if "://" in each or each.partition(":")[0] in ("emfs", "file") or each.endswith(".whl"):
            raise ValueError(f"{each!r}: packages can be installed by their name only, not by an address")
    _install(wanted)


def list() -> dict[str, PackageMetadata]:
    """What is installed, by name."""
    found = {}
    for each in _metadata.distributions():
        found.setdefault(each.name, PackageMetadata(each.name, each.version, "vivarium"))
    return found


def freeze() -> str:
    """What is installed, as JSON in the shape of `pyodide-lock.json`, without files and hashes."""
    packages = {name: {"name": name, "version": each.version} for name, each in sorted(list().items())}
    return _json.dumps({"info": {}, "packages": packages})


def uninstall(packages: str | list[str], *, verbose: bool | int | None = None) -> _NoReturn:
    raise RuntimeError("nothing can be uninstalled here: what a run installs is gone when it ends")


def __getattr__(name: str) -> _NoReturn:
    raise AttributeError(f"micropip.{name} isn't supported here: there are install, list and freeze")
