"""The columns of gold that a review adds to a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ...errors import ColumnError
from ...text import quoted
from ..label.columns import categories, decisions
from .decision_history import Decision
from .labels_beside_text import Labels, labels_of
from .log_header import Setup


def gold_columns(setup: Setup, made: Sequence[Decision]) -> dict[str, Any]:
    """Return the columns by their names: the label (or a boolean for each), the note and the flag of each row."""
    column, book = setup.column, setup.book
    labels = [one.labels for one in made]
    if setup.multiple:
        rows = [() if one is None else tuple(int(label in one) for label in book.labels) for one in labels]
        gold = {f"{column}_{label}": values for label, values in decisions(rows, book).items()}
    else:
        gold = {column: categories([one or () for one in labels], book)[""]}
    notes = pd.array([one.note or None for one in made], dtype="string")
    return {**gold, f"{column}_note": notes, f"{column}_flag": pd.array([one.flag for one in made], dtype="boolean")}


def check_columns(df: pd.DataFrame, setup: Setup, ours: Mapping[int, set[Labels]]) -> None:
    """Raise where a column would be replaced that holds labels from elsewhere; those of an earlier ``to_frame`` may be replaced.

    ``ours`` has all labels that the review ever gave to a row.
    """
    there = [name for name in gold_columns(setup, []) if name in df.columns]
    if not there:
        return
    column, book = setup.column, setup.book
    names = [f"{column}_{label}" for label in book.labels] if setup.multiple else [column]
    if not set(names) <= set(there):
        raise ColumnError(_replaced(there[0]))
    for position, labels in enumerate(labels_of(df, column, book, multiple=setup.multiple)):
        if labels is not None and labels not in ours.get(position, ()):
            what = f"{quoted(labels[0] if len(labels) == 1 else labels)} in row {df.index[[position]].tolist()[0]!r}"
            raise ColumnError(_replaced(names[0], what))


def _replaced(name: str, what: str = "values") -> str:
    return (
        f"the frame has a column {name!r} with {what} that the review's log doesn't hold: rename or drop it, or give name='...'"
    )
