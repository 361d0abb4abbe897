"""``to_labels``: answers that are there to labels of a closed set."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...errors import ParameterError
from ...frames.values import exact, is_missing
from ...keyword_options import checked
from ...text import quoted
from .codebook import Codebook, Label
from .columns import affirmed, categories, decisions
from .reading import read_label, read_labels


@checked
def to_labels(
    series: pd.Series, labels: Any, *, multiple: bool = False, other: Label | None = None, ordered: bool = False
) -> pd.Series | pd.DataFrame:
    """Read answers as labels of a closed set, as :func:`label` does: never by prefix, part or likeness.

    Parameters
    ----------
    series : Series
        Answers, such as the column of :func:`complete`; or labels as other tools leave them: whole numbers as floats, lists of labels.
    labels : list or mapping
        As for :func:`label`.
    multiple : bool, default False
        Whether each answer decides on all labels, as ``{"billing": true, "delivery": false}`` or a list of labels.
    other : str or int, optional
        One more label.
    ordered : bool, default False
        Whether the Categorical is ordered.

    Returns
    -------
    Series or DataFrame
        A Categorical of exactly the labels, NA where the answer is none of them; with ``multiple`` a boolean column for each label.
        Same index.

    Raises
    ------
    ParameterError
        If the labels are not a closed set.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> tsn.to_labels(pd.Series(["Billing.", '{"label": "delivery"}', "not billing"]), ["billing", "delivery"]).tolist()
    ['billing', 'delivery', nan]
    """
    if not isinstance(series, pd.Series):
        raise ParameterError(f"to_labels needs a Series of answers, got {quoted(series)}")
    book = Codebook.of(labels, ordered=ordered, other=other)
    answers = [None if is_missing(one) else _answer(one, book.names) for one in exact(series)]
    if multiple:
        return pd.DataFrame(decisions([affirmed(read_labels(one, book), book) for one in answers], book), index=series.index)
    found = categories([read_label(one, book).labels for one in answers], book)
    return pd.Series(found[""], index=series.index, name=series.name)


def _answer(value: Any, names: Container[str]) -> str:
    """Return a cell as the text of an answer: lists and mappings as JSON, whole floats as whole numbers unless labels have decimals."""
    plain = _plain(value, names)
    return plain if isinstance(plain, str) else json.dumps(plain, default=str, ensure_ascii=False)


def _plain(value: Any, names: Container[str]) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one, names) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        return [_plain(one, names) for one in value]
    value = value.item() if isinstance(value, np.generic) else value
    whole = isinstance(value, float) and value.is_integer() and str(value) not in names
    return int(value) if whole else value
