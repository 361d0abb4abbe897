"""Base classes of results that answer ``len``, iteration and ``[...]`` as the frame that they show."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

MOST_ROWS = 40  # of a repr


class FrameLike:
    """A result that stands for the frame which ``to_frame()`` returns."""

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.to_frame())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_frame())

    def __getitem__(self, key: Any) -> Any:
        return self.to_frame()[key]


class NotedTable(FrameLike):
    """A result that stands for its ``table``, and shows it for reading with its ``notes`` below."""

    table: pd.DataFrame
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table

    def _shown_table(self) -> pd.DataFrame:
        """Return the table as texts."""
        raise NotImplementedError

    def _shown_lines(self) -> Sequence[str]:
        """Return the sentences below the table."""
        return self.notes

    def __repr__(self) -> str:
        return "\n".join([self._shown_table().to_string(max_rows=MOST_ROWS), *self._shown_lines()])

    def _repr_html_(self) -> str:
        lines = "<br>".join(map(html.escape, self._shown_lines()))
        return self._shown_table().to_html(border=0, max_rows=MOST_ROWS) + (f"<p>{lines}</p>" if lines else "")
