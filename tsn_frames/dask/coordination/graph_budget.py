"""The budget of one graph, as the runs of its partitions reserve it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from ...engine.budget.reservations import OtherRuns
from ...text import money
from .channels import Channel


@dataclass(frozen=True)
class GraphBudget:
    """What all partitions of one graph may cost together."""

    name: str  # for the coordinator
    limit: Decimal
    currency: str | None = None
    channel: Channel | None = field(default=None, repr=False, compare=False)  # a task sets it

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"the budget of {money(self.limit, 3, currency=self.currency)} for this graph"

    def end(self, run: str, spent: Decimal) -> None:
        """Give back what a run has not spent."""
        self.renew(run, spent, spent, (), ended=True)

    def renew(
        self, run: str, spent: Decimal, total: Decimal, waiting: Sequence[Decimal], *, ended: bool = False
    ) -> tuple[Decimal, OtherRuns]:
        """Return what a run may spend in all, and what the others have spent and may spend."""
        assert self.channel is not None, "a task sets the channel"
        report = {"run": run, "spent": str(spent), "total": str(total), "waiting": [str(amount) for amount in waiting]}
        answer = self.channel.ask({"kind": "budget", "name": self.name, "limit": str(self.limit), **report, "ended": ended})
        others = OtherRuns(known=Decimal(answer["spent"]), committed=Decimal(answer["committed"]))
        return Decimal(answer["authorized"]), others
