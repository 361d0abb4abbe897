"""Histogram of the cost of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..errors import ParameterError
from ..text import did_you_mean, money, plural, quoted
from ..verbs.report.grouping import Report
from ..verbs.report.report import recorded_currency, run_records
from . import axes
from .axes import Axes


def costs(
    costs: pd.DataFrame | pd.Series | Report, column: str = "cost", *, currency: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a histogram of the cost of rows.

    Parameters
    ----------
    costs : DataFrame, Series or Report
        What ``complete`` returned, a column of costs, or what ``df.tsn.cost(...)`` returned: with ``basis="answers"`` also
        rows that came from the cache.
    column : str, default "cost"
        The column of the frame.
    currency : str, optional
        For the label of the axis. Default: that of the report, or of the runs that answered the frame, by the ledger.
    ax : Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A histogram. The axis is logarithmic where a few rows cost much more than most. Rows that cost 0 (from the cache,
        deduplicated, not sent) and rows whose cost is unknown are counted above it.

    Raises
    ------
    ParameterError
        If the frame has no such column, or the column has no numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> from matplotlib.figure import Figure
    >>> costs(pd.Series([0.001, 0.002, 0.002, 0.0]), currency="USD", ax=Figure().subplots()).get_xlabel()
    'cost of 1,000 such rows (USD)'
    """
    if isinstance(costs, Report):
        if costs.title != "Cost":
            raise ParameterError("a report of usage has no costs: give one of df.tsn.cost(...)")
        costs, currency = costs._rows["cost"], currency or costs.currency
    elif isinstance(costs, pd.DataFrame):
        currency = currency or recorded_currency(run_records(costs))
    series = _numbers(costs, column)
    ax = axes.axes(ax)
    paid = series[series > 0].to_numpy()
    if not len(paid):
        return axes.empty(ax, _nothing(series))
    log = bool(len(paid) > 1 and paid.max() > 20 * np.median(paid))
    many = next((n for n in (1, 1_000) if np.median(paid) * n >= 0.01), 1_000_000)  # rows whose cost is easy to read
    ax.hist(paid * many, bins=_bins(paid * many, log=log), color=axes.COLOURS[0], edgecolor=ax.get_facecolor(), linewidth=0.6)
    if log:
        ax.set_xscale("log")
    axes.plain_axis(ax.xaxis)
    axes.plain_axis(ax.yaxis, whole=True)
    what = "cost of a row" if many == 1 else f"cost of {many:,} such rows"
    return axes.style(ax, "Cost of the rows", _note(series, paid, currency), across=axes.in_money(what, currency), up="rows")


def _numbers(costs: Any, column: str) -> pd.Series:
    if isinstance(costs, pd.DataFrame):
        if column not in costs.columns:
            raise ParameterError(f"the frame has no column {column!r}; {did_you_mean(column, costs.columns)}")
        costs = costs[column]
    if not isinstance(costs, pd.Series) or not pd.api.types.is_numeric_dtype(costs.dtype):
        raise ParameterError(f"costs must be a frame with a column of costs, or a Series of numbers, got {quoted(costs)}")
    return costs.astype("float64")


def _nothing(series: pd.Series) -> str:
    if not len(series):
        return "There are no rows."
    unknown = int(series.isna().sum())
    if unknown == len(series):
        return "The cost of no row is known.\nGive the client prices: Client(prices=...)"
    return f"No row cost anything: {plural(len(series) - unknown, 'row')} at 0" + (f", {unknown:,} unknown" if unknown else "")


def _bins(paid: np.ndarray[Any, Any], *, log: bool) -> list[float]:
    low, high = float(paid.min()), float(paid.max())
    if low == high:
        return [0.9 * low, 1.1 * low]
    if log:
        return list(np.geomspace(low, high, min(40, max(5, round(2 * len(paid) ** (1 / 3)))) + 1))
    edges = np.histogram_bin_edges(paid, bins="auto")
    return list(edges if len(edges) <= 41 else np.linspace(low, high, 41))


def _note(series: pd.Series, paid: np.ndarray[Any, Any], currency: str | None) -> str:
    """Return the note above the bars: total, median, share of the most expensive rows, and the rows that aren't drawn."""
    unknown, nothing = int(series.isna().sum()), int((series == 0).sum())
    total, middle = (money(float(of(paid)), currency=currency) for of in (np.sum, np.median))
    parts = [f"total {'at least ' if unknown else ''}{total}, the median row {middle}"]
    if len(paid) >= 20:
        top = np.sort(paid)[-(len(paid) // 10) :].sum() / paid.sum()
        parts.append(f"the top 10 % of rows make {100 * top:.0f} %")
    rest = [f"{n:,} {what}" for n, what in ((nothing, "at 0"), (unknown, "unknown")) if n]
    return "; ".join(parts) + (f"\nnot drawn: {' and '.join(rest)}" if rest else "")
