"""micropip without a browser: what it fetches goes to the host, what it would unpack is only noted."""

import importlib
import io
import json
import site
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import urljoin

from ._install import STUBS, InstallError
from ._pristine import pristine as __builtins__  # noqa: F401

Ask = Callable[[dict[str, Any]], tuple[Any, list[bytes]]]
# Headers and bytes; None where there is nothing.
Page = tuple[dict[str, str], bytes | None]
# A specifier, ` @ ` and an address, or empty; and what it is needed by: see `needed_by`.
Demand = tuple[str, str]

_GONE = (404, 410)

# The package whose dependencies are being looked up, `name version`; empty for what was asked for.
needed_by: ContextVar[str] = ContextVar("needed_by", default="")
# The specifier that is being looked up, as it was before micropip's constraints.
_asked: ContextVar[str] = ContextVar("asked", default="")


class Stopped(BaseException):
    """The host could not fetch. No Exception: micropip would try the next index, a stranger's perhaps."""

    def __init__(self, failure: InstallError) -> None:
        super().__init__(str(failure))
        self.failure = failure


class ConflictError(ValueError):
    """micropip's own error, with what it is about."""

    def __init__(self, name: str, version: str, text: str) -> None:
        super().__init__(text)
        self.name = name
        self.version = version


def load_micropip() -> ModuleType:
    """The real one, not the stand-in. Takes a while: to be called when the image is built."""
    loaded = sys.modules.get("micropip")
    if loaded is not None and hasattr(loaded, "PackageManager"):
        return loaded
    for name in [name for name in sys.modules if name.partition(".")[0] == "micropip"]:
        del sys.modules[name]
    # With this module micropip takes itself to be beside JavaScript.
    core = sys.modules.pop("_pyodide_core", None)
    path = sys.path[:]
    sys.path[:] = [each for each in path if each != STUBS]
    try:
        micropip = importlib.import_module("micropip")
        manager = importlib.import_module("micropip.package_manager")
        manager.Transaction = type("Transaction", (Watch, manager.Transaction), {})  # type: ignore[attr-defined]
        return micropip
    finally:
        sys.path[:] = path
        if core is not None:
            sys.modules["_pyodide_core"] = core


@contextmanager
def only(folder: Path, micropip: ModuleType) -> Iterator[None]:
    """As if nothing were installed but what will be put there."""
    path = sys.path[:]
    hidden = {"", str(Path(str(micropip.__file__)).parent.parent), *site.getsitepackages()}
    sys.path[:] = [str(folder), *(each for each in path if each not in hidden)]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = path
        importlib.invalidate_caches()


class Layer:
    """What micropip is given in place of a browser. One of each attempt."""

    def __init__(self, request: dict[str, Any], scratch: Path, ask: Ask, pages: dict[str, Page]) -> None:
        self.lockfile_info = request["lockfile"]["info"]
        self.lockfile_packages: dict[str, Any] = request["lockfile"]["packages"]
        self.lockfile_base_url: str | None = request["lockfileBaseUrl"]
        self.loadedPackages = SimpleNamespace(to_py=dict)
        # From here on ours: what was loaded and installed, and what was wanted by whom.
        self.chosen: set[str] = set()
        self.index: dict[str, dict[str, str]] = {}
        self.wanted: dict[str, list[Demand]] = {}
        # The requirement that failed first.
        self.failed: tuple[Any, str] | None = None
        self.pages = pages
        self.pre: bool = request["pre"]
        urls: list[str] | None = request["indexUrls"]
        self.index_urls = None if urls is None else [url.rstrip("/") for url in urls]
        self._scratch = scratch
        self._ask = ask

    def to_js(self, value: object, **options: object) -> object:
        return value

    async def loadPackage(self, names: list[str]) -> None:  # noqa: N802
        self.chosen.update(names)

    async def fetch_bytes(self, url: str, kwargs: dict[str, Any]) -> bytes:
        _, data = self._fetch(url, {})
        if data is None:
            # Not an OSError: micropip would blame it on the browser.
            raise Stopped(InstallError(f"{url} doesn't exist.", reason="network"))
        return data

    async def fetch_string_and_headers(self, url: str, kwargs: dict[str, Any]) -> tuple[str, dict[str, str]]:
        headers, data = self._fetch(url, kwargs.get("headers", {}))
        if data is None:
            raise OSError(f"{url} doesn't exist")
        try:
            text = data.decode("utf-8")
            kind = headers.get("content-type", "").partition(";")[0].strip()
            return usable_files(text, url) if kind == "application/vnd.pypi.simple.v1+json" else text, headers
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            failure = InstallError(f"{url} is no page of a package index: {error}.", reason="network")
            raise Stopped(failure) from None

    def _fetch(self, url: str, headers: dict[str, str]) -> Page:
        known = self.pages.get(url)
        if known is None:
            if not url.startswith(("https://", "http://")):
                raise Stopped(InstallError(f"{url} is no web address.", reason="bad_requirement"))
            known = self.pages[url] = self._fetch_anew(url, headers)
        return known

    def _fetch_anew(self, url: str, headers: dict[str, str]) -> Page:
        try:
            body, parts = self._ask({"kind": "fetch", "url": url, "headers": headers})
        except InstallError as error:
            raise Stopped(error) from None
        except RuntimeError as error:
            raise Stopped(InstallError(str(error), reason="network")) from None
        status = body["status"]
        if status in _GONE:
            return {}, None
        if not 200 <= status < 300:
            raise Stopped(InstallError(f"{url} answered with status {status}.", reason="network"))
        return {name.lower(): value for name, value in body["headers"].items()}, parts[0]

    async def install(self, data: bytes, filename: str, target: str, metadata: dict[str, str]) -> None:
        """Puts what `freeze` reads of a wheel where it is looked for."""
        from micropip.metadata import UnsupportedWheel, wheel_dist_info_dir

        with zipfile.ZipFile(io.BytesIO(data)) as wheel:
            files = wheel.namelist()
            info = self._scratch / wheel_dist_info_dir(wheel, filename.partition("-")[0])
            if f"{info.name}/METADATA" not in files:
                raise UnsupportedWheel(f"{filename} has no METADATA")
            info.mkdir(exist_ok=True)
            (info / "METADATA").write_bytes(wheel.read(f"{info.name}/METADATA"))
            declared = ""
            if f"{info.name}/top_level.txt" in files:
                declared = wheel.read(f"{info.name}/top_level.txt").decode("utf-8", "replace")
        imports = [line.strip() for line in declared.splitlines() if line.strip().isidentifier()]
        (info / "top_level.txt").write_text("\n".join(imports or top_levels(files)))
        # Else `freeze` looks for dependencies among the files, where those of the distribution aren't.
        for name, text in {"PYODIDE_REQUIRES": "[]", **metadata}.items():
            (info / name).write_text(text)
        name = info.name.removesuffix(".dist-info").rpartition("-")[0]
        self.index[canonical(name)] = {"url": metadata["PYODIDE_URL"], "fileName": filename}


def top_levels(files: list[str]) -> list[str]:
    """Modules and packages that a wheel puts into site-packages, by its files."""
    found: dict[str, None] = {}
    for file in files:
        parts = file.split("/")
        if parts[0].endswith(".data"):
            if parts[1:2] not in (["purelib"], ["platlib"]):
                continue
            parts = parts[2:]
        if not parts or not parts[-1].endswith((".py", ".so")):
            continue
        name = parts[0] if len(parts) > 1 else parts[0].partition(".")[0]
        if name.isidentifier():
            found[name] = None
    return sorted(found)


def usable_files(text: str, url: str) -> str:
    """A page of an index with absolute addresses, without the files that are for other versions of Python."""
    from micropip._vendored.packaging.src.packaging.specifiers import InvalidSpecifier, SpecifierSet

    version = ".".join(map(str, sys.version_info[:3]))

    def usable(file: dict[str, Any]) -> bool:
        try:
            return SpecifierSet(file.get("requires-python") or "").contains(version, prereleases=True)
        except InvalidSpecifier:
            return True

    page = json.loads(text)
    files = [{**file, "url": urljoin(url, file["url"])} for file in page["files"] if usable(file)]
    return json.dumps({**page, "files": files})


class Watch:
    """Over micropip's Transaction: holds packages of the distribution to what is wanted, too. Takes notes."""

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[misc]
        # With another index, too, for it has no wheels that were built for this interpreter.
        self.search_pyodide_lock_first = True
        self._known: dict[str, Any] = {}
        self._extras: dict[str, set[str]] = {}
        self._late: set[str] = set()
        self._addresses: set[str] = set()

    def _note(self: Any, name: str) -> None:
        demands = self._compat_layer.wanted.setdefault(name, [])
        demand = (_asked.get(), needed_by.get())
        if demand not in demands:
            demands.append(demand)

    async def gather_requirements(self: Any, requirements: list[Any]) -> None:
        # Of a wheel they are a set, in any order; who comes first chooses. An address leaves no choice.
        await super().gather_requirements(sorted(requirements, key=_order))  # type: ignore[misc]
        while self._late:
            wheel = self._known[self._late.pop()]
            await wheel.download(self.fetch_kwargs, self._compat_layer)
            token = needed_by.set(f"{wheel.name} {wheel.version}")
            extras = self._extras[canonical(wheel.name)]
            await super().gather_requirements(sorted(wheel.requires(extras), key=_order))  # type: ignore[misc]
            needed_by.reset(token)

    async def add_requirement(self: Any, req: Any) -> None:
        from micropip._vendored.packaging.src.packaging.requirements import InvalidRequirement, Requirement

        with suppress(InvalidRequirement):
            parsed = Requirement(req) if isinstance(req, str) else req
            _asked.set(f" @ {parsed.url}" if parsed.url else str(parsed.specifier))
        await super().add_requirement(req)  # type: ignore[misc]

    async def add_requirement_from_url(self: Any, req: str, extras: set[str] | None = None) -> None:
        self._addresses.add(req)
        await super().add_requirement_from_url(req, extras)  # type: ignore[misc]

    def check_version_satisfied(self: Any, req: Any, *, allow_reinstall: bool = False) -> tuple[bool, str]:
        self._note(req.name)
        if req.url:
            self._check_address(req.name, req.url)
        try:
            found: tuple[bool, str] = super().check_version_satisfied(req)  # type: ignore[misc]
        except ValueError as error:
            raise ConflictError(req.name, self.locked[req.name].version, str(error)) from None
        if found[0] and req.name in self._known and not req.extras <= self._extras[req.name]:
            # micropip would leave them out.
            self._extras[req.name] |= req.extras
            self._late.add(req.name)
        return found

    async def _add_requirement_from_pyodide_lock(self: Any, req: Any) -> bool:
        from micropip.package import PackageMetadata

        entry = self._compat_layer.lockfile_packages.get(req.name)
        if entry is None or not req.specifier.contains(entry["version"], prereleases=True):
            return False
        chosen = PackageMetadata(req.name, entry["version"], "pyodide")
        # micropip forgets it, and would choose another version beside it.
        self.locked[req.name] = chosen
        self.pyodide_packages.append(chosen)
        token = needed_by.set(f"{req.name} {entry['version']}")
        await self.gather_requirements(entry["depends"])
        needed_by.reset(token)
        return True

    async def _add_requirement_from_package_index(self: Any, req: Any) -> None:
        try:
            await super()._add_requirement_from_package_index(req)  # type: ignore[misc]
        except (Exception, Stopped):
            if self._compat_layer.failed is None:
                self._compat_layer.failed = (req, needed_by.get())
            raise

    async def add_wheel(self: Any, wheel: Any, extras: set[str], *, specifier: str = "") -> None:
        from micropip._vendored.packaging.src.packaging.requirements import Requirement
        from micropip.wheelinfo import _validate_sha256_checksum

        name = canonical(wheel.name)
        layer = self._compat_layer
        if wheel.url in self._addresses:
            self._check_address(name, wheel.url)
        if name in self.locked:
            # Found by another while this one was being looked for; micropip would take both.
            return
        parent = needed_by.get()
        token = needed_by.set(f"{wheel.name} {wheel.version}")
        try:
            # Before it is looked into.
            _validate_sha256_checksum(await layer.fetch_bytes(wheel.url, {}), wheel.sha256)
            self._known[name] = wheel
            self._extras[name] = set(extras)
            await super().add_wheel(wheel, self._extras[name], specifier=specifier)  # type: ignore[misc]
        except (Exception, Stopped):
            layer.failed = layer.failed or (Requirement(f"{name}=={wheel.version}"), parent)
            raise
        finally:
            needed_by.reset(token)

    def _check_address(self: Any, name: str, url: str) -> None:
        if name in self.locked and (name not in self._known or self._known[name].url != url):
            version = self.locked[name].version
            raise ConflictError(name, version, f"{url} was asked for, and {name} {version}")


def canonical(name: str) -> str:
    from micropip._vendored.packaging.src.packaging.utils import canonicalize_name

    return str(canonicalize_name(name))


def _order(requirement: object) -> tuple[bool, str]:
    text = str(requirement)
    return "://" not in text, text
