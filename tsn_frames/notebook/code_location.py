"""A line of the user's code: its file or cell, its number and its text."""

from __future__ import annotations

import linecache
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from .ipython_shell import running_shell

_PACKAGE = str(Path(__file__).parents[1])
_INSTALLED = {"site-packages", "dist-packages"}
_PASSED_THROUGH = {"pandas", "IPython", "ipykernel"}  # between a user's line and this package, or above it
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

    def as_typed(self, cell: Sequence[str]) -> CodeLocation | None:
        """Return the line of the cell, as it was typed, that a magic such as ``%%time`` has run in this place."""
        if self.filename.startswith("<timed"):
            timed = [n for n, text in enumerate(cell, 1) if "%time" in text]
            line = self.line + 1 if cell and cell[0].startswith("%%") else timed[0] if len(timed) == 1 else len(cell) + 1
            return CodeLocation(self.filename, line) if line <= len(cell) else None
        return self if self.code.startswith("get_ipython().run_") and self.line <= len(cell) else None

    def __str__(self) -> str:
        return f"{self.cell or Path(self.filename).name}, line {self.line}"


def is_ours(filename: str) -> bool:
    """Return whether a file belongs to this package."""
    return filename.startswith(_PACKAGE)


def is_users(filename: str) -> bool:
    """Return whether a file may hold the user's line: not this package, not Python's library, not pandas or IPython."""
    parts = Path(filename).parts
    if _INSTALLED.intersection(parts):
        return not (is_ours(filename) or _PASSED_THROUGH.intersection(parts))
    return not (is_ours(filename) or filename.startswith((_STDLIB, "<frozen")))


def running_cell() -> str | None:
    """Return the file that stands for the cell that runs: the outermost cell of the stack."""
    frame: FrameType | None = sys._getframe(1)
    found = None
    while frame is not None:
        if CodeLocation(frame.f_code.co_filename, 0).cell:
            found = frame.f_code.co_filename
        frame = frame.f_back
    return found


def typed_cell() -> list[str]:
    """Return the lines of the newest cell as they were typed, magics included."""
    history = getattr(running_shell(), "history_manager", None)
    return history.input_hist_raw[-1].splitlines() if history is not None and history.input_hist_raw else []
