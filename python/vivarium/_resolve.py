"""Requirements → exactly which wheels, by micropip. Runs in a kernel whose image holds micropip.

micropip asks the host for the pages of an index and for its wheels. What Pyodide's distribution has is known
from its lock, and not downloaded. Nothing is unpacked but the metadata of wheels.
"""

import ast
import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from . import _install
from ._magics import compile_without_magics
from ._micropip import Ask, ConflictError, Demand, Layer, Page, Stopped, canonical, load_micropip, only
from ._pristine import pristine as __builtins__  # noqa: F401
from ._resolve_failure import check, explain

# Modules that every kernel has, though no package of that name is installed.
_PROVIDED = frozenset(("js", "micropip", "pyodide", "pyodide_js", "_pyodide", "vivarium"))


async def resolve(request: dict[str, Any], ask: Ask = _install.ask) -> dict[str, Any]:
    """`{"ok": True, "lockfile", "index"}`, or `{"ok": False, …}` with why not. Only bugs are raised.

    `lockfile` is what micropip freezes, with the chosen packages only; `index` has those of an index by name.
    `request`: requirements, lockfile, lockfileBaseUrl, indexUrls (null for the usual one), pre.
    """
    micropip = load_micropip()
    refused = check(request["requirements"])
    if refused is not None:
        return refused
    scratch = Path(tempfile.mkdtemp())
    pages: dict[str, Page] = {}
    # micropip never goes back on a choice. So it is told all that is wanted of a package, and begins anew.
    demands: dict[str, list[Demand]] = {}
    try:
        with only(scratch, micropip):
            while True:
                layer = Layer(request, scratch, ask, pages)
                try:
                    return await _attempt(micropip, request, layer, demands)
                except ConflictError as error:
                    known = demands.get(error.name, [])
                    demands[error.name] = [*known, *(d for d in layer.wanted[error.name] if d not in known)]
                    if len(_versions(demands[error.name])) == len(_versions(known)):
                        return explain(error, layer, demands)
                except (Exception, Stopped) as error:
                    return explain(error, layer, demands)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


async def _attempt(
    micropip: ModuleType, request: dict[str, Any], layer: Layer, demands: dict[str, list[Demand]]
) -> dict[str, Any]:
    others = asyncio.all_tasks()
    constraints = [name + ",".join(sorted(_versions(each))) for name, each in demands.items()]
    manager = micropip.PackageManager(layer)
    try:
        await manager.install(
            request["requirements"], pre=request["pre"], index_urls=layer.index_urls, constraints=constraints
        )
    finally:
        # Under way when another part failed.
        left = asyncio.all_tasks() - others
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
    # `freeze` lists all of the distribution otherwise.
    packages = layer.lockfile_packages
    layer.lockfile_packages = {name: packages[name] for name in layer.chosen}
    lockfile = json.loads(manager.freeze())
    chosen = lockfile["packages"]
    for entry in chosen.values():
        entry["depends"] = sorted({canonical(name) for name in entry["depends"]} & chosen.keys())
    return {"ok": True, "lockfile": lockfile, "index": dict(sorted(layer.index.items()))}


def _versions(demands: list[Demand]) -> set[str]:
    return {specifier for specifier, _ in demands if specifier and not specifier.startswith(" @")}


def imports_of(source: str) -> list[str]:
    """Top-level modules that a script imports and that no kernel has by itself, in order of their lines."""
    found: dict[str, None] = {}
    for node in ast.walk(_parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        else:
            continue
        found.update(dict.fromkeys(name.partition(".")[0] for name in names))
    return [name for name in found if name not in sys.stdlib_module_names and name not in _PROVIDED]


def _parse(source: str) -> ast.Module:
    def parse(text: str, filename: str) -> ast.Module:
        return ast.parse(text, filename)

    refused: SyntaxError
    try:
        return parse(source, "<script>")
    except SyntaxError as error:
        refused = error
    return compile_without_magics(source, "<script>", refused, parse)[0]
