"""Result of a comparison of models: a row per model, a row per pair, and every answer."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ...frames.frame_like import FrameLike
from ...text import money

UNKNOWN = "unknown"


@dataclass(frozen=True, repr=False)
class Comparison(FrameLike):
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
        interval (Float64), ``cost_per_correct`` (Float64, NA where none is). ``error`` (string): why a model wasn't asked
        to the end.
    agreement : DataFrame
        A row per pair of models, ``left`` and ``right``: ``rows`` that both answered, ``agree`` of them, ``agreement`` with
        its interval. With ``gold``: ``only_left`` and ``only_right``, the rows where only one of the two is right, and
        ``p`` of McNemar's exact test.
    answers : DataFrame
        The sample with a column per model.
    frames : dict of str to DataFrame
        What :func:`complete` returned for each model.
    notes : tuple of str
        Remarks on the numbers.
    """

    table: pd.DataFrame
    agreement: pd.DataFrame
    answers: pd.DataFrame
    frames: Mapping[str, pd.DataFrame]
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return the table of models."""
        return self.table

    def __repr__(self) -> str:
        return "\n".join([_shown(self.table).to_string(), *self.notes])

    def _repr_html_(self) -> str:
        notes = "<br>".join(map(html.escape, self.notes))
        return _shown(self.table).to_html(border=0) + (f"<p>{notes}</p>" if notes else "")


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as texts for reading."""
    shown = {
        "answered": [f"{n:,} of {rows:,}" for n, rows in _rows(table, "answered", "rows")],
        "tokens": [UNKNOWN if p is pd.NA or c is pd.NA else f"{p:,} + {c:,}" for p, c in _rows(table, "prompt_tokens", "completion_tokens")],
        "cost": [_amount(value, known) for value, known in _rows(table, "cost", "cost_known")],
        "billed": [_amount(value, known) for value, known in _rows(table, "billed", "billed_known")],
        "seconds": [UNKNOWN if s is pd.NA else money(s) for (s,) in _rows(table, "seconds")],
    }  # fmt: skip
    if "agreement" in table:
        names = ("agreement", "agreement_low", "agreement_high")
        shown["agreement (95 %)"] = [
            "" if a is pd.NA else f"{a:.0%} ({low:.0%} to {high:.0%})" for a, low, high in _rows(table, *names)
        ]
        shown["cost per correct"] = [
            "" if v is pd.NA else _amount(v, known) for v, known in _rows(table, "cost_per_correct", "cost_known")
        ]
    return pd.DataFrame(shown, index=table.index)


def _rows(table: pd.DataFrame, *names: str) -> Iterable[tuple[Any, ...]]:
    return zip(*(table[name].array for name in names), strict=True)


def _amount(value: Any, known: Any) -> str:
    return UNKNOWN if value is pd.NA else f"{'' if known is True or known == True else 'at least '}{money(value)}"  # noqa: E712
