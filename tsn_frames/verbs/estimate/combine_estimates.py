"""The sum of the estimates of several runs: the parts of a file, or the models of a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from ...text import money
from .result import COUNTS, RANGES, UNKNOWN, Estimate
from .survey_sampling import Range

Amount = TypeVar("Amount", float, Decimal)


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
