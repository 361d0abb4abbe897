"""Rows with missing values: skip, send, fill or refuse them, with one warning that counts them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from ..errors import PromptError, RowError
from ..text import did_you_mean, quoted, warn
from . import values

Missing = Literal["skip", "empty", "raise"] | Mapping[Any, str]
MISSING = ("skip", "empty", "raise")


class _Unchosen(str):
    """A word that the user has not written: what it does is worth a warning."""

    __slots__ = ()


SKIP_BY_DEFAULT = cast("Missing", _Unchosen("skip"))


def filled_texts(
    df: pd.DataFrame, labels: Sequence[Hashable], missing: Missing
) -> tuple[dict[Hashable, list[str]], dict[int, RowError]]:
    """Return the texts of the columns, gaps filled as asked, and the rows that are not sent."""
    filled: dict[Hashable, list[str]] = {}
    problems: dict[int, RowError] = {}
    counted: dict[Hashable, Any] = {}
    for label in labels:
        filled[label] = values.texts(values.column(df, label))
        empty = np.flatnonzero(values.is_blank(filled[label]))
        if isinstance(missing, Mapping) and label in missing:
            for position in empty:
                filled[label][position] = missing[label]
        elif missing != "empty" and len(empty):
            counted[label] = empty
            problems |= {int(p): RowError("missing", f"column {label!r} is missing or blank in this row") for p in empty}
    if counted:
        fills = f"missing='empty' sends them with an empty text, missing={{{next(iter(counted))!r}: '...'}} with that text"
        warn_missing(df, counted, len(problems), missing, fills)
    return filled, problems


def check_missing(missing: object, df: pd.DataFrame) -> None:
    """Raise unless ``missing`` is one of the words, or a dict of the frame's columns to texts."""
    if not isinstance(missing, Mapping):
        if missing not in MISSING:
            raise PromptError(f"missing must be one of {MISSING} or a dict of column to text, got {quoted(missing)}")
        return
    for label, text in missing.items():
        if label not in df.columns:
            raise PromptError(f"missing= names a column {label!r} that the frame doesn't have; {did_you_mean(label, df.columns)}")
        if not isinstance(text, str):
            raise PromptError(f"missing= gives {quoted(text)} for column {label!r}: it must be a string")


def warn_missing(df: pd.DataFrame, counted: Mapping[Hashable, Any], rows: int, missing: Missing, remedy: str) -> None:
    """Warn about rows that are not sent, by column, and say how to send them; raise with ``missing="raise"``.

    A user who has written ``missing="skip"`` knows, and gets no warning.
    """
    if isinstance(missing, str) and missing == "skip" and not isinstance(missing, _Unchosen):
        return
    per_column = ", ".join(f"{label!r} in {len(where):,}" for label, where in counted.items())
    if missing == "raise":
        first = [df.index[p] for p in next(iter(counted.values()))[:5]]
        raise PromptError(f"values are missing or blank: {per_column} rows; the first have the labels {first}")
    some = f"{rows:,} of {len(df):,} rows {'is' if rows == 1 else 'are'}"
    warn(f"{some} not sent, since a column of the prompt is missing or blank: {per_column}. {remedy}")
