"""Read the answers of a round as votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic

import pandas as pd

from ..._gc_pause import gc_paused
from ...api.dialects.response_tables import ending
from ...errors import RowError
from .json_answer import is_complete_json
from .task import R, Task, Vote

_CUT_OFF = "the answer was cut off by max_tokens (finish_reason 'length'): give a larger max_tokens= and run again"


class VoteReader(Generic[R]):
    """Reads answers as votes; equal answers share a vote."""

    def __init__(self, task: Task[R]) -> None:
        self._task, self.answered, self.logprobs = task, False, False
        self._known: dict[tuple[Any, Any, Any], Vote[R]] = {}

    def read(self, rows: Sequence[int], frame: pd.DataFrame) -> dict[int, Vote[R]]:
        """Return the votes of an answered frame; rows that were not sent have none."""
        probable = frame["logprobs"].tolist() if "logprobs" in frame else [None] * len(rows)
        columns = (frame[name].tolist() for name in ("content", "error", "finish_reason"))
        found: dict[int, Vote[R]] = {}
        with gc_paused():
            for at, content, error, finish, logprobs in zip(rows, *columns, probable, strict=True):
                if error is pd.NA or not error.startswith("not_sent:"):
                    vote = self._known.get((content, error, finish)) if logprobs is None else None
                    found[at] = vote or self._read(content, error, finish, logprobs)
        return found

    def _read(self, content: Any, error: Any, finish: Any, logprobs: Any) -> Vote[R]:
        text = None if content is pd.NA else str(content)
        self.answered |= text is not None
        self.logprobs |= bool(isinstance(logprobs, Mapping) and logprobs.get("content"))
        if finish is not pd.NA and ending(finish) == "cut_off" and not is_complete_json(text):
            return Vote(self._task.read(None), text, failure=str(RowError("invalid", _CUT_OFF)))
        if error is not pd.NA and not error.startswith("empty:"):
            return Vote(self._task.read(None), text, failure=str(error))
        if text and finish is not pd.NA and ending(finish) in ("filtered", "failed"):
            failure = RowError("invalid", f"the answer was broken off (finish_reason {finish!r}), so its text may not be whole")
            return Vote(self._task.read(None), text, failure=str(failure))
        vote = Vote(self._task.read(text, logprobs), text)
        if logprobs is None:
            self._known[content, error, finish] = vote
        return vote
