"""Answers to columns: their names, dtypes and the check that none of them replaces one that is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..engine.rows import Outcome
from ..errors import ColumnError, ParameterError, RowError, did_you_mean, quoted
from ..wire import Completion

USAGE = ("finish_reason", "prompt_tokens", "completion_tokens", "total_tokens", "cost", "cached")
WIDE = 90  # pandas warns of frames that were put together from more than 100 single columns
FACTS = ("model", "answered_at", "request_key", "reasoning", "logprobs")


@dataclass(frozen=True)
class Layout:
    """Which columns are added, and what they are called."""

    name: str | None
    columns: tuple[str, ...]

    def label(self, column: str) -> str:
        """Return the label of a column: ``content`` takes the name itself, the others are prefixed by it."""
        if self.name is None:
            return column
        return self.name if column == "content" else f"{self.name}_{column}"


def layout(name: str | None, usage: bool, include: Sequence[str]) -> Layout:
    """Return the columns that are asked for.

    Raises
    ------
    ParameterError
        If ``include`` names a fact that an answer doesn't have.
    """
    if name is not None and (not isinstance(name, str) or not name):
        raise ParameterError(f"name must be a text, got {quoted(name)}")
    facts = (include,) if isinstance(include, str) else tuple(include or ())
    for fact in facts:
        if fact not in FACTS:
            raise ParameterError(f"include has {quoted(fact)}; {did_you_mean(fact, FACTS)}")
    return Layout(name, ("content", *(USAGE if usage else ()), "error", *dict.fromkeys(facts)))


def check_clash(df: pd.DataFrame, wanted: Layout, overwrite: bool) -> None:
    """Refuse to replace columns, before anything is sent.

    Raises
    ------
    ColumnError
        If the frame has columns of those names and ``overwrite`` is false.
    """
    labels = [wanted.label(column) for column in wanted.columns]
    clash = [label for label in labels if label in df.columns]
    if clash and not overwrite:
        raise ColumnError(f"the frame has columns {clash} already: give name='...' for other names, or overwrite=True")


def add(df: pd.DataFrame, wanted: Layout, columns: dict[str, Any]) -> pd.DataFrame:
    """Return a new frame with the columns added; rows, order, index and other dtypes are kept."""
    if df.shape[1] > WIDE:
        df = df.copy()  # which puts its blocks together, so that pandas doesn't warn of ours
    return df.assign(**{wanted.label(column): columns[column] for column in wanted.columns})


def build(outcomes: Sequence[Outcome | None], keys: Sequence[bytes], inverse: np.ndarray[Any, Any],
          problems: dict[int, RowError], wanted: Layout) -> dict[str, Any]:  # fmt: skip
    """Return the arrays of all wanted columns, one value a row.

    Parameters
    ----------
    outcomes : sequence of Outcome or None
        One a distinct request; None where the run has not got to it.
    keys : sequence of bytes
        The key of each distinct request.
    inverse : integer array
        For each row its distinct request, -1 where none was sent.
    problems : dict of int to RowError
        Why rows were not sent, by position.
    wanted : Layout
        The columns.
    """
    distinct = _Distinct(outcomes, keys)
    first = np.zeros(len(inverse), dtype=bool)
    first[np.unique(inverse, return_index=True)[1]] = True
    return {column: _column(column, distinct, inverse, first, problems) for column in wanted.columns}


class _Distinct:
    """The values of each column, one a distinct request and one more, missing, for rows that were not sent."""

    def __init__(self, outcomes: Sequence[Outcome | None], keys: Sequence[bytes]) -> None:
        self.outcomes = [outcome or Outcome() for outcome in outcomes]
        self.done = [outcome is not None for outcome in outcomes]
        self.answers = [outcome.completion or _NO_ANSWER for outcome in self.outcomes]
        self.keys = keys


_NO_ANSWER = Completion(None)
_DTYPES = dict.fromkeys(("content", "finish_reason", "model", "reasoning"), "string") | {"logprobs": "object"}
_DTYPES |= dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), "Int64")


def _column(name: str, distinct: _Distinct, inverse: Any, first: Any, problems: dict[int, RowError]) -> Any:
    if name in _DTYPES:
        return _spread([getattr(answer, name) for answer in distinct.answers], _DTYPES[name], inverse)
    if name == "cost":
        return _cost(distinct, inverse, first)
    if name == "cached":
        return _spread(
            [o.cached if d else None for o, d in zip(distinct.outcomes, distinct.done, strict=True)], "boolean", inverse, False
        )
    if name == "error":
        return _errors(distinct, inverse, problems)
    if name == "request_key":
        return _spread([key.hex() for key in distinct.keys], "string", inverse)
    times = [None if o.answered_at is None else o.answered_at * 1e6 for o in distinct.outcomes]
    stamps = pd.to_datetime(pd.array(times, dtype="Float64").astype("Int64"), unit="us", utc=True)
    return pd.Series([*stamps, pd.NaT], dtype="datetime64[us, UTC]").take(inverse).array


def _spread(values: Sequence[Any], dtype: str, inverse: Any, unsent: Any = None) -> Any:
    """Return one value a row; position -1 is the last one, which stands for rows that were not sent."""
    if dtype == "object":
        found = np.empty(len(values) + 1, dtype=object)
        found[:] = [*values, unsent]
        return found[inverse]
    return pd.array([*values, unsent], dtype=dtype).take(inverse)  # type: ignore[call-overload]


def _cost(distinct: _Distinct, inverse: Any, first: Any) -> Any:
    """Return what the run paid, on the first of equal rows; the others cost nothing."""
    paid = [None if o.cost is None else float(o.cost) for o in distinct.outcomes]
    column = _spread(paid, "Float64", inverse, 0.0)
    column[~first] = 0.0
    return column


def _errors(distinct: _Distinct, inverse: Any, problems: dict[int, RowError]) -> Any:
    texts = [None if o.error is None else str(o.error) for o in distinct.outcomes]
    if not problems:
        return _spread(texts, "string", inverse)
    column = np.array([*texts, None], dtype=object)[inverse]
    for position, problem in problems.items():
        column[position] = str(problem)
    return pd.array(column, dtype="string")
