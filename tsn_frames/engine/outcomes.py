"""Results of a run's requests as parallel lists, by position; filled from the cache and by sending."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from ..api import Completion, Unreadable, decode
from ..api.completion import content_error
from ..errors import RowError


@dataclass(slots=True)
class Outcome:
    """Result of one finished request."""

    completion: Completion | None = None
    error: RowError | None = None
    answered_at: float = math.nan
    cost: Decimal | None = Decimal(0)  # what this run paid, wasted attempts included; None where that is unknown
    shared: bool = False  # another run of this process paid for the answer at the same time


class Outcomes:
    """Result of each distinct request. A million of them are a few lists, not a million objects.

    A request is finished when it has a completion, an error, or both: an answer without content has both.
    """

    def __init__(self, number: int) -> None:
        self.completions: list[Completion | None] = [None] * number
        self.errors: dict[int, RowError] = {}
        self.times = array("d", [math.nan]) * number  # when each was answered, POSIX seconds
        self.cached = bytearray(number)  # 1 where the answer came from the cache
        self.costs: dict[int, Decimal | None] = {}  # no entry where nothing was sent
        self.shared: set[int] = set()

    def __len__(self) -> int:
        return len(self.completions)

    def add_cached(self, rows: Iterable[tuple[int, bytes, float]]) -> None:
        """Add cached answers: position, body and time of each, from an iterator, so that no body is held.

        A body that can't be read counts as no answer, and its request is sent again.
        """
        completions, times, cached = self.completions, self.times, self.cached
        for at, body, when in rows:
            try:
                completions[at] = completion = decode(body)
            except Unreadable:
                continue
            times[at] = when
            cached[at] = 1
            if not completion.content and (error := content_error(completion)):
                self.errors[at] = error

    def set(self, at: int, outcome: Outcome) -> None:
        """Set the result of one request."""
        if outcome.error is not None:
            self.errors[at] = outcome.error
        if outcome.cost != 0:
            self.costs[at] = outcome.cost
        if outcome.shared:
            self.shared.add(at)
        self.times[at] = outcome.answered_at
        self.completions[at] = outcome.completion

    def unfinished(self) -> list[int]:
        """Return the positions of unfinished requests."""
        if 0 not in self.cached:  # the usual case
            return []
        return [at for at, completion in enumerate(self.completions) if completion is None and at not in self.errors]
