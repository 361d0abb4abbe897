"""Group-by table of usage or cost, and the report that shows it."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...errors import ParameterError
from ...frames.labels.groups import groups_of
from ...frames.result_base import FrameLike
from ...text import plural


class Report(FrameLike):
    """Usage or cost of the answers of a frame: a summary in sentences, and a table with a row per group.

    ``len``, iteration and ``[...]`` are those of the table.

    Attributes
    ----------
    total : float
        The total cost, in a cost report; a lower bound where ``at_least`` is true.
    at_least : bool
        Whether some of it is unknown.
    currency : str or None
        Of the cost, where it is known.
    left_out : str
        A sentence on what other runs have paid for answers that this frame took from the cache; "" where they paid nothing.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> sim = tsn.simulate(latency=0.0)
    >>> out = pd.DataFrame({"text": ["Hi", "Hello"]}).tsn.complete("Answer politely: {text}")
    >>> report = out.tsn.cost(by="text")
    >>> list(report.to_frame().index), len(report.top(1))
    (['Hello', 'Hi'], 1)
    >>> len(report), report["rows"].tolist()
    (2, [1, 1])
    >>> sim.close()
    """

    def __init__(self, title: str, lines: Sequence[str], table: pd.DataFrame, df: pd.DataFrame, rows: pd.DataFrame) -> None:
        self.title, self.lines = title, list(lines)
        self._grouped = len(table) > 1 or table.index.name is not None
        self.total, self.at_least = float("nan"), bool(table["at_least"].any())
        self.currency: str | None = None
        self.left_out = ""
        self._table, self._df, self._rows = table, df, rows

    def to_frame(self) -> pd.DataFrame:
        """Return the table: a row per group, a single row without ``by``."""
        return self._table.copy()

    def top(self, n: int = 10) -> pd.DataFrame:
        """Return the ``n`` rows of the frame that cost or used most, in descending order, with all of their columns."""
        if not pd.api.types.is_integer(n) or n < 1:
            raise ParameterError(f"n must be a whole number of at least 1, got {n!r}")
        order = self._rows["value"].reset_index(drop=True).sort_values(ascending=False, kind="stable").dropna()
        return self._df.iloc[order.index[:n]]

    def __repr__(self) -> str:
        table = f"\n{self._table.to_string(max_rows=20)}" if self._grouped else ""
        below = f"\n{self.left_out}" if self.left_out else ""
        return f"{self.title}: " + "\n  ".join(self.lines) + table + below

    def _repr_html_(self) -> str:
        sentences = "<br>".join(html.escape(line) for line in self.lines)
        below = f"<div style='padding-left:5px'>{html.escape(self.left_out)}</div>" if self.left_out else ""
        table = self._table.to_html(max_rows=20, escape=True) if self._grouped else ""
        return f"<div style='padding-left:5px'><b>{html.escape(self.title)}</b><br>{sentences}</div>{table}{below}"


def grouped(df: pd.DataFrame, by: Any, rows: pd.DataFrame, parts: Mapping[str, pd.Series], *, sums: Sequence[str],
            of: str = "total_tokens") -> pd.DataFrame:  # fmt: skip
    """Return a row per group: counts, sums, statistics of ``value``, and partial sums.

    ``rows`` has usage and cost of each row of ``df``; ``by`` is None for a single group. ``parts`` has for each partial sum the rows
    over which ``of``, or the column of that name if there is one, is summed.
    """
    codes, found = groups_of(df, by)
    index = pd.Index(["all"]) if found is None else found
    flat = rows.reset_index(drop=True)
    groups, out = flat.groupby(codes), pd.DataFrame(index=range(len(index)))
    counts = {"rows": groups.size(), **{name: groups[name].sum() for name in _COUNTS[1:]}}
    out = out.assign(**{name: count.reindex(out.index, fill_value=0).astype("int64") for name, count in counts.items()})
    unknown = groups["unknown"].any().reindex(out.index, fill_value=False).astype(bool)
    for name in sums:
        total = groups[name].sum(min_count=1).reindex(out.index)
        out[name] = total.mask(total.isna() & ~unknown, 0.0) if flat[name].notna().any() or name == of or flat.empty else total
    values = groups["value"]
    statistics = {"mean": values.mean(), "median": values.median(), "q90": values.quantile(0.9), "max": values.max()}
    shares = {name: _part(flat[name if name in flat else of], where, codes, out.index) for name, where in parts.items()}
    return out.assign(**statistics, **shares, at_least=unknown).set_index(index)


_COUNTS = ("rows", "answered", "cached", "copied", "failed", "skipped", "not_sent")


def _part(values: pd.Series, where: pd.Series, codes: np.ndarray[Any, Any], index: pd.Index) -> pd.Series:
    """Return each group's sum over the chosen rows; NaN where there are some and all of their values are unknown."""
    chosen = pd.Series(where.to_numpy())
    some, sums = chosen.groupby(codes).any(), values.where(chosen).groupby(codes).sum(min_count=1)
    return sums.where(some, 0.0).reindex(index, fill_value=0.0)


def statistics_text(whole: pd.Series, shown: Callable[[float], str], of: str) -> str:
    """Return mean, median, 90 % quantile and maximum of a table's row in words; an empty text where there are none."""
    if pd.isna(whole["mean"]):
        return ""
    return f"; mean {shown(whole['mean'])}, median {shown(whole['median'])}, 90 % up to {shown(whole['q90'])}, most {shown(whole['max'])} {of}"


def least(whole: pd.Series) -> str:
    """Return what stands before a sum of a table's row, some of which is unknown."""
    return "at least " if whole["at_least"] else ""


def counted(whole: pd.Series) -> str:
    """Return the counts of a table's row in words."""
    words = {"cached": "cached", "copied": "deduplicated", "failed": "failed", "skipped": "missing", "not_sent": "not sent"}
    detail = ", ".join(f"{int(whole[name]):,} {word}" for name, word in words.items() if whole[name])
    return f"{int(whole['answered']):,} of {plural(int(whole['rows']), 'row')} answered{f' ({detail})' if detail else ''}"
