"""Votes: when one more is worth asking for, and what several votes decide. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...errors import ParameterError
from ...text import quoted
from .codebook import Codebook, Label

LEAD = 2  # votes ahead of the second label at which asking stops
MOST_VOTES = 99


class Votes(NamedTuple):
    """How many votes a row gets: ``first`` at once, then one by one up to ``most`` where no label leads by two."""

    first: int
    most: int

    @classmethod
    def of(cls, votes: object) -> Votes:
        """Return the votes that a number or a pair means.

        >>> Votes.of(3), Votes.of((2, 5))
        (Votes(first=3, most=3), Votes(first=2, most=5))
        """
        given = votes if isinstance(votes, (tuple, list)) else (votes, votes)
        pair = [number.item() if isinstance(number, np.integer) else number for number in given]
        whole = all(isinstance(number, int) and not isinstance(number, bool) for number in pair)
        if len(pair) != 2 or not whole or not 1 <= pair[0] <= pair[1] <= MOST_VOTES:
            raise ParameterError(
                f"votes must be a number from 1 to {MOST_VOTES}, or a pair (first, most) such as (2, 5), got {quoted(votes)}"
            )
        return cls(*pair)

    def wants_more(self, votes: Sequence[Label | None]) -> bool:
        """Return whether one more vote is to be asked for.

        >>> Votes(2, 5).wants_more(["a", "a"]), Votes(2, 5).wants_more(["a", "b"]), Votes(2, 5).wants_more(["a", "b", "a"])
        (False, True, True)
        """
        counts = [number for _, number in Counter(vote for vote in votes if vote is not None).most_common(2)]
        lead = (counts[0] if counts else 0) - (counts[1] if len(counts) > 1 else 0)
        return len(votes) < self.first or (len(votes) < self.most and lead < LEAD)


class Decision(NamedTuple):
    """What the votes of one row decide: no label where they tie or where none is valid."""

    label: Label | None
    agreement: float | None
    problem: str = ""


def decide(votes: Sequence[Label | None], codebook: Codebook) -> Decision:
    """Return the label with the most votes; of ordered labels the lower median, unless most votes are for the escape label.

    None is a vote whose answer was not valid: it counts in the agreement's denominator only.

    >>> decide(["b", "a", "b"], Codebook.of(["a", "b"]))
    Decision(label='b', agreement=0.6666666666666666, problem='')
    >>> decide(["a", "b"], Codebook.of(["a", "b"])).problem
    'tie: a 1, b 1'
    """
    valid = [vote for vote in votes if vote is not None]
    if not valid:
        return Decision(None, None)
    counts = Counter(valid)
    escaped = 0 if codebook.other is None else counts[codebook.other]
    if codebook.ordered and 2 * escaped <= len(valid):
        ranks = sorted(codebook.labels.index(vote) for vote in valid if vote != codebook.other)
        label = codebook.labels[ranks[(len(ranks) - 1) // 2]]
        return Decision(label, counts[label] / len(votes))
    most = max(counts.values())
    leaders = [label for label in codebook.labels if counts[label] == most]
    if len(leaders) > 1:
        return Decision(None, most / len(votes), "tie: " + ", ".join(f"{label} {most}" for label in leaders))
    return Decision(leaders[0], most / len(votes))
