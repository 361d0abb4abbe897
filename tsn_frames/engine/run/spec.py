"""The specification of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from ...api import Requests
from ..cache.mode import CacheMode
from ..ledger.run_record import RunDescription
from ..runtime.session import SharedSession


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
        Positions that are sent although they are cached.
    tags : sequence of str or None
        The ledger's tag of each; empty for none.
    mode : {"use", "refresh", "off", "only"}
        What the cache is for.
    other_tags : mapping of int to sequence of str or None
        The tags of all rows of those requests whose rows have different ones.
    about : RunDescription
        What the run's record says of the call.
    max_cost : Decimal or None
        The most that the run may cost.
    stream : bool
        Whether answers are asked for as event streams. It is no part of a request's key: a whole answer is stored as if it
        had come in one piece.
    shared : SharedSession or None
        What other runs of the same verb go on to use.
    """

    requests: Requests
    copies: Sequence[int]
    fresh: frozenset[int] = frozenset()
    tags: Sequence[str | None] = ()
    mode: CacheMode = "use"
    other_tags: Mapping[int, Sequence[str | None]] = field(default_factory=dict)
    about: RunDescription = field(default_factory=RunDescription)
    max_cost: Decimal | None = None
    stream: bool = False
    shared: SharedSession | None = None
