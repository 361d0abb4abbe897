"""The cache as a pandas frame. pandas is imported only when one is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...api import Completion
from ..storage.frames import TOKEN_COLUMNS, utc_times

if TYPE_CHECKING:
    import pandas as pd


def cache_frame(answers: Sequence[tuple[bytes, float, int, Completion]]) -> pd.DataFrame:
    """Return answers as a frame; see :meth:`Cache.to_frame`."""
    import pandas as pd

    columns: dict[str, object] = {
        "request_key": pd.array([key.hex() for key, *_ in answers], dtype="string"),
        "answered_at": utc_times([when for _, when, _, _ in answers]),
    }
    for name in ("model", "content", "finish_reason"):
        columns[name] = pd.array([getattr(answer, name) for *_, answer in answers], dtype="string")
    for name in TOKEN_COLUMNS:
        columns[name] = pd.array([getattr(answer, name) for *_, answer in answers], dtype="Int64")
    return pd.DataFrame(columns | {"bytes": pd.Series([size for _, _, size, _ in answers], dtype="int64")})
