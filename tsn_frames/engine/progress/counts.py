"""Counters of a run, by rows and by requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import compress

from ..outcomes import Outcome, Outcomes


@dataclass(slots=True)
class Counts:
    """Counters of a run so far, by rows and by requests; read from any thread.

    ``currency`` is that of ``cost``; ``simulated`` says that the service is the simulator.
    """

    rows: int = 0
    answered: int = 0
    cached: int = 0
    deduplicated: int = 0
    failed: int = 0
    skipped: int = 0
    not_sent: int = 0
    requests: int = 0
    refused: int = 0
    retried: int = 0
    unknown: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: Decimal = Decimal(0)
    cost_known: bool = True
    to_send: int = 0
    paid: int = 0
    currency: str | None = None
    simulated: bool = False

    @property
    def done(self) -> int:
        """Finished rows: answered, failed, skipped or not sent."""
        return self.answered + self.failed + self.skipped + self.not_sent

    @property
    def starting(self) -> bool:
        """Whether nothing that was sent has an outcome yet."""
        return self.answered == self.cached and not self.failed and self.done < self.rows

    @property
    def projected(self) -> Decimal | None:
        """Projected cost of the run, from the average so far; None before ten requests are paid for."""
        return self.cost / self.paid * max(self.to_send, self.paid) if self.paid >= 10 else None

    def finish(self, outcome: Outcome, rows: int) -> None:
        """Count the rows of a finished request."""
        if outcome.error is None:
            self.answered += rows
        elif outcome.error.code == "not_sent":
            self.not_sent += rows
        else:
            self.failed += rows
        if outcome.completion is not None:
            self.deduplicated += rows - 1

    def add_cached(self, answers: Outcomes, copies: Sequence[int]) -> None:
        """Count the rows of all cached answers."""
        rows, empty = sum(compress(copies, answers.cached)), sum(copies[at] for at in answers.errors)
        self.answered += rows - empty
        self.cached += rows - empty
        self.failed += empty
