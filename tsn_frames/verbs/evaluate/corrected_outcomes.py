"""The verb that makes of labels the outcomes of a regression, unbiased whatever the model's errors depend on."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pandas as pd

from ...frames.labels.gold_sampling_design import check_undamaged
from ...stats import Array
from ...text import warn
from .corrected_shares import codes_and_draw
from .metrics import FEW


def corrected(df: pd.DataFrame, label: Hashable, *, gold: Hashable) -> pd.DataFrame:
    """Return a column per label for use as the outcome of a linear regression over all rows.

    Nothing is sent. The model's labels as an outcome bias a regression where its errors depend on a covariate. These columns
    don't: regress one of them with heteroscedasticity-robust standard errors (HC3).

    Parameters
    ----------
    df : DataFrame
        All rows. It is not changed.
    label : column
        The model's labels. A missing one counts as "said none of them".
    gold : column
        The right labels of the rows that :func:`gold_sample` drew.

    Returns
    -------
    DataFrame
        With the frame's index, a Float64 column per label, whose mean estimates the label's share. Values are beyond 0 and 1
        where a row was read. ``.attrs["weights"]`` has the weight of the model's labels, by label.

    Raises
    ------
    ParameterError
        If the gold was not drawn by ``gold_sample``, is empty, or has a label outside the set.

    Notes
    -----
    The value of a row is ``m + read / prob * (gold - m)`` with ``m = c + w * said``: the difference estimator (C.-E. Särndal,
    B. Swensson and J. Wretman, "Model Assisted Survey Sampling", 1992, section 6.3). The weight w is cov(gold, said) /
    var(said) of the rows read, cut to 0 to 1, as in A. N. Angelopoulos, J. C. Duchi and T. Zrnic, "PPI++: Efficient
    Prediction-Powered Inference" (2023); c is the mean of gold - w * said in them, without which the column varies more than
    gold alone where a label is frequent. N. Egami and others (2023) use w = 1 and c = 0 for regressions. ``dev`` rows have their own gold, and are NA
    without. For a label as a covariate, and for logistic models, pass ``gold_prob`` to their R package dsl.

    Examples
    --------
    >>> import tsn_frames as tsn
    >>> df = tsn.sample_messages().query("topic != ''").tsn.gold_sample(120)
    >>> df["gold"] = df["topic"].where(df["gold_split"].eq("test"))
    >>> df["said"] = df["topic"].mask(df["topic"].eq("account"), "billing")
    >>> outcome = df.tsn.corrected("said", gold="gold")
    >>> outcome["billing"].mean().round(3).item(), outcome.attrs["weights"]["praise"]
    (0.158, 1.0)
    """
    labels, said, truth, draw = codes_and_draw(df, label, gold)
    check_undamaged(draw, np.full(len(df), fill_value=True), "")
    read, aside = draw.test & (truth >= 0), draw.dev
    chance = draw.prob * (read.sum() / draw.test.sum())
    out, weights = pd.DataFrame(index=df.index), {}
    for code, name in enumerate(labels):
        predicted, right = (said == code).astype(float), (truth == code).astype(float)
        weight = weights[name] = _weight(right[read], predicted[read])
        mean = weight * predicted + (right - weight * predicted)[read].mean()
        value = mean + read / chance * (right - mean)
        value[aside] = np.where(truth[aside] >= 0, right[aside], np.nan)
        out[name] = pd.array(value, dtype="Float64")
    gold_rows = zip(labels, np.bincount(truth[read], minlength=len(labels)), strict=True)
    if few := [f"{name!r} ({rows})" for name, rows in gold_rows if rows < FEW]:
        warn(f"labels have fewer than {FEW} gold rows, too few for a regression on their columns: {', '.join(few)}")
    out.attrs["weights"] = weights
    return out


def _weight(right: Array, predicted: Array) -> float:
    """Return the weight of the model's label with the least variance, from the rows that were read."""
    spread = float(((predicted - predicted.mean()) ** 2).mean())
    if not spread:
        return 0.0
    return float(np.clip(((right - right.mean()) * (predicted - predicted.mean())).mean() / spread, 0.0, 1.0))
