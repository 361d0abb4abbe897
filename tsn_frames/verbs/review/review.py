"""``review``: a person gives labels, by keyboard."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd

from ...errors import ParameterError
from ...frames.prompt import check_frame
from ...text import quoted
from ..label.codebook import Codebook, Label
from .items import select
from .labels_beside_text import Shown
from .log import ReviewLog
from .log_header import Setup
from .session import ReviewSession


def review(
    df: pd.DataFrame,
    text: Any,
    labels: Any,
    *,
    name: str = "gold",
    show: Any = None,
    order: Hashable | None = None,
    rater: str | None = None,
    multiple: bool = False,
    ordered: bool = False,
    other: Label | None = None,
    file: Any = None,
) -> ReviewSession:
    """Read texts and give each its label, a key a text; every decision is on the disk at once.

    Nothing is sent. Running the cell again, in another kernel or over the frame in another order, continues the review. Of a
    frame with a draw by :func:`gold_sample` only the drawn rows are read. Equal texts are read once.

    Parameters
    ----------
    df : DataFrame
        The rows. It is not changed.
    text : column label or str
        A column, or a template such as ``"{title} {body}"``.
    labels : list or mapping
        The labels, as for :func:`label`: a list, label -> description, or group -> labels.
    name : str, default "gold"
        The column to fill; an audit fills ``<name>_audit``.
    show : column, list of columns, optional
        None: blind, the page gets no label of a model. A column of labels: audit it, Space accepts. A list of raters or of their
        columns: adjudicate the rows on which they differ; the label on which they agree is filled in.
    order : column, optional
        Read in the order of this column. Default: random, but the same each time; in an audit the label with the lowest agreement
        and probability first.
    rater : str, optional
        Who reads: the column is ``<name>_<rater>``, with a separate log.
    multiple : bool, default False
        Whether a text may have several labels, or none.
    ordered : bool, default False
        Whether the Categorical is ordered.
    other : str or int, optional
        One more label.
    file : str or Path, optional
        The log, a file of JSON lines. Default: a file of the column in the folder ``TSN_REVIEWS``, else in the user's data folder.

    Returns
    -------
    Review
        A widget: ``.to_frame()``, ``.progress``, ``.undo()``.

    Raises
    ------
    ParameterError, PromptError
        If there is no such column, the labels are not a closed set, or labels to show or in the log are outside it.
    ColumnError
        If the frame has the column to fill, with labels that this review didn't give.
    ConfigError
        If the log is of another rater or another kind of review, or can't be written.

    Examples
    --------
    >>> import pandas as pd
    >>> session = review(pd.DataFrame({"text": ["Where is it?", "Thanks!"]}), "text", ["question", "thanks"])
    >>> len(session.items), session.setup.column
    (2, 'gold')
    """
    check_frame(df)
    for word, value in (("name", name), ("rater", rater)):
        if value is not None and not (isinstance(value, str) and value.strip()):
            raise ParameterError(f"{word} must be a string, got {quoted(value)}")
    book = Codebook.of(labels, ordered=ordered, other=other)
    shown = Shown.of(df, show, name, book, multiple=multiple)
    selection = select(df, text, book, shown, name=name, order=order, multiple=multiple)
    column = "_".join([name, *(["audit"] if shown.mode == "audit" else []), *([rater] if rater else [])])
    log = f"{column}.adjudication" if shown.mode == "adjudication" else column
    return ReviewSession(df, selection, Setup(column, book, shown, rater, multiple), ReviewLog(file, log))
