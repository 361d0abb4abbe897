"""Chart of each model's cost against its agreement with gold."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..errors import ParameterError
from ..frames.result_base import FrameLike
from ..text import quoted
from . import axes
from .axes import Axes

_MARKERS = "os^Dv*PX"


def compare(comparison: FrameLike | pd.DataFrame, *, currency: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the cost of each model's answers against their agreement with gold.

    Parameters
    ----------
    comparison : Comparison or DataFrame
        What :func:`tsn_frames.compare` returned with ``gold=``, or its table.
    currency : str, optional
        For the label of the axis. Default: that of the table.
    ax : Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A point per model with the 95 % interval of its agreement. The best are at the top left. Models without a cost or
        an answer to judge are listed above it.

    Raises
    ------
    ParameterError
        If it is not a comparison, or one without gold.
    """
    table = comparison.to_frame() if isinstance(comparison, FrameLike) else comparison
    if not isinstance(table, pd.DataFrame) or not {"cost", "answered"} <= set(table.columns):
        raise ParameterError(f"a comparison is needed, as tsn.compare returns one, got {quoted(comparison)}")
    if "agreement" not in table:
        raise ParameterError("the comparison has no gold to agree with: give compare(..., gold=...)")
    units = table["currency"].dropna().unique().tolist() if "currency" in table else []
    if len(units) > 1:
        raise ParameterError(f"the models' costs are in several currencies, {units}, which can't be compared")
    currency = currency or next(iter(units), None)
    ax = axes.axes(ax)
    names = ["agreement", "agreement_low", "agreement_high"]
    points = (
        table[names].astype("float64").assign(cost=table["cost"].astype("float64") / table["answered"].astype("float64") * 1000)
    )
    known = points[points.notna().all(axis=1) & np.isfinite(points["cost"])]
    if known.empty:
        return axes.empty(ax, "No model has both a known cost and an answer to judge.")
    _points(ax, known)
    lost = [axes.short(label) for label in points.index.difference(known.index, sort=False)]
    note = f"not drawn, cost or agreement unknown: {', '.join(lost)}" if lost else ""
    across = axes.in_money("cost of 1,000 answers", currency)
    return axes.style(
        ax, "Cost and agreement with gold", note, across=across, up="agreement with gold (95 % interval)", grid="both"
    )


def _points(ax: Axes, known: pd.DataFrame) -> None:
    low, high = known["agreement"] - known["agreement_low"], known["agreement_high"] - known["agreement"]
    for at in range(len(known)):
        ax.errorbar(
            known["cost"].iloc[at], known["agreement"].iloc[at], yerr=[[low.iloc[at]], [high.iloc[at]]],
            fmt=_MARKERS[at % len(_MARKERS)], color=axes.COLOURS[at % len(axes.COLOURS)], elinewidth=1.6, capsize=4,
        )  # fmt: skip
    if known["cost"].min() > 0 and known["cost"].max() > 10 * known["cost"].min():
        ax.set_xscale("log")
        ax.margins(x=0.25)
    else:
        ax.set_xlim(0, known["cost"].max() * 1.3 or 1)
    axes.plain_axis(ax.xaxis)
    axes.share_axis(ax.yaxis)
    axes.legend(ax, known.index)
