"""Figures of a frame for a report: labels and how they were read, votes, repairs, missing values, errors and gold."""

from __future__ import annotations

from typing import Any

import pandas as pd

MOST_VALUES = 200  # of a column that are listed


def figures_of(frame: pd.DataFrame) -> list[str]:
    """Return sentences on the labels, errors and gold of a frame."""
    names = [name for name in frame.columns if isinstance(name, str)]
    found = [_label_figures(frame, name.removesuffix("_how")) for name in names if name.endswith("_how")]
    found += [_error_figures(frame, name) for name in names if name == "error" or name.endswith("_error")]
    found += [_gold_figures(frame, name.removesuffix("_split")) for name in names if name.endswith("_split")]
    return [text for text in found if text]


def _label_figures(frame: pd.DataFrame, name: str) -> str:
    how = frame[f"{name}_how"].astype("string")
    parts = []
    if name in frame:
        parts.append(f"Labels of `{name}`: {_counts(frame[name])}.")
    decisions = [column for column in frame if _is_decision(frame, column, name)]
    parts += [f"Label `{column}`: {_counts(frame[column])}." for column in decisions if name not in frame]
    parts.append(f"How they were read: {_counts(how)}; {int(how.eq('repaired').sum()):,} were repaired by a second request.")
    if f"{name}_votes" in frame and (votes := frame[f"{name}_votes"].dropna()).size:
        agreement = frame[f"{name}_agreement"].mean() if f"{name}_agreement" in frame else pd.NA
        agreed = "" if pd.isna(agreement) else f", mean agreement {agreement:.3f}"
        parts.append(f"Votes: {int(votes.sum()):,} in all, {votes.min()} to {votes.max()} a row{agreed}.")
    return " ".join(parts)


def _is_decision(frame: pd.DataFrame, column: Any, name: str) -> bool:
    mine = isinstance(column, str) and column.startswith(f"{name}_") and column not in (f"{name}_cached", f"{name}_quoted")
    return mine and pd.api.types.is_bool_dtype(frame[column].dtype)


def _error_figures(frame: pd.DataFrame, name: str) -> str:
    errors = frame[name].dropna().astype("string")
    codes = _counts(errors.str.partition(":")[0]) if len(errors) else ""
    return f"Rows with an error in `{name}`: {len(errors):,} of {len(frame):,}{f' ({codes})' if codes else ''}."


def _gold_figures(frame: pd.DataFrame, name: str) -> str:
    if f"{name}_prob" not in frame:
        return ""
    parts = [f"Gold `{name}` was drawn at random: {_counts(frame[f'{name}_split'])}."]
    raters = [column for column in frame if _is_rater(column, name)]
    return " ".join([*parts, *(f"Gold labels of `{column}`: {_counts(frame[column])}." for column in raters)])


def _is_rater(column: Any, name: str) -> bool:
    mine = isinstance(column, str) and (column == name or column.startswith(f"{name}_"))
    return mine and not column.endswith(("_split", "_prob", "_note", "_flag", "_seconds"))


def _counts(values: pd.Series) -> str:
    """Return how often each value is there, NA last.

    >>> _counts(pd.Series(["a", "b", "a", None]))
    'a 2, b 1, NA 1'
    """
    counts = values.astype("string").value_counts()
    shown = [f"{value} {count:,}" for value, count in counts.items() if count][:MOST_VALUES]
    more = [f"and {len(counts) - MOST_VALUES:,} more values"] if len(counts) > MOST_VALUES else []
    missing = int(values.isna().sum())
    return ", ".join([*shown, *more, *([f"NA {missing:,}"] if missing else [])]) or "none"
