"""Base class of results that answer ``len``, iteration and ``[...]`` as the frame that they show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd


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
