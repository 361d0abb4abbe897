"""Turn answers into columns: names, dtypes, and the check that none replaces an existing column."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd

from ..api import Completion, Requests
from ..engine.outcomes import Outcomes
from ..errors import ColumnError, ParameterError, RowError
from ..pricing.price_table import Prices
from ..text import check_name, did_you_mean, quoted

USAGE = ("finish_reason", "prompt_tokens", "completion_tokens", "total_tokens", "cost", "cached")
WIDE = 90  # pandas warns of frames fragmented into more than 100 blocks
FACTS = (
    "model", "answered_at", "request_key", "reasoning", "refusal", "tool_calls", "logprobs", "cached_tokens", "cost_source",
)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """The columns to add, and their labels."""

    name: str | None
    columns: tuple[str, ...]

    def label(self, column: str) -> str:
        """Return the label of a column: ``content`` takes the name itself, the others are prefixed by it."""
        if self.name is None:
            return column
        return self.name if column == "content" else f"{self.name}_{column}"

    @property
    def labels(self) -> list[str]:
        """The labels of all columns."""
        return [self.label(column) for column in self.columns]


def layout(name: str | None, usage: bool, include: Sequence[str]) -> Layout:
    """Return the requested columns."""
    if name is not None:
        check_name(name)
    facts = (include,) if isinstance(include, str) else tuple(include or ())
    for fact in facts:
        if fact not in FACTS:
            raise ParameterError(f"include has {quoted(fact)}; {did_you_mean(fact, FACTS)}")
    return Layout(name, ("content", *(USAGE if usage else ()), "error", *dict.fromkeys(facts)))


def check_clash(df: pd.DataFrame, labels: Sequence[str], *, overwrite: bool) -> None:
    """Raise if output columns would replace existing ones, before anything is sent."""
    clash = [label for label in labels if label in df.columns]
    if clash and not overwrite:
        raise ColumnError(f"the frame has columns {clash} already: give name='...' for other names, or overwrite=True")


def assign(df: pd.DataFrame, columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return a new frame with columns added; rows, order, index and dtypes are kept, objects too if all of them are texts."""
    columns = {  # pandas would infer a dtype from an array of objects; it keeps that of a Series
        name: pd.Series(values, df.index, dtype=object) if isinstance(values, np.ndarray) and values.dtype == object else values
        for name, values in columns.items()
    }
    if type(df) is pd.DataFrame and df.columns.nlevels == 1 and df.columns.empty:  # much faster than one column after the other
        made = pd.DataFrame(columns, index=df.index)
        made.attrs = df.attrs
        return made
    if df.shape[1] + len(columns) > WIDE:
        df = df.copy()  # consolidates its blocks; else pandas warns of fragmentation
    return df.assign(**columns)


def first_rows(inverse: np.ndarray[Any, Any], distinct: int) -> np.ndarray[Any, Any] | None:
    """Return the first row of each distinct request; None where each row has its own, in order."""
    if len(inverse) == distinct:
        return None
    numbers, rows = np.unique(inverse, return_index=True)
    return rows[numbers >= 0]


def build(outcomes: Outcomes, requests: Requests, inverse: np.ndarray[Any, Any], problems: dict[int, RowError],
          wanted: Layout, *, prices: Prices | None = None) -> dict[str, Any]:  # fmt: skip
    """Return the arrays of all wanted columns by label, one value a row; ``inverse`` has each row's request, -1 where none was sent."""
    spread = _Spread(inverse, len(requests))
    completions = [completion or _NO_ANSWER for completion in outcomes.completions]
    makers: dict[str, Callable[[], Any]] = {
        "cost": lambda: _cost(outcomes, spread),
        "cached": lambda: _cached(outcomes, spread),
        "error": lambda: _errors(outcomes, spread, problems),
        "request_key": lambda: spread.values([key.hex() for key in requests.keys], "string"),
        "answered_at": lambda: spread.values(utc_stamps(np.frombuffer(outcomes.times, dtype=float)), "datetime64[us]"),
        "cost_source": lambda: spread.values(_sources(outcomes, requests, prices), "string"),
        "logprobs": lambda: spread.objects([completion.logprobs for completion in completions]),
        "tool_calls": lambda: spread.objects([completion.tool_calls for completion in completions]),
    }

    def field(name: str) -> Any:
        return spread.values(list(map(itemgetter(Completion._fields.index(name)), completions)), _DTYPES[name])

    return {wanted.label(column): makers[column]() if column in makers else field(column) for column in wanted.columns}


_NO_ANSWER = Completion(None)
_DTYPES = dict.fromkeys(("content", "finish_reason", "model", "reasoning", "refusal"), "string")
_DTYPES |= dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens"), "Int64")


class _Spread:
    """Spreads values of distinct requests over rows; a row without a request gets NA."""

    def __init__(self, inverse: np.ndarray[Any, Any], distinct: int) -> None:
        self.rows, self.firsts = len(inverse), first_rows(inverse, distinct)
        self._inverse = None if self.firsts is None else inverse  # None where each row has its own request

    def values(self, values: Sequence[Any] | np.ndarray[Any, Any], dtype: str) -> Any:
        """Return an array of a dtype that has gaps."""
        made = pd.array(values, dtype=dtype)  # type: ignore[call-overload]
        return made if self._inverse is None else made.take(self._inverse, allow_fill=True)

    def objects(self, values: Sequence[Any] | np.ndarray[Any, Any]) -> Any:
        """Return an array of objects, None where there is no value."""
        found = np.empty(len(values) + 1, dtype=object)
        found[:-1] = np.fromiter(values, dtype=object, count=len(values))  # not an assignment: values may be lists
        return found[:-1] if self._inverse is None else found[self._inverse]

    def flags(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return a new array of booleans, False where a row has no request."""
        return values.copy() if self._inverse is None else np.append(values, values=False)[self._inverse]


def _cost(outcomes: Outcomes, spread: _Spread) -> Any:
    """Return what the run paid: on the first of equal rows, 0 on the others."""
    paid = np.zeros(len(outcomes))
    for at, cost in outcomes.costs.copy().items():
        paid[at] = np.nan if cost is None else float(cost)
    if spread.firsts is not None:
        first, paid = paid, np.zeros(spread.rows)
        paid[spread.firsts] = first
    return pd.arrays.FloatingArray(paid, np.isnan(paid))


def _sources(outcomes: Outcomes, requests: Requests, prices: Prices | None) -> list[str | None]:
    """Return a note on the price of each answer: the one valid when it arrived."""
    if prices is None:
        return [None] * len(requests)
    found = (prices.price(model, when) if not math.isnan(when) else None for model, when in zip(requests.models, outcomes.times))
    return [price.note if price else None for price in found]


def _cached(outcomes: Outcomes, spread: _Spread) -> Any:
    """Return whether an answer came from the cache; NA while a row is unfinished."""
    cached, waiting = np.frombuffer(bytes(outcomes.cached), dtype=bool), np.zeros(len(outcomes), dtype=bool)
    waiting[outcomes.unfinished()] = True
    return pd.arrays.BooleanArray(spread.flags(cached), spread.flags(waiting))


def _errors(outcomes: Outcomes, spread: _Spread, problems: dict[int, RowError]) -> Any:
    if not outcomes.errors and not problems:
        return pd.array([None], dtype="string").repeat(spread.rows)
    texts = np.full(len(outcomes), None, dtype=object)
    for at, error in outcomes.errors.copy().items():
        texts[at] = str(error)
    column = spread.objects(texts)
    for position, problem in problems.items():
        column[position] = str(problem)
    return pd.array(column, dtype="string")


def utc_stamps(seconds: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return POSIX seconds as times in UTC, rounded as the frames of cache and ledger round them; NaT for NaN.

    They have no zone, since ``to_excel`` would refuse it.
    """
    return np.rint(seconds * 1e6).astype("datetime64[us]")
