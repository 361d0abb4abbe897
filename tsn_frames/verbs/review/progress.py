"""How far a review is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from .decision_history import Decision, Entry


@dataclass(frozen=True)
class Progress:
    """How far a review is, counted in texts; ``seconds`` is the median time a decided text took."""

    texts: int
    decided: int
    skipped: int
    flagged: int
    not_saved: int
    seconds: float | None

    @classmethod
    def of(cls, made: Sequence[Decision], entries: Iterable[Entry], not_saved: int) -> Progress:
        """Return the progress of a review from the decision on each text and all entries of its log."""
        took = [entry.seconds for entry in entries if entry.seconds and entry.decision.labels is not None]
        return cls(
            texts=len(made),
            decided=sum(one.labels is not None for one in made),
            skipped=sum(one.skip for one in made),
            flagged=sum(one.flag for one in made),
            not_saved=not_saved,
            seconds=round(median(took), 1) if took else None,
        )
