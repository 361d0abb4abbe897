"""Columns of labels as codes of one list of labels."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...errors import ParameterError
from ...text import did_you_mean, plural, quoted
from .. import values

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class LabelCodes:
    """Columns of labels as codes."""

    labels: tuple[Any, ...]
    ordered: bool  # whether the order means something
    columns: dict[Hashable, Array]  # the codes; -1 is a missing label
    unpredicted: tuple[Any, ...] = ()  # labels that gold has and no predicted column, where the labels are not a closed set

    def remark(self) -> str | None:
        """Return a remark on labels that only gold has; they may be misspelt."""
        if not self.unpredicted:
            return None
        named = ", ".join(map(repr, self.unpredicted[:5])) + ", ..." * (len(self.unpredicted) > 5)
        return (
            f"gold has labels that no row was given: {named}; labels as a Categorical of the whole set have the spelling checked"
        )


@dataclass(frozen=True)
class _Column:
    """A column's own labels, and their codes; -1 where it is missing or blank."""

    name: Hashable
    codes: Array
    labels: list[Any]


def code_columns(df: pd.DataFrame, predicted: Sequence[Hashable], gold: Sequence[Hashable]) -> LabelCodes:
    """Return the codes of columns with predicted labels and of columns with gold.

    The labels are the categories of the predicted columns, where all of them are Categorical; else the values of all columns.
    """
    said, right = [_read(df, name) for name in predicted], [_read(df, name) for name in gold]
    kinds = [df[name].dtype for name in predicted]
    closed = [kind for kind in kinds if isinstance(kind, pd.CategoricalDtype)]
    ordered, unpredicted = False, list[Any]()
    if len(closed) == len(kinds):
        labels = list(dict.fromkeys(label for kind in closed for label in values.exact(pd.Series(kind.categories))))
        ordered = all(kind.ordered and kind == closed[0] for kind in closed)
        for column in right:
            _check_inside(df, column, labels)
    else:
        found, wanted = ({label for column in columns for label in column.labels} for columns in (said, right))
        labels, unpredicted = _sorted(found | wanted), _sorted(wanted - found)
        if found and wanted and not found & wanted:
            raise ParameterError(
                f"{list(predicted)} and {list(gold)} have no label in common: {quoted(next(iter(found)))} here, "
                f"{quoted(next(iter(wanted)))} there; bring both to the same spelling and type"
            )
    codes = {column.name: _recoded(column, labels) for column in (*said, *right)}
    return LabelCodes(tuple(labels), ordered, codes, tuple(unpredicted))


def _read(df: pd.DataFrame, name: Hashable) -> _Column:
    if not isinstance(name, Hashable) or name not in df.columns:
        raise ParameterError(f"the frame has no column {quoted(name)}; {did_you_mean(name, df.columns)}")
    column = values.column(df, name)
    try:
        codes, found = pd.factorize(column)
    except TypeError:
        raise ParameterError(
            f"column {name!r} holds lists or dicts, which are not labels: give a column with one label a row; "
            "where a row may have several, the column of True and False of each"
        ) from None
    every = values.exact(pd.Series(found))
    labels = [label for label in every if not (isinstance(label, str) and not label.strip())]
    places = {label: code for code, label in enumerate(labels)}
    return _Column(name, np.array([*(places.get(label, -1) for label in every), -1], dtype=np.int64)[codes], labels)


def _recoded(column: _Column, labels: list[Any]) -> Array:
    places = {label: code for code, label in enumerate(labels)}
    return np.array([*(places[label] for label in column.labels), -1], dtype=np.int64)[column.codes]


def _check_inside(df: pd.DataFrame, column: _Column, labels: list[Any]) -> None:
    for code, label in enumerate(column.labels):
        if label not in labels:
            raise outside_error(column.name, label, df.index, np.flatnonzero(column.codes == code).tolist(), labels)


def outside_error(name: Hashable, label: Any, index: pd.Index, rows: Sequence[int], labels: Sequence[Any]) -> ParameterError:
    """Return the error of gold that isn't one of the labels, in these rows."""
    return ParameterError(
        f"{name!r} has {quoted(label)} in {plural(len(rows), 'row')}, the first is {values.row_name(index, rows[0])}, which isn't one of "
        f"the labels; {did_you_mean(label, labels)}"
    )


def _sorted(labels: set[Any]) -> list[Any]:
    try:
        return sorted(labels)
    except TypeError:  # of several types
        return sorted(labels, key=lambda label: (type(label).__name__, str(label)))
