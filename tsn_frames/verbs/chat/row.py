"""One row of a frame: found by its label, and the columns of it that are context for a model."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from ...errors import ParameterError
from ...frames import output_columns
from ...text import did_you_mean, plural, quoted


def find_row(df: pd.DataFrame, row: Hashable) -> pd.DataFrame:
    """Return the frame of one row."""
    try:
        at = df.index.get_loc(row)
    except (KeyError, TypeError, ValueError, pd.errors.InvalidIndexError):
        hint = did_you_mean(row, df.index[:1000], most=5) if len(df) else "the frame has no rows"
        raise ParameterError(
            f"the frame has no row {quoted(row)}: a row is named by its label in the index, as in df.loc; {hint}"
        ) from None
    found = df.iloc[[at] if isinstance(at, (int, np.integer)) else at]
    if len(found) != 1:
        whole = (
            f"name one of them whole, such as {label_text(found.index[0])}, or " if found.index.nunique() == len(found) else ""
        )
        raise ParameterError(
            f"{plural(len(found), 'row')} have the label {quoted(row)}: {whole}give each a label of its own with "
            "df.reset_index(drop=True)"
        )
    return found


def label_text(label: Hashable) -> str:
    """Return a label as text: numbers and times without their types."""
    if isinstance(label, tuple):
        return f"({', '.join(map(label_text, label))})"
    return repr(label) if isinstance(label, str) else str(label)


def context_template(df: pd.DataFrame) -> str:
    """Return a template of a row's cells, one line for each column.

    Columns that no placeholder can name are left out, and so are bytes, which are not text, and the usage columns of answers.
    """
    shown = [str(label) for label in df.columns]
    binary = {str(label) for label, kind in df.head(100).apply(pd.api.types.infer_dtype).items() if kind == "bytes"}
    beside = _beside_answers(shown)
    names = [name for name in shown if shown.count(name) == 1 and name.strip() and "{" not in name and "}" not in name]
    names = [name for name in names if name not in beside | binary]
    return "\n".join(f"{name}: {{{name}}}" for name in names)


def _beside_answers(names: Sequence[str]) -> set[str]:
    """Return the columns that runs of ``complete`` have added to a frame beside the answers, by their names."""
    called = [None, *names]
    runs = [output_columns.layout(name or None, True, output_columns.FACTS) for name in called]
    there = [run for run in runs if {run.label("content"), run.label("error")} <= set(names)]
    return {run.label(column) for run in there for column in run.columns if column != "content"}
