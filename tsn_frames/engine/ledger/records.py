"""Frames of the engine's records. The engine knows no pandas: it is imported here, when a frame is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ...api import Completion
from .file import Entry

if TYPE_CHECKING:
    import pandas as pd

_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")


def ledger_frame(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return the ledger as a frame; see :meth:`Ledger.to_frame`."""
    import pandas as pd

    frame = pd.DataFrame(entries, columns=list(Entry._fields))
    frame["time"] = _times(frame["time"])
    frame["cost"] = pd.array([None if cost is None else float(cost) for cost in frame["cost"]], dtype="Float64")
    frame["held"] = pd.array([None if held is None else float(held) for held in frame["held"]], dtype="Float64")
    frame["request_key"] = pd.array([key.hex() for key in frame["request_key"]], dtype="string")
    texts = dict.fromkeys(("run", "host", "model", "outcome", "tag", "currency", "price_source", "language"), "string")
    counts = dict.fromkeys((*_TOKENS, "cached_tokens", "prompt_chars", "completion_chars"), "Int64")
    return frame.astype(counts | texts | {"seconds": "float64"})


def cache_frame(answers: Sequence[tuple[bytes, float, int, Completion]]) -> pd.DataFrame:
    """Return the cache as a frame; see :meth:`Cache.to_frame`."""
    import pandas as pd

    columns: dict[str, object] = {
        "request_key": pd.array([key.hex() for key, *_ in answers], dtype="string"),
        "answered_at": _times([when for _, when, _, _ in answers]),
    }
    for name in ("model", "content", "finish_reason"):
        columns[name] = pd.array([getattr(answer, name) for *_, answer in answers], dtype="string")
    for name in _TOKENS:
        columns[name] = pd.array([getattr(answer, name) for *_, answer in answers], dtype="Int64")
    return pd.DataFrame(columns | {"bytes": pd.Series([size for _, _, size, _ in answers], dtype="int64")})


def _times(seconds: Iterable[float]) -> pd.Series:
    """Return POSIX seconds as times; the unit is the one of the column ``answered_at``, also where there are none."""
    import pandas as pd

    return pd.to_datetime(pd.Series(seconds, dtype="float64"), unit="s", utc=True).astype("datetime64[us, UTC]")
