"""Metrics of one column of labels against gold, each with an interval, or a note why it has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ...stats import Array
from ...stats.bootstrap import bootstrap_interval
from ...stats.classification import ConfusionCounts, balanced_accuracy, kappa, macro_f1
from ...stats.krippendorff import Ratings, alpha
from ...stats.proportions import LEVEL, f1_interval, mean_of_proportions, normal_quantile, wilson

FEW = 5  # gold rows of a label, below which a mean over labels has no interval
FEW_ROWS = 30  # rows, below which a bootstrap or a normal interval isn't trusted
NO_LABEL = "no label"
NO_INTERVAL = (float("nan"), float("nan"))


class Metric(NamedTuple):
    """A figure, its interval, and the rows that it is computed from."""

    value: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True)
class Judged:
    """The judged rows of a column of labels: codes of gold, of the label (-1: none), and of all raters, with the labels there are."""

    gold: Array
    predicted: Array
    raters: Array
    confidence: Array | None  # in each label, where it is known
    labels: Sequence[Any]
    ordered: bool

    @property
    def right(self) -> Array:
        """Which labels are gold."""
        return np.asarray(self.predicted == self.gold)

    def only(self, rows: Array) -> Judged:
        """Return some of the rows."""
        confidence = None if self.confidence is None else self.confidence[rows]
        return replace(
            self, gold=self.gold[rows], predicted=self.predicted[rows], raters=self.raters[rows], confidence=confidence
        )


def metrics_of(judged: Judged, notes: list[str]) -> pd.DataFrame:
    """Return a row per metric, and add notes on what has no value or no interval."""
    rows, answered = len(judged.gold), judged.predicted >= 0
    hits, given = int(judged.right.sum()), judged.only(answered)
    out = {
        "accuracy": _proportion(hits, rows),
        "accuracy_answered": _proportion(hits, int(answered.sum())),
        "coverage": _proportion(int(answered.sum()), rows),
        **_means_over_labels(judged, notes),
        "kappa": _kappa(given, notes),
        "alpha": _alpha("alpha", np.column_stack([given.gold, given.predicted]), judged, notes),
    }
    if judged.raters.shape[1] > 1:
        out["alpha_raters"] = _alpha("alpha_raters", judged.raters, judged, notes)
    if judged.confidence is not None:
        out["brier"] = _brier(judged.confidence, judged.right, notes)
    frame = pd.DataFrame(out.values(), index=pd.Index(out, name="metric"), columns=list(Metric._fields))
    return frame.astype({"value": "Float64", "low": "Float64", "high": "Float64", "rows": "Int64"})


def labels_of(judged: Judged) -> pd.DataFrame:
    """Return a row per label: precision, recall and F1, each with its interval, gold rows and rows that were given the label."""
    pairs = ConfusionCounts.of(judged.gold, judged.predicted, len(judged.labels))
    counted = pairs.by_label(pairs.counts)
    rows = []
    for gold, predicted, hits in zip(
        *(part.astype(int).tolist() for part in (counted.gold, counted.predicted, counted.hits)), strict=True
    ):
        either = gold + predicted - hits
        f1 = (2 * hits / (gold + predicted) if either else np.nan, *f1_interval(hits, either))
        rows.append([*_proportion(hits, predicted)[:3], *_proportion(hits, gold)[:3], *f1, gold, predicted])
    names = [f"{name}{end}" for name in ("precision", "recall", "f1") for end in ("", "_low", "_high")]
    frame = pd.DataFrame(rows, index=pd.Index(judged.labels, name="label"), columns=[*names, "gold_rows", "said_rows"])
    return frame.astype(dict.fromkeys(names, "Float64") | dict.fromkeys(("gold_rows", "said_rows"), "Int64"))


def confusion_of(judged: Judged) -> pd.DataFrame:
    """Return a table of counts, gold by row and the label by column, with a column of rows without one where there are such."""
    labels = len(judged.labels)
    counts = np.bincount(judged.gold * (labels + 1) + judged.predicted + 1, minlength=labels * (labels + 1)).reshape(
        labels, labels + 1
    )
    frame = pd.DataFrame(counts[:, 1:], index=pd.Index(judged.labels, name="gold"), columns=pd.Index(judged.labels, name="label"))
    if counts[:, 0].any():
        frame[NO_LABEL] = counts[:, 0]
    return frame


def by_confidence_of(judged: Judged) -> pd.DataFrame:
    """Return a row per threshold: the rows at least as confident, their share of all, and their accuracy; none without confidence."""
    confidence = np.zeros(0) if judged.confidence is None else judged.confidence
    known = confidence[np.isfinite(confidence)]
    levels = np.unique(known)
    if len(levels) > 10:
        levels = np.unique(np.quantile(known, np.linspace(0, 0.9, 10), method="lower"))
    kept = [judged.right[confidence >= level] for level in levels]
    rows = [[len(one), len(one) / len(confidence), *_proportion(int(one.sum()), len(one))[:3]] for one in kept]
    names = ["rows", "kept", "accuracy", "low", "high"]
    frame = pd.DataFrame(rows, index=pd.Index(levels, name="at_least", dtype="float64"), columns=names)
    return frame.astype({"rows": "Int64"} | dict.fromkeys(names[1:], "Float64"))


def _proportion(hits: int, rows: int) -> Metric:
    return Metric(hits / rows if rows else np.nan, *wilson(hits, rows), rows)


def _means_over_labels(judged: Judged, notes: list[str]) -> dict[str, Metric]:
    pairs = ConfusionCounts.of(judged.gold, judged.predicted, len(judged.labels))
    counted, rows = pairs.by_label(pairs.counts), len(judged.gold)
    found = {"balanced_accuracy": float(balanced_accuracy(counted)), "macro_f1": float(macro_f1(counted))}
    few = np.flatnonzero((counted.gold < FEW) & (counted.gold + counted.predicted > 0))
    if len(few):
        named = ", ".join(f"{judged.labels[code]!r} ({counted.gold[code]:.0f})" for code in few[:5]) + ", ..." * (len(few) > 5)
        notes.append(f"{' and '.join(found)} have no interval, since labels have fewer than {FEW} gold rows: {named}")
        return {name: Metric(value, *NO_INTERVAL, rows) for name, value in found.items()}
    there = counted.gold > 0
    ends = mean_of_proportions(counted.hits[there].astype(int).tolist(), counted.gold[there].astype(int).tolist())
    return {
        "balanced_accuracy": Metric(found["balanced_accuracy"], *ends, rows),
        "macro_f1": _bootstrapped("macro_f1", lambda counts: macro_f1(pairs.by_label(counts)), pairs.counts, notes),
    }


def _kappa(given: Judged, notes: list[str]) -> Metric:
    pairs = ConfusionCounts.of(given.gold, given.predicted, len(given.labels))
    return _bootstrapped("kappa", partial(kappa, pairs, ordered=given.ordered), pairs.counts, notes)


def _alpha(name: str, ratings: Array, judged: Judged, notes: list[str]) -> Metric:
    made = Ratings.of(ratings, len(judged.labels))
    return _bootstrapped(name, partial(alpha, made, ordered=judged.ordered), made.counts, notes)


def _bootstrapped(name: str, statistic: Callable[[Array], Array], counts: Array, notes: list[str]) -> Metric:
    """Return a statistic of counted rows with its bootstrap interval."""
    rows = int(counts.sum())
    value = float(statistic(counts)) if rows else np.nan
    if np.isnan(value):
        why = "no row has two labels to compare" if not rows else "all labels are the same, so no disagreement could be expected"
        notes.append(f"{name} is undefined: {why}")
        return Metric(value, *NO_INTERVAL, rows)
    ends = bootstrap_interval(statistic, counts, LEVEL) if rows >= FEW_ROWS else NO_INTERVAL
    if np.isnan(ends[0]):
        why = f"there are fewer than {FEW_ROWS} rows" if rows < FEW_ROWS else "too few rows disagree"
        notes.append(f"{name} has no interval: {why}")
    return Metric(value, *ends, rows)


def _brier(confidence: Array, right: Array, notes: list[str]) -> Metric:
    """Return the mean squared distance of confidence from being right (G. W. Brier, Monthly Weather Review 78, 1950, 1-3)."""
    known = np.isfinite(confidence)
    losses = (confidence[known] - right[known]) ** 2
    if not len(losses):
        return Metric(np.nan, *NO_INTERVAL, 0)
    mean = float(losses.mean())
    if len(losses) < FEW_ROWS:
        notes.append(f"brier has no interval: there are fewer than {FEW_ROWS} rows")
        return Metric(mean, *NO_INTERVAL, len(losses))
    half = normal_quantile(LEVEL) * float(losses.std(ddof=1)) / len(losses) ** 0.5
    return Metric(mean, max(0.0, mean - half), min(1.0, mean + half), len(losses))
