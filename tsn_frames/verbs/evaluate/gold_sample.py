"""The verb that draws the rows whose gold labels a person gives."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from ...errors import ColumnError, ParameterError
from ...frames.labels.gold_sampling_design import DEV, TEST
from ...frames.labels.groups import groups_of
from ...stats import Array
from ...stats.systematic_sampling import systematic_sample
from ...text import check_name, plural, quoted


def gold_sample(
    df: pd.DataFrame,
    n: int,
    *,
    dev: int = 0,
    by: Hashable | list[Hashable] | None = None,
    random_state: int = 0,
    name: str = "gold",
) -> pd.DataFrame:
    """Draw the rows whose right labels a person gives, at random, each row with the same chance.

    Nothing is sent. Label these rows without looking at the model's label, in a column called like ``name``; then
    :func:`evaluate`, :func:`shares` and :func:`corrected` conclude from them about all rows.

    Parameters
    ----------
    df : DataFrame
        The rows. It is not changed.
    n : int
        How many rows to draw for the test part: 100 to 400 are usual.
    dev : int, default 0
        How many further rows to draw for writing prompts and choosing examples. Figures are never computed from them.
    by : column or list of columns, optional
        Draw in proportion within these groups, so that each gets its exact share of the rows, rounded up or down.
    random_state : int, default 0
        Seed of the draw. The same frame and arguments draw the same rows.
    name : str, default "gold"
        What the columns begin with.

    Returns
    -------
    DataFrame
        The frame with ``gold_prob``, a row's chance to be drawn for the test part (1 for ``dev`` rows, which are set aside
        first), and ``gold_split``: ``test``, ``dev`` or NA. A frame that has this very draw is returned as it is.

    Raises
    ------
    ParameterError
        If the frame has fewer rows than are asked for, or a parameter is out of its range.
    ColumnError
        If the frame has another draw of this name.

    Notes
    -----
    The draw is simple random, or systematic from rows in random order within ``by``. Equal texts are separate rows.

    Examples
    --------
    >>> import tsn_frames as tsn
    >>> drawn = tsn.sample_messages().tsn.gold_sample(40, dev=10)
    >>> drawn["gold_split"].value_counts().to_dict()
    {'test': 40, 'dev': 10}
    """
    for word, value, least in (("n", n, 1), ("dev", dev, 0), ("random_state", random_state, 0)):
        if not pd.api.types.is_integer(value) or value < least:
            raise ParameterError(f"{word} must be a whole number of at least {least}, got {quoted(value)}")
    check_name(name)
    if n + dev > len(df):
        raise ParameterError(f"the frame has {plural(len(df), 'row')}: n={n} and dev={dev} are {n + dev:,}, take fewer")
    groups, _ = groups_of(df, by)
    prob, split = _drawn(groups, int(n), int(dev), int(random_state))
    columns: dict[str, Any] = {f"{name}_prob": prob, f"{name}_split": split}
    if there := [column for column in columns if column in df.columns]:
        if all(column in there and _equal(df[column], columns[column]) for column in columns):
            return df.copy()
        raise ColumnError(
            f"the frame has {' and '.join(map(repr, there))} already, of another draw: gold of one draw can't stand for another. "
            f"Drop the columns, and the labels given to their rows, to draw again, or say name="
        )
    return df.assign(**columns)


def _drawn(groups: Array, n: int, dev: int, seed: int) -> tuple[Array, pd.api.extensions.ExtensionArray]:
    """Return each row's chance, and its part."""
    rng, rows = np.random.default_rng(seed), len(groups)
    aside = systematic_sample(groups, dev, rng)
    rest = np.delete(np.arange(rows), aside)
    prob, split = np.full(rows, n / max(len(rest), 1)), np.full(rows, None, dtype=object)
    prob[aside], split[aside] = 1.0, DEV
    split[rest[systematic_sample(groups[rest], n, rng)]] = TEST
    return prob, pd.array(split, dtype="string")


def _equal(column: Any, values: Any) -> bool:
    return isinstance(column, pd.Series) and pd.Series(values, index=column.index).astype(object).equals(column.astype(object))
