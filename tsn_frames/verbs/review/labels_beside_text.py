"""The labels that are shown beside a text: none, those of a model, or those of raters. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from ...errors import ParameterError
from ...frames import values
from ...text import did_you_mean, quoted
from ..label.codebook import Codebook, Label

Mode = Literal["blind", "audit", "adjudication"]
Labels = tuple[Label, ...]


@dataclass(frozen=True)
class Shown:
    """What a review shows beside the texts: nothing, a column to audit, or the columns of raters who may differ."""

    mode: Mode
    columns: tuple[Hashable, ...] = ()

    @classmethod
    def of(cls, df: pd.DataFrame, show: Any, name: str, book: Codebook, *, multiple: bool) -> Shown:
        """Return what ``show`` means; a rater's name stands for the column ``<name>_<rater>``."""
        if show is None:
            return cls("blind")
        if not isinstance(show, list) and not (isinstance(show, tuple) and show not in df.columns):
            return cls("audit", (_column(df, show, name, book, multiple=multiple),))
        columns = tuple(_column(df, one, name, book, multiple=multiple) for one in show)
        if len(set(columns)) < 2:
            raise ParameterError(f"show must be a column, or a list of at least two raters' columns, got {quoted(show)}")
        return cls("adjudication", columns)


def labels_of(df: pd.DataFrame, column: Hashable, book: Codebook, *, multiple: bool) -> list[Labels | None]:
    """Return each row's labels in a column, or with ``multiple`` in the boolean columns ``<column>_<label>``."""
    if multiple:
        decisions = [values.exact(values.column(df, f"{column}_{label}")) for label in book.labels]
        return [
            None if all(map(values.is_missing, made))
            else tuple(label for label, yes in zip(book.labels, made, strict=True) if not values.is_missing(yes) and yes)
            for made in zip(*decisions, strict=True)
        ]  # fmt: skip
    labels, found = {label: label for label in book.labels}, list[Labels | None]()
    for at, value in enumerate(values.exact(values.column(df, column))):
        if values.is_missing(value) or (isinstance(value, str) and not value.strip()):
            found.append(None)
        elif not isinstance(value, Hashable) or value not in labels:
            raise ParameterError(
                f"column {column!r} has {quoted(value)} in row {df.index[[at]].tolist()[0]!r}, which isn't one of the labels; "
                f"{did_you_mean(value, labels)}"
            )
        else:
            found.append((labels[value],))
    return found


def _column(df: pd.DataFrame, show: Any, name: str, book: Codebook, *, multiple: bool) -> Hashable:
    for column in (show, f"{name}_{show}"):
        names = [f"{column}_{label}" for label in book.labels] if multiple else [column]
        if isinstance(column, Hashable) and all(one in df.columns for one in names):
            return column
    wanted = f"columns '{show}_{book.labels[0]}' and so on" if multiple else f"column {quoted(show)}"
    raise ParameterError(f"show: the frame has no {wanted}, nor '{name}_{show}'; {did_you_mean(show, df.columns)}")
