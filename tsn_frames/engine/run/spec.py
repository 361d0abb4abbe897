"""What a run is asked to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from ...api import Requests
from ..cache.mode import CacheMode
from ..ledger.run_record import RunDescription


@dataclass(frozen=True)
class RunSpec:
    """What a run is to do.

    Parameters
    ----------
    requests : Requests
        The distinct requests.
    copies : sequence of int
        How many rows share each of them.
    fresh : frozenset of int
        Positions that are asked again though they are cached.
    tags : sequence of str or None
        The ledger's tag of each; empty for none.
    mode : {"use", "refresh", "off", "only"}
        What the cache is for.
    other_tags : mapping of int to sequence of str or None
        The tags of all rows of those requests whose rows differ in it.
    about : About
        What the run's card says of what was asked.
    max_cost : Decimal or None
        The most that the run may cost.
    """

    requests: Requests
    copies: Sequence[int]
    fresh: frozenset[int] = frozenset()
    tags: Sequence[str | None] = ()
    mode: CacheMode = "use"
    other_tags: Mapping[int, Sequence[str | None]] = field(default_factory=dict)
    about: RunDescription = field(default_factory=RunDescription)
    max_cost: Decimal | None = None
