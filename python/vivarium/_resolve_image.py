"""Imported when the resolver's image is built: micropip is then there at once."""

from ._resolve import load_micropip

load_micropip()
