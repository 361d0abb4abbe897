"""Axes, colours, number formats and empty charts, shared by all charts.

This module alone imports matplotlib, when the first chart is drawn. Text, lines and backgrounds follow the user's style
(``rcParams``), as in pandas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError, ParameterError
from ..text import quoted

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes  # noqa: PLC0414 - the charts import it from here
else:
    Axes = Any  # for the signatures of the charts

# Colours of Okabe and Ito's palette for the colour-blind (2008) with a contrast of at least 3 to white and to black; grey is for
# the rest.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
REST = "#808080"
FEW = 8


def axes(ax: Axes | None) -> Axes:
    """Return the axes to draw on: those given, else those of a new figure."""
    try:
        from matplotlib import pyplot as plt
        from matplotlib.axes import Axes
    except ImportError:
        raise ConfigError("charts need matplotlib: pip install 'tsn-frames[plot]'") from None
    if ax is None:
        return plt.subplots(layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise ParameterError(f"ax must be a matplotlib Axes, such as plt.subplots()[1], got {quoted(ax)}")
    return ax


def style(ax: Axes, title: str, note: str = "", *, across: str, up: str, grid: str = "y") -> Axes:
    """Label the axes, hide the upper and right spines, draw a grid and put a title with a note above the data."""
    ax.set_xlabel(across + (", log scale" if ax.get_xscale() == "log" else ""), parse_math=False)  # a currency may be called $
    ax.set_ylabel(up, parse_math=False)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis=grid, alpha=0.25, linewidth=0.8)  # type: ignore[arg-type]
    ax.set_axisbelow(True)
    text = f"{title}\n{note}" if note else title
    ax.set_title(text.replace("$", r"\$"), loc="left", fontsize="small", wrap=True)  # wrapped titles always parse formulas
    return ax


def legend(ax: Axes, names: Iterable[object], title: str | None = None) -> None:
    """Add a legend beside the chart, in drawing order; names may have any characters."""
    found = ax.legend(
        ax.containers, [str(at) for at in range(len(ax.containers))], title=title, frameon=False, alignment="left",
        loc="upper left", bbox_to_anchor=(1.0, 1.0),
    )  # fmt: skip
    for text, name in zip(found.get_texts(), names, strict=True):  # matplotlib ignores labels that begin with _
        text.set_parse_math(False)
        text.set_text(short(name))


def short(name: object) -> str:
    """Return a name in one line of at most 24 characters; of a long one its beginning and its end, by which versions differ.

    >>> short("gateway/vendor-large-instruct-2026-10-01")
    'gateway/ven…t-2026-10-01'
    """
    line = " ".join(str(name).split())
    return line if len(line) <= 24 else f"{line[:11]}…{line[-12:]}"


def empty(ax: Axes, why: str) -> Axes:
    """Show a text in place of the chart."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, why, ha="center", va="center", transform=ax.transAxes, wrap=True)
    return ax


def plain_axis(axis: Any, *, whole: bool = False, shown: Callable[[float], str] | None = None) -> None:
    """Format an axis' numbers in full, never as 1e-5, with few enough ticks to be read."""
    from matplotlib import ticker

    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: (shown or plain)(value)))
    if axis.get_scale() != "log":
        axis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 5, 10] if whole else [1, 2, 2.5, 5, 10], integer=whole))
        return
    low, high = axis.get_view_interval()
    wide = high > 1000 * low
    axis.set_major_locator(ticker.LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=8 if wide else 12))
    axis.set_minor_locator(ticker.NullLocator())


def share_axis(axis: Any) -> None:
    """Format an axis' shares as percent."""
    plain_axis(axis, shown=lambda value: f"{plain(100 * value)} %")


def time_axis(ax: Axes, places: np.ndarray[Any, Any], names: list[str]) -> None:
    """Label each time of an axis where they are few; else let matplotlib choose."""
    from matplotlib import dates

    if len(places) <= FEW:
        ax.set_xticks(places, names)
        ax.margins(x=max(0.05, 0.5 - len(places) / 10))
        return
    made: Any = dates
    locator = made.AutoDateLocator(maxticks=8)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(made.ConciseDateFormatter(locator))


def plain(value: float) -> str:
    """Return a number in full, with six significant digits at most.

    >>> plain(0.00015000000000000001), plain(1234567.0), plain(0)
    ('0.00015', '1,234,567', '0')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else np.format_float_positional(float(f"{value:.6g}"), trim="-")


def in_money(what: str, currency: str | None) -> str:
    """Return an axis' label with its unit."""
    return f"{what} ({currency})" if currency else f"{what} (in the prices' currency)"
