"""Lines for notebooks, in sources that Python itself doesn't understand.

`%pip install` is done before the run's code starts. Only a line that the compiler refused is ever looked at.
"""

import re
from collections.abc import Callable
from typing import TypeVar

from ._pristine import pristine as __builtins__  # noqa: F401

T = TypeVar("T")

_magic = re.compile(r"([ \t\f]*)([%!])(.*)").fullmatch
_pip = re.compile(r"[ \t]*(?:python3?[ \t]+-m[ \t]+)?pip3?[ \t]+install\b(.*)").fullmatch
_matplotlib = re.compile(r"[ \t]*matplotlib\b.*").fullmatch
_IGNORED = frozenset(
    ("-q", "-qq", "--quiet", "-U", "--upgrade", "--user", "--no-cache-dir", "--disable-pip-version-check")
)


def compile_without_magics(
    source: str, filename: str, error: SyntaxError, compile_: Callable[[str, str], T]
) -> tuple[T, list[str]]:
    """The code, and the requirements of its `%pip install` lines. Raises `error` if it isn't about a magic.

    What is taken out leaves an empty line, or a `pass` in a block: lines keep their numbers.
    """
    # As the tokenizer counts lines.
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    requirements: list[str] = []
    while True:
        at = (error.lineno or 0) - 1
        match = _magic(lines[at]) if error.filename == filename and 0 <= at < len(lines) else None
        if match is None:
            raise error
        indent, sigil, text = match.groups()
        last = at
        while text.endswith("\\") and last + 1 < len(lines):
            last += 1
            text = text[:-1] + lines[last]
            lines[last] = ""
        place = (filename, at + 1, len(indent) + 1, lines[at])
        requirements += _perform(sigil, text, place)
        lines[at] = indent and indent + "pass"
        try:
            return compile_("\n".join(lines), filename), requirements
        except SyntaxError as next_error:
            error = next_error


_Place = tuple[str, int, int, str]


def _perform(sigil: str, text: str, place: _Place) -> list[str]:
    pip = _pip(text)
    if pip is not None:
        return _requirements(pip[1], place)
    if sigil == "%":
        if _matplotlib(text):
            return []
        if text.startswith("%"):
            raise _refusal(f"the cell magic %{text.strip()} isn't supported", place)
        raise _refusal(
            f"%{text.strip()} isn't supported: of magics there are %pip install and %matplotlib", place
        )
    raise _refusal("there is no shell: only !pip install is understood", place)


def _requirements(text: str, place: _Place) -> list[str]:
    import shlex

    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        raise _refusal(f"pip install: {error}", place) from None
    words = [word for word in words if word not in _IGNORED]
    for word in words:
        if word.startswith("-"):
            raise _refusal(f"pip install: the option {word} can't be used here", place)
        if "/" in word or word.endswith(".whl"):
            raise _refusal(
                f"pip install: {word} is no package's name, and nothing else can be installed", place
            )
    if not words:
        raise _refusal("pip install: no package is named", place)
    return words


def _refusal(message: str, place: _Place) -> SyntaxError:
    return SyntaxError(message, place)
