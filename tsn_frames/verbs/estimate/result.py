"""An estimate as its user holds it: what a call would send, use and cost, each number with what it rests on."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from ...text import money, plural
from .survey_sampling import Range

UNKNOWN = Range(None, None, None)
_CELL = "text-align:left;white-space:nowrap"
_COUNTS = ("rows", "blank", "unfit", "requests", "cached", "to_send")


@dataclass(frozen=True, repr=False)
class Estimate:
    """What a call would send, use and cost; nothing of it is sent yet.

    A ``Range`` is ``(low, expected, high)``, None where there is no such bound. Tokens, money and minutes are of the requests
    that are still to be sent.

    Attributes
    ----------
    rows : int
        Rows of the frame; ``blank`` of them lack a value and are skipped, ``unfit`` can't be sent for another reason.
    requests : int
        Distinct requests; ``cached`` of them are answered from the cache, ``to_send`` are not.
    tried : int
        Requests that the pilot rests on; 0 without one.
    prompt_tokens, completion_tokens : Range
        Tokens.
    cost : Range
        In the currency of the prices; all None without them.
    at_most : float or None
        What all requests cost if each costs the most that it can, which a budget reckons with; None without a price or
        ``max_tokens``.
    whole_cost : Range
        With a pilot: ``cost``, together with what the answers that are there cost, or did when they were bought.
    minutes : float or None
        At the limits that are known.
    currency : str or None
        The currency of the prices, where they name one.
    basis : mapping of str to str
        What each number rests on.
    notes : tuple of str
        What else should be known, such as why nothing was found in the cache.
    answers : DataFrame or None
        The rows that the pilot has tried, with their answers.
    parts : mapping of str to Estimate
        The estimate of each model, where the call is a comparison.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> client = tsn.Client("http://127.0.0.1:1", model="m", prices={"m": (1, 2)})
    >>> found = pd.DataFrame({"text": ["Hi", "Hi", "Ho"]}).tsn.estimate("{text}", max_tokens=10, client=client)
    >>> found.rows, found.to_send, found.completion_tokens
    (3, 2, Range(low=2.0, expected=None, high=20.0))
    """

    rows: int
    blank: int
    unfit: int
    requests: int
    cached: int
    to_send: int
    tried: int = 0
    prompt_tokens: Range = UNKNOWN
    completion_tokens: Range = UNKNOWN
    cost: Range = UNKNOWN
    at_most: float | None = None
    whole_cost: Range = UNKNOWN
    minutes: float | None = None
    currency: str | None = None
    basis: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    answers: pd.DataFrame | None = field(default=None, compare=False)
    parts: Mapping[str, Estimate] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """Return the estimate as a table.

        Returns
        -------
        DataFrame
            A row a quantity, by name: ``low``, ``expected``, ``high`` (Float64) and ``basis`` (string).
        """
        ranges = {name: Range(*[float(getattr(self, name))] * 3) for name in _COUNTS}
        ranges |= {name: getattr(self, name) for name in ("prompt_tokens", "completion_tokens", "cost")}
        ranges["at_most"] = Range(None, None, self.at_most)
        ranges |= {"whole_cost": self.whole_cost, "minutes": Range(None, self.minutes, None)}
        columns: dict[str, object] = {
            name: pd.array([getattr(found, name) for found in ranges.values()], dtype="Float64") for name in Range._fields
        }
        columns["basis"] = pd.array([self.basis.get(name) for name in ranges], dtype="string")
        return pd.DataFrame(columns, index=list(ranges))

    def __str__(self) -> str:
        lines = self._lines()
        wide, long = (max((len(line[at]) for line in lines), default=0) for at in (0, 1))
        table = [f"{name:<{wide}}  {value:<{long}}  {basis}".rstrip() for name, value, basis in lines]
        return "\n".join([self._counts(), *table, *self.notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='{_CELL}'>{html.escape(name)}</th><td style='{_CELL}'>{html.escape(value)}</td>"
            f"<td style='text-align:left;opacity:.7'>{html.escape(basis)}</td></tr>"
            for name, value, basis in self._lines()
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        table = f"<table style='color:inherit;font:inherit'>{rows}</table>"
        return f"<div><p>{html.escape(self._counts())}</p>{table}{notes}</div>"

    def _counts(self) -> str:
        parts = [(self.blank, "blank"), (self.unfit, "not fit to send")]
        parts = [(n, what) for n, what in parts if n]
        distinct = "distinct requests" if self.requests != 1 else "distinct request"
        parts += [(self.requests, distinct), (self.cached, "cached"), (self.to_send, "to be sent")]
        return f"{plural(self.rows, 'row')}: {', '.join(f'{n:,} {what}' for n, what in parts)}"

    def _lines(self) -> list[tuple[str, str, str]]:
        """Return name, value and basis of what is shown."""
        shown = {
            "whole cost": _shown(self.whole_cost, money) if self.whole_cost != UNKNOWN else "",
        }
        if not self.to_send:
            return self._named(shown)
        shown = {
            "prompt tokens": _shown(self.prompt_tokens, "{:,.0f}".format),
            "completion tokens": _shown(self.completion_tokens, "{:,.0f}".format),
            "cost": _shown(self.cost, money),
            **shown,
            "at most": money(self.at_most) if self.at_most is not None else "",
            "minutes": "unknown" if self.minutes is None else "under 0.1" if self.minutes < 0.1 else f"{self.minutes:,.1f}",
        }
        return self._named(shown)

    def _named(self, shown: Mapping[str, str]) -> list[tuple[str, str, str]]:
        in_money, unit = ("cost", "whole cost", "at most"), f" in {self.currency}" if self.currency else ""
        return [
            (name + unit * (name in in_money), value, self.basis.get(name.replace(" ", "_"), ""))
            for name, value in shown.items()
            if value
        ]


def _shown(found: Range, form: object) -> str:
    assert callable(form)
    low, expected, high = (None if value is None else form(value) for value in found)
    if high is None:
        return "unknown" if low is None else f"{low} or more"
    both = f"{low} to {high}" if low != high else f"{low}"
    return both if expected is None or low == high else f"{expected} ({both})"
