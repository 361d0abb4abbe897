"""Result of an estimate: what a call would send, use and cost, each number with its basis; and the sum of several."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple, TypeVar

import pandas as pd

from ...engine.ledger.ledger import Ledger
from ...frames.result_base import FrameLike
from ...text import money, plural
from .survey_sampling import Range

Amount = TypeVar("Amount", float, Decimal)
UNKNOWN = Range(None, None, None)
COUNTS = ("rows", "missing", "invalid", "requests", "cached", "to_send")
RANGES = ("prompt_tokens", "completion_tokens", "cost")
_CELL = "text-align:left;white-space:nowrap"


class EstimatedCall(NamedTuple):
    """Where a later run of an estimated call is found: its ledger, and the hash of its requests in run records."""

    ledger: Ledger
    keys: str


@dataclass(frozen=True, repr=False)
class Estimate(FrameLike):
    """What a call would send, use and cost.

    A ``Range`` is ``(low, expected, high)``, None where there is no such bound. Tokens, money and minutes are those of the
    requests that are still to be sent. ``len``, iteration and ``[...]`` are those of :meth:`to_frame`.

    Attributes
    ----------
    rows : int
        Rows of the frame; ``missing`` of them lack a value and are skipped, ``invalid`` can't be sent for another reason.
    requests : int
        Distinct requests; ``cached`` of them are answered from the cache, ``to_send`` are not.
    sampled : int
        Requests of the pilot whose usage is known; 0 without a pilot.
    prompt_tokens, completion_tokens : Range
        Tokens.
    cost : Range
        In the currency of the prices; all None without them.
    cost_upper_bound : float or None
        The sum of the requests' worst cases, which a budget reserves; None without a price or ``max_tokens``.
    pilot_cost : Range
        Before a pilot: what the suggested one would cost. After it: what the pilots of this frame have cost, by the ledger.
    total_cost : Range
        With a pilot: ``cost`` plus what the cached answers cost when they were bought.
    minutes : float or None
        At the limits that are known.
    currency : str or None
        The currency of the prices, where they name one.
    basis : mapping of str to str
        What each number is based on.
    notes : tuple of str
        Remarks, such as why nothing was found in the cache.
    parts : mapping of str to Estimate
        The estimate of each model, where the call is a comparison.
    answers : DataFrame or None
        The rows that the pilot sampled, with their answers.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> client = tsn.Client("http://127.0.0.1:1", model="m", prices={"m": (1, 2)})
    >>> found = pd.DataFrame({"text": ["Hi", "Hi", "Ho"]}).tsn.estimate("{text}", max_tokens=10, client=client)
    >>> found.rows, found.to_send, found.completion_tokens
    (3, 2, Range(low=2.0, expected=None, high=20.0))
    >>> float(found["high"]["completion_tokens"])
    20.0
    """

    rows: int
    missing: int
    invalid: int
    requests: int
    cached: int
    to_send: int
    sampled: int = 0
    prompt_tokens: Range = UNKNOWN
    completion_tokens: Range = UNKNOWN
    cost: Range = UNKNOWN
    cost_upper_bound: float | None = None
    pilot_cost: Range = UNKNOWN
    total_cost: Range = UNKNOWN
    minutes: float | None = None
    currency: str | None = None
    basis: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    answers: pd.DataFrame | None = field(default=None, compare=False)
    parts: Mapping[str, Estimate] = field(default_factory=dict)
    _call: EstimatedCall | None = field(default=None, compare=False)  # None for the sum of several calls

    def to_frame(self) -> pd.DataFrame:
        """Return the estimate as a table.

        Returns
        -------
        DataFrame
            A row a quantity, by name: ``low``, ``expected``, ``high`` (Float64) and ``basis`` (string).
        """
        ranges = {name: Range(*[float(getattr(self, name))] * 3) for name in COUNTS}
        ranges |= {name: getattr(self, name) for name in RANGES}
        ranges["cost_upper_bound"] = Range(None, None, self.cost_upper_bound)
        ranges |= {name: getattr(self, name) for name in ("pilot_cost", "total_cost")}
        ranges["minutes"] = Range(None, self.minutes, None)
        frame = pd.DataFrame.from_dict(ranges, orient="index", columns=pd.Index(Range._fields), dtype="Float64")
        return frame.assign(basis=pd.array([self.basis.get(name) for name in ranges], dtype="string"))

    def __str__(self) -> str:
        lines = self._lines()
        widths = [max((len(line[at]) for line in lines), default=0) for at in (0, 1)]
        table = [f"{name:<{widths[0]}}  {value:<{widths[1]}}  {basis}".rstrip() for name, value, basis in lines]
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
        return f"<div style='padding-left:5px'><p>{html.escape(self._counts())}</p>{table}{notes}</div>"

    def _counts(self) -> str:
        skipped = [f"{n:,} {what}" for n, what in ((self.missing, "missing"), (self.invalid, "invalid")) if n]
        sent = [plural(self.requests, "distinct request"), f"{self.cached:,} cached", f"{self.to_send:,} to be sent"]
        return f"{plural(self.rows, 'row')}: {', '.join(skipped + sent)}"

    def _lines(self) -> list[tuple[str, str, str]]:
        """Return name, value and basis of each quantity that is shown."""
        known = {name: getattr(self, name) for name in ("pilot_cost", "total_cost")}
        shown = {name: _format(found, money) for name, found in known.items() if found != UNKNOWN}
        if self.to_send:
            bound, minutes = self.cost_upper_bound, self.minutes
            shown = {
                "prompt_tokens": _format(self.prompt_tokens, "{:,.0f}".format),
                "completion_tokens": _format(self.completion_tokens, "{:,.0f}".format),
                "cost": _format(self.cost, money),
                **shown,
                "cost_upper_bound": "" if bound is None else money(bound),
                "minutes": "unknown" if minutes is None else "under 0.1" if minutes < 0.1 else f"{minutes:,.1f}",
            }
        unit = f" in {self.currency}" if self.currency else ""
        return [
            (name.replace("_", " ") + unit * ("cost" in name), value, self.basis.get(name, ""))
            for name, value in shown.items()
            if value
        ]


def _format(found: Range, form: Callable[[float], str]) -> str:
    low, expected, high = (None if value is None else form(value) for value in found)
    if high is None:
        return "unknown" if low is None else f"{low} or more"
    both = f"{low} to {high}" if low != high else f"{low}"
    return both if expected is None or low == high else f"{expected} ({both})"


def total_estimate(
    found: Sequence[Estimate], most: Decimal | None, note: str | None, parts: Mapping[str, Estimate] | None = None
) -> Estimate:
    """Return the sum of at least one estimate; what is unknown in one of them is unknown in the sum.

    ``most`` is the budget of all together, ``parts`` the estimates by name, if the sum is to keep them.
    """
    first = next((part for part in found if part.to_send), found[0])
    notes = [one for one in first.notes if one.startswith("the cost is unknown")] + ([note] if note else [])
    notes += over_budget(sum_ranges([part.cost for part in found]), most, first.currency)
    sums = {name: sum(getattr(part, name) for part in found) for name in COUNTS}
    ranges = {name: sum_ranges([getattr(part, name) for part in found]) for name in RANGES}
    whole = {name: sum_amounts(getattr(part, name) for part in found) for name in ("cost_upper_bound", "minutes")}
    first = replace(first, pilot_cost=UNKNOWN, basis={name: why for name, why in first.basis.items() if name != "pilot_cost"})
    return replace(first, **sums, **ranges, **whole, notes=tuple(notes), parts=parts or {}, _call=None)  # type: ignore[arg-type]


def over_budget(cost: Range, most: Decimal | None, currency: str | None) -> list[str]:
    """Return a note where a cost may be higher than the budget of a run."""
    if most is None or cost.high is None or cost.high <= most:
        return []
    return [f"it may cost more than the budget of {money(most, currency=currency)} for a run allows, and would end there"]


def sum_ranges(some: Sequence[Range]) -> Range:
    """Return the sum of ranges; a bound that one of them lacks is unknown."""
    return Range(*(sum_amounts(bounds) for bounds in zip(*some, strict=True)))


def sum_amounts(amounts: Iterable[Amount | None]) -> float | None:
    """Return the sum of amounts; None where one of them is unknown."""
    known = list(amounts)
    return None if None in known else float(sum(amount for amount in known if amount is not None))
