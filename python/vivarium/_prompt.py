"""What a prompt asks while somebody types: whether a source is whole, and what it may go on with."""

import ast
import codeop
import re
import rlcompleter
import warnings
from types import CodeType
from typing import Any

from ._pristine import pristine as __builtins__  # noqa: F401

_COMPILE_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_AST_FLAGS = _COMPILE_FLAGS | ast.PyCF_ONLY_AST
# Beyond it nobody reads them.
_MAX_MATCHES = 1000

_word = re.compile(r"[\w.]*$").search
_import = re.compile(r"\s*(?:import|from)\s").match


def compile_interactively(source: str, filename: str) -> CodeType:
    """Code that hands the value of each statement that is an expression to `sys.displayhook`."""
    tree = compile(source, filename, "exec", _AST_FLAGS, dont_inherit=True)
    code: CodeType = compile(
        ast.Interactive(tree.body), filename, "single", _COMPILE_FLAGS, dont_inherit=True
    )
    return code


def check(source: str) -> str:
    """`complete`, `incomplete`, or `invalid`: what follows can't mend it.

    A block is whole when an empty line follows it.
    """
    compiler = codeop.CommandCompiler()
    compiler.compiler.flags |= _COMPILE_FLAGS
    try:
        with warnings.catch_warnings(action="ignore"):
            if compiler(source, "<input>", "exec") is None:
                return "incomplete"
            tree = compile(source, "<input>", "exec", _AST_FLAGS, dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
        return "invalid"
    ends_in_block = bool(tree.body) and not {"body", "cases"}.isdisjoint(tree.body[-1]._fields)
    return "incomplete" if ends_in_block and not source.endswith("\n") else "complete"


def complete(source: str, namespace: dict[str, Any]) -> dict[str, Any]:
    """What the last word of the source may be: `{word, matches}`. Properties of objects may run code."""
    line = source.rpartition("\n")[2]
    found = _word(line)
    word = found[0] if found else ""
    with warnings.catch_warnings(action="ignore"):
        modules = _modules(line) if _import(line) else None
        matches = _names(word, namespace) if modules is None else modules
    matches = [match for match in matches if match.startswith(word)]
    return {"word": word, "matches": sorted(dict.fromkeys(matches))[:_MAX_MATCHES]}


def _names(word: str, namespace: dict[str, Any]) -> list[str]:
    if not word:
        return []
    completer = rlcompleter.Completer(namespace)
    found = completer.attr_matches(word) if "." in word else completer.global_matches(word)
    return [str(match) for match in found]


def _modules(line: str) -> list[str] | None:
    """Of a line that imports; None when it's past that, or when this Python can't tell."""
    try:
        from _pyrepl._module_completer import ModuleCompleter
    except ImportError:
        return None
    found = ModuleCompleter().get_completions(line)
    return None if found is None else [str(match) for match in found]
