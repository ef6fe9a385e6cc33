"""What micropip raised, as the reasons of `InstallReason` (src/errors/errors.ts) and as sentences."""

import difflib
import json
import zipfile
from collections.abc import Iterator
from typing import Any

from ._micropip import ConflictError, Demand, Layer, Stopped, usable_files
from ._pristine import pristine as __builtins__  # noqa: F401

Failure = dict[str, Any]


def check(requirements: list[str]) -> Failure | None:
    """The first that is no requirement."""
    from micropip._vendored.packaging.src.packaging.requirements import InvalidRequirement, Requirement

    for text in requirements:
        if text.startswith(("https://", "http://")) and text.partition("#")[0].endswith(".whl"):
            continue
        try:
            url = Requirement(text).url
        except InvalidRequirement as error:
            message = f"{text!r} is no requirement."
            return _failure("bad_requirement", "", message, "Write it like 'numpy' or 'numpy>=2'.", error)
        if url is not None and not url.startswith(("https://", "http://")):
            return _failure("bad_requirement", "", f"{text!r} is at no web address.")
    return None


def explain(error: BaseException, layer: Layer, demands: dict[str, list[Demand]]) -> Failure:
    """Raises `error` when it is none of micropip's, nor the host's."""
    from micropip._vendored.packaging.src.packaging.requirements import InvalidRequirement
    from micropip.metadata import UnsupportedWheel

    text = str(error)
    req, parent = layer.failed or (None, "")
    name = "" if req is None else str(req.name)
    which = name or "A wheel"
    if isinstance(error, Stopped):
        failure = error.failure
        reason = failure.reason or "network"
        return _failure(reason, failure.package or name, text, failure.suggestion, failure)
    if isinstance(error, ConflictError):
        return _conflict(error.name, layer, demands[error.name], error)
    if text.startswith("Can't fetch metadata"):
        return _not_found(req, parent, layer, error)
    if text.startswith("Can't find a pure Python 3 wheel"):
        return _no_wheel(req, parent, layer, demands.get(name, []), error)
    if isinstance(error, RuntimeError) and "Invalid checksum" in text:
        return _failure("hash_mismatch", name, f"{which} is not what its index says it is.", "", error)
    if isinstance(error, zipfile.BadZipFile | UnsupportedWheel):
        return _failure("unsafe_wheel", name, f"{which} is damaged: {text}.", "", error)
    if isinstance(error, InvalidRequirement):
        return _failure("unsafe_wheel", name, f"{which} needs what is no requirement: {text}.", "", error)
    if isinstance(error, KeyError) and "Unknown extra" in text:
        return _failure(
            "bad_requirement", name, f"{name} has no such extra: {text}.", f"Ask for {name}.", error
        )
    if text.startswith("Error trying to decode"):
        return _failure("network", name, f"The index's page of {name} can't be read.", "", error)
    if isinstance(error, ValueError) and text.startswith("Wheel "):
        return _failure("no_wheel", name, f"{which} is for another interpreter: {text}", "", error)
    raise error


def _conflict(name: str, layer: Layer, demands: list[Demand], error: BaseException) -> Failure:
    entry = layer.lockfile_packages.get(name)
    picky = [each for each in demands if each[0]]
    wishes = [
        f"{by} needs {name}{spec}" if by else f"{name}{spec} is asked for" for spec, by in picky or demands
    ]
    if len(wishes) == 1 and entry is not None:
        return _only_distribution(wishes[0], name, entry["version"], error)
    message = f"No version of {name} that can be had fits all that need it: {', '.join(wishes)}."
    return _failure("conflict", name, message, _offer(name, layer, error), error)


def _only_distribution(wish: str, name: str, version: str, error: BaseException) -> Failure:
    message = f"{wish}, but Pyodide's distribution has {name} {version}, and nothing that fits has a wheel."
    suggestion = f"Another version of what needs it may work with {name} {version}."
    return _failure("conflict", name, message, suggestion, error)


def _not_found(req: Any, parent: str, layer: Layer, error: BaseException) -> Failure:
    name = req.name
    entry = layer.lockfile_packages.get(name)
    if entry is not None:
        # Of another version, and no index has it.
        return _no_wheel(req, parent, layer, [], error)
    message = f"There is no package {name}{_needed(parent)}."
    if not layer.index_urls and layer.index_urls is not None:
        message = (
            f"Pyodide's distribution has no package {name}{_needed(parent)}, and there is no index to ask."
        )
    return _failure("not_found", name, message, _did_you_mean(name, layer), error)


def _did_you_mean(name: str, layer: Layer) -> str:
    for package, entry in layer.lockfile_packages.items():
        if any(module.lower().replace("_", "-") == name for module in entry["imports"]):
            return f"Did you mean {package}?"
    near = difflib.get_close_matches(name, layer.lockfile_packages, 1, 0.7)
    return f"Did you mean {near[0]}?" if near else ""


def _no_wheel(req: Any, parent: str, layer: Layer, demands: list[Demand], error: BaseException) -> Failure:
    name = req.name
    if demands:
        return _conflict(name, layer, demands, error)
    entry = layer.lockfile_packages.get(name)
    wish = f"{name}{req.specifier}"
    if parent and entry is not None:
        return _only_distribution(f"{parent} needs {wish}", name, entry["version"], error)
    versions, _ = _versions(name, layer)
    suggestion = _offer(name, layer, error)
    if not any(req.specifier.filter(versions)):
        message = f"There is no version of {name} that fits {wish}{_needed(parent)}."
        return _failure("not_found", name, message, suggestion, error)
    message = f"{wish}{_needed(parent)} has no wheel that this interpreter can load."
    return _failure("no_wheel", name, message, suggestion, error)


def _offer(name: str, layer: Layer, error: BaseException) -> str:
    """The nearest version that can be had."""
    entry = layer.lockfile_packages.get(name)
    if entry is not None:
        return f"Pyodide's distribution has {name} {entry['version']}."
    _, usable = _versions(name, layer)
    fitting = [version for version in usable if layer.pre or not version.is_prerelease]
    return f"{name} {max(fitting)} has a wheel that would work." if fitting else ""


def _needed(parent: str) -> str:
    return f", which {parent} needs" if parent else ""


def _versions(name: str, layer: Layer) -> tuple[set[Any], set[Any]]:
    """What the index's page lists, and of it what has a wheel for this interpreter."""
    from micropip._utils import is_package_compatible
    from micropip._vendored.packaging.src.packaging.utils import parse_sdist_filename, parse_wheel_filename

    versions = set()
    usable = set()
    for filename in _filenames(name, layer):
        parse: Any = parse_wheel_filename if filename.endswith(".whl") else parse_sdist_filename
        try:
            version = parse(filename)[1]
        except ValueError:
            continue
        versions.add(version)
        if is_package_compatible(filename)[0]:
            usable.add(version)
    return versions, usable


def _filenames(name: str, layer: Layer) -> Iterator[str]:
    from micropip._vendored.mousebender.simple import from_project_details_html

    for url, (headers, data) in layer.pages.items():
        if data is None or url.rstrip("/").rpartition("/")[2] != name:
            continue
        kind = headers.get("content-type", "")
        if "html" in kind:
            page: Any = from_project_details_html(data.decode(), name)
        elif "simple" in kind:
            page = json.loads(usable_files(data.decode(), url))
        else:
            continue
        yield from (file["filename"] for file in page["files"])


def _failure(
    reason: str, package: str, message: str, suggestion: str = "", error: BaseException | None = None
) -> Failure:
    return {
        "ok": False,
        "reason": reason,
        "package": package,
        "message": message,
        "suggestion": suggestion,
        "detail": "" if error is None else str(error),
    }
