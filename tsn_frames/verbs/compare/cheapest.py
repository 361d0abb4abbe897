"""The cheapest model that is not worse than the best one by more than a margin, by gold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ...errors import ParameterError
from ...stats import Array
from ...stats.paired_proportions import discordant, paired_score_interval
from ...text import plural, quoted

MARGIN = 0.02


class Judged(NamedTuple):
    """Which rows of a model are judged by gold, and which of them are right."""

    rows: Array
    right: Array

    @property
    def share(self) -> float:
        """The share of the judged rows that are right."""
        return float(self.right.sum() / self.rows.sum())

    def __str__(self) -> str:
        return f"{int(self.right.sum()):,} of {plural(int(self.rows.sum()), 'row')}"


class Cost(NamedTuple):
    """The mean cost of a model's answer, nan where it is unknown, and its currency."""

    value: float
    currency: str | None


class Difference(NamedTuple):
    """How much worse a model is than the best one, over the rows where both are judged, and the 95 % interval of that."""

    value: float
    low: float
    high: float


def check_margin(margin: Any) -> None:
    """Raise where the margin is no share."""
    if isinstance(margin, bool) or not isinstance(margin, (float, np.floating)) or not 0 < margin < 1:
        raise ParameterError(
            f"margin must be a share between 0 and 1, such as 0.02 for 2 percentage points, got {quoted(margin)}"
        )


def best_of(judged: Mapping[str, Judged], costs: Mapping[str, Cost]) -> str | None:
    """Return the model with the highest share of right rows, the cheaper of two; None where no row is judged."""
    known = [label for label, one in judged.items() if one.rows.any()]
    return min(known, key=lambda label: (-judged[label].share, np.nan_to_num(costs[label].value, nan=np.inf)), default=None)


def differences(judged: Mapping[str, Judged], best: str | None) -> dict[str, Difference]:
    """Return how much worse each model is than the best one; all nan where no row is judged."""
    unknown = Difference(np.nan, np.nan, np.nan)
    return {label: unknown if best is None else _difference(judged[best], one) for label, one in judged.items()}


def _difference(best: Judged, other: Judged) -> Difference:
    both = best.rows & other.rows
    rows = int(both.sum())
    if best is other or not rows:
        return Difference(0.0, 0.0, 0.0) if rows else Difference(np.nan, np.nan, np.nan)
    only_best, only_other = discordant(both & best.right, both & other.right)
    return Difference((only_best - only_other) / rows, *paired_score_interval(only_best, only_other, rows))


def choose(
    best: str, judged: Mapping[str, Judged], worse: Mapping[str, Difference], costs: Mapping[str, Cost], margin: float
) -> tuple[str | None, str]:
    """Return the cheapest of the best model and those that are not worse by the margin, and a sentence on both."""
    points, known = f"{100 * margin:g} percentage points", f"{best} is right most often, in {judged[best]}"
    if len({cost.currency for cost in costs.values()} - {None}) > 1:
        return None, f"{known}; the costs are in several currencies, so no cheapest model is named"
    if np.isnan(costs[best].value):
        return None, f"{known}; its cost is unknown, so no cheapest model is named"
    cheaper = sorted((label for label in worse if costs[label].value < costs[best].value), key=lambda label: costs[label].value)
    if not cheaper:
        return best, f"{known}, and no model is cheaper"
    found = next((label for label in cheaper if worse[label].high < margin), None)
    if found is None:
        bounds = ", ".join(f"{label} may be worse by {_points(worse[label].high)}" for label in cheaper[:3])
        return best, f"{known}; no cheaper model is shown to be worse by less than {points}: {bounds}"
    sentence = (
        f"{found} is the cheapest model that is shown to be worse than the best, {best}, by less than {points}: "
        f"right in {judged[found]} against {judged[best]}, worse by at most {_points(worse[found].high)}, "
        f"at {costs[found].value / costs[best].value:.0%} of the cost"
    )
    return found, sentence


def _points(share: float) -> str:
    return "an unknown number of points" if np.isnan(share) else f"{100 * share:.1f} points"
