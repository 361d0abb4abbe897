"""Gold of several raters: their majority, and how well each of them, and the model, agrees with the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ...stats import Array
from ...stats.classification import ConfusionCounts, kappa
from ...stats.proportions import wilson


def majority(ratings: Array, labels: int) -> Array:
    """Return each row's most frequent code, -1 where there is none or a tie; columns are raters, -1 is a gap.

    >>> majority(np.array([[0, 0, 1], [0, 1, -1], [-1, -1, 1]]), 2).tolist()
    [0, -1, 1]
    """
    votes = (ratings[:, :, None] == np.arange(labels)).sum(axis=1)
    most = votes.max(axis=1, initial=0)
    clear = (votes == most[:, None]).sum(axis=1) == 1
    return np.where(clear & (most > 0), votes.argmax(axis=1) if labels else -1, -1)


def agreement_table(
    raters: Mapping[Any, Array], models: Mapping[Any, Array], labels: Sequence[Any], *, ordered: bool
) -> pd.DataFrame:
    """Return a row per pair that is compared: rater with rater, and rater and model with the majority of the other raters."""
    number = len(labels)
    rows = [_pair(left, right, raters[left], raters[right], number, ordered=ordered) for left, right in combinations(raters, 2)]
    for name in raters if len(raters) > 1 else ():
        rest = majority(np.column_stack([codes for other, codes in raters.items() if other != name]), number)
        rest = np.where(raters[name] >= 0, rest, -1)  # the same rows for the rater and for the models
        rows += [
            _pair(left, f"all but {name}", codes, rest, number, ordered=ordered)
            for left, codes in ({name: raters[name]} | dict(models)).items()
        ]
    names = {"left": "string", "right": "string", "rows": "Int64", "agreement": "Float64", "low": "Float64", "high": "Float64", "kappa": "Float64"}  # fmt: skip
    return pd.DataFrame(rows, columns=list(names)).astype(names)


def _pair(left: Any, right: Any, a: Array, b: Array, labels: int, *, ordered: bool) -> list[Any]:
    both = (a >= 0) & (b >= 0)
    rows, same = int(both.sum()), int((a[both] == b[both]).sum())
    pairs = ConfusionCounts.of(b[both], a[both], labels)
    value = float(kappa(pairs, pairs.counts, ordered=ordered)) if rows else np.nan
    return [str(left), str(right), rows, same / rows if rows else np.nan, *wilson(same, rows), value]
