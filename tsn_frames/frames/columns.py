"""Answers to columns: their names, dtypes and the check that none of them replaces one that is there."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ..api import Completion, Requests
from ..engine.outcomes import Outcomes
from ..errors import ColumnError, ParameterError, RowError
from ..pricing.prices import Prices
from ..text import did_you_mean, quoted

USAGE = ("finish_reason", "prompt_tokens", "completion_tokens", "total_tokens", "cost", "cached")
WIDE = 90  # pandas warns of frames that were put together from more than 100 single columns
FACTS = ("model", "answered_at", "request_key", "reasoning", "logprobs", "cached_tokens", "cost_source")


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


def first_rows(inverse: np.ndarray[Any, Any], distinct: int) -> np.ndarray[Any, Any] | None:
    """Return the first row of each distinct request; None where each row has its own, in order."""
    if len(inverse) == distinct:
        return None
    numbers, rows = np.unique(inverse, return_index=True)
    found: np.ndarray[Any, Any] = rows[numbers >= 0]
    return found


def build(answers: Outcomes, requests: Requests, inverse: np.ndarray[Any, Any], problems: dict[int, RowError],
          wanted: Layout, *, prices: Prices | None = None) -> dict[str, Any]:  # fmt: skip
    """Return the arrays of all wanted columns, one value a row.

    Parameters
    ----------
    answers : Answers
        What came of each distinct request, so far.
    requests : Requests
        The distinct requests.
    inverse : integer array
        For each row its distinct request, -1 where none was sent.
    problems : dict of int to RowError
        Why rows were not sent, by position.
    wanted : Layout
        The columns.
    prices : Prices, optional
        For ``cost_source``.
    """
    spread = _Spread(inverse, len(requests))
    completions = [completion or _NO_ANSWER for completion in answers.completions]
    makers: dict[str, Callable[[], Any]] = {
        "cost": lambda: _cost(answers, spread),
        "cached": lambda: _cached(answers, spread),
        "error": lambda: _errors(answers, spread, problems),
        "request_key": lambda: spread.values([key.hex() for key in requests.keys], "string"),
        "answered_at": lambda: _times(answers, spread),
        "cost_source": lambda: spread.values(_sources(answers, requests, prices), "string"),
        "logprobs": lambda: spread.objects([completion.logprobs for completion in completions]),
    }
    for field, dtype in _DTYPES.items():
        at = Completion._fields.index(field)
        makers[field] = partial(_field, completions, at, dtype, spread)
    return {column: makers[column]() for column in wanted.columns}


_NO_ANSWER = Completion(None)
_DTYPES = dict.fromkeys(("content", "finish_reason", "model", "reasoning"), "string")
_DTYPES |= dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens"), "Int64")


class _Spread:
    """The values of distinct requests as values of rows; a row that wasn't sent has none.

    Parameters
    ----------
    inverse : integer array
        For each row its distinct request, or -1.
    distinct : int
        How many there are.
    """

    def __init__(self, inverse: np.ndarray[Any, Any], distinct: int) -> None:
        self.rows, self.firsts = len(inverse), first_rows(inverse, distinct)
        self._inverse = None if self.firsts is None else inverse  # as they are, where each row has its own

    def values(self, values: Sequence[Any], dtype: str) -> Any:
        """Return an array of a dtype that knows NA."""
        made = pd.array(values, dtype=dtype)  # type: ignore[call-overload]
        return made if self._inverse is None else made.take(self._inverse, allow_fill=True)

    def objects(self, values: Sequence[Any] | np.ndarray[Any, Any]) -> Any:
        """Return an array of objects, None where there is none."""
        found = np.empty(len(values) + 1, dtype=object)
        found[:-1] = np.fromiter(values, dtype=object, count=len(values))  # not an assignment: values may be lists
        return found[:-1] if self._inverse is None else found[self._inverse]

    def numbers(self, values: np.ndarray[Any, Any], unsent: Any) -> np.ndarray[Any, Any]:
        """Return an array of plain numbers."""
        found: np.ndarray[Any, Any] = values if self._inverse is None else np.append(values, unsent)[self._inverse]
        return found


def _field(completions: Sequence[Completion], at: int, dtype: str, spread: _Spread) -> Any:
    return spread.values([completion[at] for completion in completions], dtype)


def _cost(answers: Outcomes, spread: _Spread) -> Any:
    """Return what the run paid, on the first of equal rows; the others cost nothing."""
    paid = np.zeros(len(answers))
    for at, cost in answers.costs.copy().items():
        paid[at] = np.nan if cost is None else float(cost)
    if spread.firsts is not None:
        first, paid = paid, np.zeros(spread.rows)
        paid[spread.firsts] = first
    return pd.arrays.FloatingArray(paid, np.isnan(paid))


def _sources(answers: Outcomes, requests: Requests, prices: Prices | None) -> list[str | None]:
    """Return the price of each answer in words: the one that was valid when it came."""
    if prices is None:
        return [None] * len(requests)
    found = (prices.price(model, when) if not math.isnan(when) else None for model, when in zip(requests.models, answers.times))
    return [price.note if price else None for price in found]


def _cached(answers: Outcomes, spread: _Spread) -> Any:
    """Return whether an answer came from the cache; NA where the run has not got to a row yet."""
    cached, waiting = np.frombuffer(bytes(answers.cached), dtype=bool), np.zeros(len(answers), dtype=bool)
    waiting[answers.unfinished()] = True
    return pd.arrays.BooleanArray(spread.numbers(cached, False).copy(), spread.numbers(waiting, False).copy())


def _errors(answers: Outcomes, spread: _Spread, problems: dict[int, RowError]) -> Any:
    if not answers.errors and not problems:
        return pd.array([None], dtype="string").repeat(spread.rows)
    texts = np.full(len(answers), None, dtype=object)
    for at, error in answers.errors.copy().items():
        texts[at] = str(error)
    column = spread.objects(texts)
    for position, problem in problems.items():
        column[position] = str(problem)
    return pd.array(column, dtype="string")


def _times(answers: Outcomes, spread: _Spread) -> Any:
    seconds = np.frombuffer(answers.times, dtype=float)
    stamps = np.where(np.isnan(seconds), np.datetime64("NaT", "us"), (seconds * 1e6).astype("datetime64[us]"))
    return pd.array(spread.numbers(stamps, np.datetime64("NaT", "us")), dtype="datetime64[us, UTC]")
