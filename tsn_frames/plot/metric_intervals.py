"""Chart of metrics with their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..errors import ParameterError
from ..frames.result_base import FrameLike
from ..text import quoted
from . import axes
from .axes import Axes


def evaluation(evaluation: FrameLike | pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the metrics of an evaluation with their intervals.

    Parameters
    ----------
    evaluation : Evaluation or DataFrame
        What ``df.tsn.evaluate(...)`` returned, or its table.
    ax : Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A line per metric, with a point per column of labels or group, and its 95 % interval where there is one. Metrics that are
        undefined are left out.

    Raises
    ------
    ParameterError
        If it is not an evaluation.
    ConfigError
        If matplotlib is not installed.
    """
    table = evaluation.to_frame() if isinstance(evaluation, FrameLike) else evaluation
    if not isinstance(table, pd.DataFrame) or "metric" not in table.index.names or not {"value", "low", "high"} <= set(table):
        raise ParameterError(f"an evaluation is needed, as df.tsn.evaluate(...) returns one, got {quoted(evaluation)}")
    ax = axes.axes(ax)
    known = table[table["value"].notna()]
    if known.empty:
        return axes.empty(ax, "No metric is defined.")
    metrics = list(dict.fromkeys(known.index.get_level_values("metric")))
    others = [level for level, name in enumerate(known.index.names) if name != "metric"]
    level = others[0] if len(others) == 1 else others
    series = dict(list(known.groupby(level=level, sort=False, dropna=False))) if others else {"": known}
    for at, table_of_one in enumerate(series.values()):
        _points(ax, table_of_one, metrics, at, len(series))
    ax.set_yticks(range(len(metrics)), metrics)
    ax.invert_yaxis()
    if len(series) > 1:
        axes.legend(ax, series)
    return axes.style(ax, "Agreement with gold", across="value (95 % interval)", up="", grid="x")


def _points(ax: Axes, table: pd.DataFrame, metrics: list[str], at: int, series: int) -> None:
    value, low, high = (table[name].to_numpy(dtype="float64", na_value=np.nan) for name in ("value", "low", "high"))
    lines = [metrics.index(metric) + (at - (series - 1) / 2) * 0.6 / series for metric in table.index.get_level_values("metric")]
    spread = np.array([value - low, high - value]).clip(min=0)  # nan: no interval, and no bar
    ax.errorbar(value, lines, xerr=spread, fmt="o", color=axes.COLOURS[at % len(axes.COLOURS)], elinewidth=1.6, capsize=4)
