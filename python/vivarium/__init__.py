"""The Python side of Vivarium."""

from ._display import display

__all__ = ["__version__", "display"]

__version__ = "0.1.0"
