"""Chart of spending over time, from the ledger."""

from __future__ import annotations

from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from ..engine.ledger.frames import time_zone
from ..engine.ledger.ledger import Ledger
from ..engine.runtime.client import Client, client_or_default
from ..errors import ParameterError
from ..text import check_choice, did_you_mean, money, plural, quoted
from . import axes
from .axes import Axes

Every = Literal["hour", "day", "month"]
_PERIODS = {"hour": ("h", 1 / 24, "%d %b %H:%M"), "day": ("D", 1.0, "%d %b"), "month": ("M", 30.0, "%b %Y")}


def spending(
    ledger: Ledger | Client | pd.DataFrame | None = None,
    *,
    by: str | None = "model",
    every: Every = "day",
    timezone: str = "UTC",
    ax: Axes | None = None,
) -> Axes:
    """Draw spending over time, from the ledger.

    Parameters
    ----------
    ledger : Ledger, Client or DataFrame, optional
        A DataFrame is ``ledger.to_frame()`` or rows of it. Default: the ledger of the client that is set.
    by : {"model", "tag", "run", "host"} or None, default "model"
        Column that divides the bars. The four groups with the highest cost have a colour each, the others share one.
    every : {"hour", "day", "month"}, default "day"
        The period of a bar.
    timezone : str, default "UTC"
        Time zone of the periods, such as ``"Europe/Kyiv"``.
    ax : Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Stacked bars. Requests whose cost is unknown are counted above them.

    Raises
    ------
    ParameterError
        If the ledger has several currencies, or a word is none of the choice.
    ConfigError
        If matplotlib is not installed.
    """
    check_choice("every", every, Every)
    zone = time_zone(timezone)
    lines = _lines(ledger)
    if by is not None and by not in lines.columns:
        raise ParameterError(f"by= must be a column of the ledger, got {quoted(by)}; {did_you_mean(by, lines.columns, most=20)}")
    currency = _one_currency(lines)
    ax = axes.axes(ax)
    known = lines[lines["cost"].notna()]
    if known.empty:
        return axes.empty(ax, "Nothing was spent yet." if lines.empty else "No cost is known: give the client prices.")
    table = _by_period(known, by, every, zone)
    _bars(ax, table, every)
    if by is not None:
        axes.legend(ax, table.columns, title=by)
    title = f"Spending by {every}{f' and {by}' if by else ''}"
    return axes.style(ax, title, _total(lines, currency), across=f"{every} ({timezone})", up=axes.in_money("spent", currency))


def _lines(ledger: Any) -> pd.DataFrame:
    """Return the lines of a ledger, a client or a frame."""
    if ledger is None or isinstance(ledger, Client):
        ledger = client_or_default(ledger).ledger
    found = ledger.to_frame() if isinstance(ledger, Ledger) else ledger
    if not isinstance(found, pd.DataFrame) or not {"time", "cost"} <= set(found.columns):
        raise ParameterError(f"ledger must be a Ledger, a Client, or rows of ledger.to_frame(), got {quoted(ledger)}")
    times = pd.to_datetime(found["time"], utc=True)  # texts, in a frame that was saved and loaded
    return found.assign(time=times, cost=pd.to_numeric(found["cost"])).reset_index(drop=True)


def _one_currency(lines: pd.DataFrame) -> str | None:
    paid = lines.loc[lines["cost"].notna(), "currency"] if "currency" in lines else pd.Series([], dtype="string")
    found = sorted(paid.dropna().unique())
    if len(found) + paid.isna().any() > 1:
        listed = ", ".join([*map(repr, found), *(["none"] if paid.isna().any() else [])])
        one = f"lines[lines['currency'] == {found[0]!r}]"
        raise ParameterError(f"the ledger has several currencies, {listed}, which can't be added up: draw one of them, {one}")
    return found[0] if found else None


def _by_period(known: pd.DataFrame, by: str | None, every: Every, zone: ZoneInfo) -> pd.DataFrame:
    """Return a row per period with spending and a column per group, in descending order of cost."""
    begins = known["time"].dt.tz_convert(zone).dt.tz_localize(None).dt.to_period(_PERIODS[every][0]).dt.start_time
    groups = (
        pd.Series("all", index=known.index) if by is None else known[by].astype("object").where(known[by].notna(), f"(no {by})")
    )
    totals = known["cost"].astype("float64").groupby(groups).sum().sort_values(ascending=False)
    if len(totals) > len(axes.COLOURS):
        named = totals.index[: len(axes.COLOURS)]
        groups = groups.where(groups.isin(named), rest := plural(len(totals) - len(named), "other"))
        totals = totals[named].rename(index=None)
        totals[rest] = 0.0
    table = pd.crosstab(begins, groups, known["cost"].astype("float64"), aggfunc="sum").fillna(0.0)
    return table[[label for label in totals.index if label in table]]


def _bars(ax: Axes, table: pd.DataFrame, every: Every) -> None:
    places, base = table.index.to_numpy(), np.zeros(len(table))
    _, days, shown = _PERIODS[every]
    for label, colour in zip(table.columns, (*axes.COLOURS, axes.REST)):
        ax.bar(places, table[label], width=0.8 * days, bottom=base, color=colour)
        base = base + table[label].to_numpy()
    axes.plain_axis(ax.yaxis)
    axes.time_axis(ax, places, [begin.strftime(shown) for begin in table.index])


def _total(lines: pd.DataFrame, currency: str | None) -> str:
    unknown = int(lines["cost"].isna().sum())
    total = money(float(lines["cost"].sum()), currency=currency)
    return f"total at least {total}; the cost of {plural(unknown, 'request')} is unknown" if unknown else f"total {total}"
