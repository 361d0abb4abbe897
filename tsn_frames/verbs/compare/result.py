"""Result of a comparison of models: a row per model, a row per pair, and every answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ...frames.result_base import NotedTable
from ...text import money

UNKNOWN = "unknown"


@dataclass(frozen=True, repr=False)
class Comparison(NotedTable):
    """Several models' answers to the same rows, side by side; :func:`compare` returns one.

    ``len``, iteration and ``[...]`` are those of ``table``.

    Attributes
    ----------
    table : DataFrame
        A row per model, under its label: ``rows``, ``answered``, ``failed``, ``skipped``, ``not_sent`` (Int64);
        ``prompt_tokens``, ``completion_tokens`` (Int64, each distinct answer once); ``cost`` (Float64, what the answers
        cost when they were bought), ``billed`` (Float64, what this call paid), ``cost_known`` (boolean: where it is false,
        it is "at least"), ``currency`` (string); ``seconds`` (Float64, median of an answer), ``seconds_total`` (Float64). With ``gold``:
        ``judged``, ``correct`` (Int64), ``agreement`` with ``agreement_low`` and ``agreement_high``, Wilson's 95 %
        interval (Float64), ``cost_per_correct`` with ``cost_per_correct_low`` and ``cost_per_correct_high`` (Float64, NA where none
        is), ``worse_by`` with ``worse_by_low`` and ``worse_by_high`` (Float64): how much less often right than the best model on the
        rows where both are judged, and the 95 % interval. ``error`` (string): why a model wasn't asked to the end.
    agreement : DataFrame
        A row per pair of models, ``left`` and ``right``: ``rows`` that both answered, ``agree`` of them, ``agreement`` with
        its interval. With ``gold``: ``only_left`` and ``only_right``, the rows where only one of the two is right, and
        ``p`` of McNemar's exact test.
    answers : DataFrame
        The sample with a column per model.
    frames : dict of str to DataFrame
        What :func:`complete`, or :func:`label`, returned for each model.
    cheapest : str or None
        With ``gold``: the cheapest model that is not worse than the best one by more than the margin; None where a cost is unknown.
    conclusion : str
        The same as a sentence.
    notes : tuple of str
        Remarks on the numbers.
    """

    table: pd.DataFrame
    agreement: pd.DataFrame
    answers: pd.DataFrame
    frames: Mapping[str, pd.DataFrame]
    cheapest: str | None = None
    conclusion: str = ""
    notes: tuple[str, ...] = ()

    def plot(self, *, currency: str | None = None, ax: Any = None) -> Any:
        """Draw the cost of each model against its agreement with gold; see :func:`tsn_frames.plot.compare`."""
        from ...plot.compare import compare

        return compare(self, currency=currency, ax=ax)

    def _shown_table(self) -> pd.DataFrame:
        shown = {
            "answered": [f"{n:,} of {rows:,}" for n, rows in self._rows("answered", "rows")],
            "tokens": [f"{prompt:,} + {completion:,}" for prompt, completion in self._rows("prompt_tokens", "completion_tokens")],
            "cost": [_amount(*row) for row in self._rows("cost", "cost_known", "currency")],
            "billed": [_amount(*row) for row in self._rows("billed", "billed_known", "currency")],
            "seconds": [UNKNOWN if s is pd.NA else money(s) for (s,) in self._rows("seconds")],
        }
        if "agreement" in self.table:
            shown["agreement (95 %)"] = [_share(*row) for row in self._rows(*_SHARE)]
            shown["cost per correct (95 %)"] = [_cost(*row) for row in self._rows(*_COST)]
        return pd.DataFrame(shown, index=self.table.index)

    def _shown_lines(self) -> Sequence[str]:
        return (self.conclusion, *self.notes) if self.conclusion else self.notes

    def _rows(self, *names: str) -> Iterable[tuple[Any, ...]]:
        return zip(*(self.table[name].array for name in names), strict=True)


def _amount(value: Any, known: Any, currency: Any) -> str:
    unit = None if currency is pd.NA else currency
    return UNKNOWN if value is pd.NA else f"{'' if known else 'at least '}{money(value, currency=unit)}"


_SHARE = ("correct", "judged", "agreement", "agreement_low", "agreement_high")
_COST = ("cost_per_correct", "cost_per_correct_low", "cost_per_correct_high", "cost_known", "currency")


def _share(correct: int, judged: int, agreement: Any, low: float, high: float) -> str:
    return "" if agreement is pd.NA else f"{correct:,} of {judged:,}: {agreement:.0%} ({low:.0%} to {high:.0%})"


def _cost(value: Any, low: Any, high: Any, known: Any, currency: Any) -> str:
    if value is pd.NA:
        return ""
    return _amount(value, known, currency) + ("" if low is pd.NA else f" ({money(low)} to {money(high)})")
