"""The verb that estimates each label's share, corrected for the model's errors by the gold."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Literal

import numpy as np
import pandas as pd

from ...errors import ParameterError
from ...frames.labels.gold_sampling_design import Draw, check_read, check_undamaged, need_draw
from ...frames.labels.groups import groups_of
from ...frames.labels.label_codes import code_columns
from ...stats import Array
from ...stats.proportions import LEVEL, wilson
from ...stats.stratified_share import Stratum, frame_share, population_share
from ...text import check_choice, quoted

Of = Literal["frame", "population"]


def shares(
    df: pd.DataFrame,
    label: Hashable,
    *,
    gold: Hashable,
    by: Hashable | list[Hashable] | None = None,
    of: Of = "frame",
    level: float = LEVEL,
) -> pd.DataFrame:
    """Estimate each label's share, corrected for the model's errors by the gold, with an interval.

    Nothing is sent.

    Parameters
    ----------
    df : DataFrame
        All rows, with a label of the model and, where they were drawn, of a person. It is not changed.
    label : column
        The model's labels. A missing one counts as "said none of them".
    gold : column
        The right labels of the rows that :func:`gold_sample` drew.
    by : column or list of columns, optional
        Estimate within each group, from its own gold.
    of : {"frame", "population"}, default "frame"
        Whose shares they are: of these rows, or of the population of which they are a random sample.
    level : float, default 0.95
        How often the intervals hold the truth, 0.5 to 0.999.

    Returns
    -------
    DataFrame
        A row per label (and group): ``rows``; ``said``, the share of rows that the model gave the label; ``share`` with ``low``
        and ``high``, the corrected share; ``gold_rows``, how many rows were read; ``gold_only`` with ``gold_low`` and
        ``gold_high``, the estimate from the gold alone with Wilson's interval.

    Raises
    ------
    ParameterError
        If the gold was not drawn by ``gold_sample``, is empty, or has a label outside the set.

    Notes
    -----
    The rows that the model gave the label and the others are two strata; see
    :func:`tsn_frames.stats.stratified_share.frame_share`. Rows of ``dev`` count by their own gold. Each interval holds for one
    label, not for all at once.

    Examples
    --------
    >>> import tsn_frames as tsn
    >>> df = tsn.sample_messages().query("topic != ''").tsn.gold_sample(60)
    >>> df["gold"] = df["topic"].where(df["gold_split"].eq("test"))
    >>> df["said"] = df["topic"].mask(df["topic"].eq("account"), "billing")  # the model takes one for the other
    >>> found = df.tsn.shares("said", gold="gold")
    >>> found.loc["account", ["said", "share"]].round(2).tolist()
    [0.0, 0.07]
    """
    check_choice("of", of, Of)
    if isinstance(level, bool) or not isinstance(level, (float, np.floating)) or not 0.5 <= level <= 0.999:
        raise ParameterError(f"level must be a number from 0.5 to 0.999, got {quoted(level)}")
    labels, said, truth, draw = codes_and_draw(df, label, gold)
    codes, groups = groups_of(df, by)
    tables = []
    for code, group in enumerate([None] if groups is None else groups):
        rows = codes == code
        table = _table(said[rows], truth[rows], _within(draw, rows, group), len(labels), of=of, level=level)
        tables.append(table.set_index(pd.Index(labels, name="label")))
    return tables[0] if groups is None else pd.concat(tables, keys=groups, names=groups.names)


def codes_and_draw(df: pd.DataFrame, label: Hashable, gold: Hashable) -> tuple[tuple[Any, ...], Array, Array, Draw]:
    """Return the labels, the codes of the model's labels and of gold, and the draw of the rows that have gold."""
    coded, draw = code_columns(df, [label], [gold]), need_draw(df, gold)
    said, truth = coded.columns[label], coded.columns[gold]
    check_read(df, draw, truth >= 0, gold)
    return coded.labels, said, truth, draw


def _within(draw: Draw, rows: Array, group: Any) -> Draw:
    """Return the draw within a group."""
    where = "" if group is None else f" of the group {group!r}"
    check_undamaged(draw, rows, where)
    chances = draw.prob[rows & ~draw.dev]
    if len(chances) and np.ptp(chances) > 1e-9:
        raise ParameterError(
            f"'{draw.name}_prob'{where} goes from {chances.min():.3g} to {chances.max():.3g}: rows of several draws have several "
            "chances. Give by= the column that tells the draws apart"
        )
    return Draw(draw.name, draw.prob[rows], draw.test[rows], draw.dev[rows])


def _table(said: Array, truth: Array, draw: Draw, labels: int, *, of: Of, level: float) -> pd.DataFrame:
    rows = [_row(said == code, truth == code, truth >= 0, draw, of=of, level=level) for code in range(labels)]
    counts = {"rows": len(said), "gold_rows": int((draw.test & (truth >= 0)).sum())}
    frame = pd.DataFrame(rows, columns=_COLUMNS).assign(**counts)[["rows", *_COLUMNS[:4], "gold_rows", *_COLUMNS[4:]]]
    return frame.astype(dict.fromkeys(_COLUMNS, "Float64") | dict.fromkeys(counts, "Int64"))


_COLUMNS = ["said", "share", "low", "high", "gold_only", "gold_low", "gold_high"]


def _row(said: Array, is_it: Array, known: Array, draw: Draw, *, of: Of, level: float) -> list[float]:
    """Return one label's figures; without any gold they are NA but for what the model said."""
    share = float(said.mean()) if len(said) else np.nan
    read, aside = draw.test & known, draw.dev & known
    number, hits = int(read.sum()), int((read & is_it).sum())
    if not number:
        return [share, *[np.nan] * 6]
    pool = ~draw.dev if of == "population" else ~aside
    strata = _stratum(pool & said, read, is_it), _stratum(pool & ~said, read, is_it)
    if of == "population":
        found = population_share(strata, level)
    else:
        found = frame_share(strata, (int(aside.sum()), int((aside & is_it).sum())), level)
    return [share, *found, hits / number, *wilson(hits, number, level)]


def _stratum(part: Array, read: Array, is_it: Array) -> Stratum:
    return Stratum(int(part.sum()), int((part & read).sum()), int((part & read & is_it).sum()))
