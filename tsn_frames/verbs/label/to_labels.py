"""``to_labels``: answers that are there to labels of a closed set."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ...errors import ParameterError
from ...frames.values import is_missing
from ...text import quoted
from .codebook import Codebook, Label
from .columns import affirmed, categories, decisions
from .reading import read_label, read_labels


def to_labels(
    series: pd.Series, labels: Any, *, multiple: bool = False, other: Label | None = None, ordered: bool = False
) -> pd.Series | pd.DataFrame:
    """Read answers as labels of a closed set, as :func:`label` does: never by prefix, part or likeness.

    Parameters
    ----------
    series : Series
        Answers, such as the column of :func:`complete`.
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
        If the labels are no closed set.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> tsn.to_labels(pd.Series(["Billing.", '{"label": "delivery"}', "not billing"]), ["billing", "delivery"]).tolist()
    ['billing', 'delivery', nan]
    """
    if not isinstance(series, pd.Series):
        raise ParameterError(f"to_labels needs a Series of answers, got {quoted(series)}")
    book = Codebook.of(labels, ordered=ordered, other=other)
    answers = [None if is_missing(one) else str(one) for one in series]
    if multiple:
        return pd.DataFrame(decisions([affirmed(read_labels(one, book), book) for one in answers], book), index=series.index)
    found = categories([read_label(one, book).labels for one in answers], book)
    return pd.Series(found[""], index=series.index, name=series.name)
