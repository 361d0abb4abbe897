"""Result of an evaluation: metrics with intervals, and the tables behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from ...frames.result_base import NotedTable


@dataclass(frozen=True, repr=False)
class Evaluation(NotedTable):
    """Labels of a model judged by gold; :func:`evaluate` returns one.

    ``len``, iteration and ``[...]`` are those of ``table``.

    Attributes
    ----------
    table : DataFrame
        A row per metric, with ``value``, ``low``, ``high`` (Float64; the 95 % interval, NA where it can't be trusted) and
        ``rows`` (Int64): ``accuracy`` (a missing label is wrong), ``accuracy_answered``, ``coverage`` (rows that have a label),
        ``balanced_accuracy``, ``macro_f1``, ``kappa`` and ``alpha`` (of the rows that have a label), ``alpha_raters`` of several
        raters, ``brier`` where there is a confidence. Several columns, and groups, stand before the metric in the index.
    labels : DataFrame
        A row per label: ``precision``, ``recall`` and ``f1``, each with ``_low`` and ``_high``; ``gold_rows``, ``said_rows``.
    confusion : DataFrame
        Counts of rows, gold by row and label by column; the column ``no label`` has the rows without one.
    errors : DataFrame
        The judged rows of the frame whose label isn't gold.
    raters : DataFrame
        With gold of several raters, a row per pair: ``left``, ``right``, ``rows``, ``agreement``, ``low``, ``high``, ``kappa``. Each
        rater, and the model on the same rows, is compared with the majority of the other raters.
    by_confidence : DataFrame
        Where the labels have a confidence, a row per threshold ``at_least``: ``rows``, ``kept`` (their share), ``accuracy``,
        ``low``, ``high``.
    pairs : DataFrame
        With several columns of labels, a row per pair: ``left``, ``right``, ``rows``, ``only_left`` and ``only_right`` (rows where
        only one of the two is right), ``difference`` of the accuracies with ``low`` and ``high``, ``p`` of McNemar's exact test.
    notes : tuple of str
        What a reader of the numbers should know.
    """

    table: pd.DataFrame
    labels: pd.DataFrame
    confusion: pd.DataFrame
    errors: pd.DataFrame
    raters: pd.DataFrame
    by_confidence: pd.DataFrame
    pairs: pd.DataFrame
    notes: tuple[str, ...] = ()

    def plot(self, *, ax: Any = None) -> Any:
        """Draw the metrics with their intervals; see :func:`tsn_frames.plot.metric_intervals`."""
        from ...plot.metric_intervals import evaluation

        return evaluation(self, ax=ax)

    def _shown_table(self) -> pd.DataFrame:
        figures = zip(*(self.table[name].array for name in ("value", "low", "high", "rows")), strict=True)
        texts = [
            ("undefined" if value is pd.NA else f"{value:.3f}", "" if low is pd.NA else f"{low:.3f} to {high:.3f}", f"{rows:,}")
            for value, low, high, rows in figures
        ]
        return pd.DataFrame(texts, index=self.table.index, columns=["value", "95 % interval", "rows"])
