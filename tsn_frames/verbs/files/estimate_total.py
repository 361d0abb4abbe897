"""One estimate of a file from the estimates of its parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from ...text import plural
from ..estimate.result import COUNTS, Estimate
from ..estimate.survey_sampling import Range

_RANGES = ("prompt_tokens", "completion_tokens", "cost")


def total_estimate(parts: Sequence[Estimate], most: Decimal | None) -> Estimate:
    """Return the sum of the parts' estimates; what is unknown of one part is unknown of the whole.

    Parameters
    ----------
    parts : sequence of Estimate
        At least one.
    most : Decimal, optional
        What the whole may cost.
    """
    first = next((part for part in parts if part.to_send), parts[0])
    notes = [note for note in first.notes if note.startswith("the cost is unknown")]
    if len(parts) > 1:
        notes.append(
            f"a sum over {plural(len(parts), 'part')}: a request that stands in several is counted in each, and is paid for once"
        )
    cost = _range([part.cost for part in parts])
    if most is not None and cost.high is not None and cost.high > most:
        notes.append(f"it may cost more than the budget of {most} for a run allows, and would end there")
    sums = {name: sum(getattr(part, name) for part in parts) for name in COUNTS}
    ranges = {name: _range([getattr(part, name) for part in parts]) for name in _RANGES}
    whole = {"cost_upper_bound": _sum(part.cost_upper_bound for part in parts), "minutes": _sum(part.minutes for part in parts)}
    return replace(first, **sums, **ranges, **whole, notes=tuple(notes))  # type: ignore[arg-type]


def _range(some: Sequence[Range]) -> Range:
    return Range(*(_sum(bounds) for bounds in zip(*some, strict=True)))


def _sum(amounts: Iterable[float | None]) -> float | None:
    known = list(amounts)
    return None if None in known else float(sum(amount for amount in known if amount is not None))
