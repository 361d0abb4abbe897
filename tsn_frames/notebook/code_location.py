"""A line of the user's code: its file or cell, its number and its text."""

from __future__ import annotations

import linecache
import sysconfig
from pathlib import Path
from typing import NamedTuple

from .host import running_shell

_PACKAGE = str(Path(__file__).parents[1])
_LIBRARIES = ("site-packages", "dist-packages")
_STDLIB = sysconfig.get_path("stdlib")


class CodeLocation(NamedTuple):
    """A line in a file, or in a cell of a notebook."""

    filename: str
    line: int

    @property
    def cell(self) -> str | None:
        """The name of the cell such as ``In[5]``, None for a file."""
        name_of = getattr(getattr(running_shell(), "compile", None), "format_code_name", None)
        found = name_of(self.filename) if name_of is not None else None
        return found[1] if found else None

    @property
    def code(self) -> str:
        """The text of the line."""
        return linecache.getline(self.filename, self.line).strip()

    def __str__(self) -> str:
        return f"{self.cell or Path(self.filename).name}, line {self.line}"


def is_ours(filename: str) -> bool:
    """Return whether a file belongs to this package."""
    return filename.startswith(_PACKAGE)


def is_users(filename: str) -> bool:
    """Return whether a file is the user's own code: neither this package, nor an installed library, nor Python's."""
    parts = Path(filename).parts
    return not (is_ours(filename) or filename.startswith((_STDLIB, "<frozen")) or any(name in parts for name in _LIBRARIES))
