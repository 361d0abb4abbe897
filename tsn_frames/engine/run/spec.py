"""The specification of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from ...api import Requests
from ..cache.cache import CacheMode
from ..ledger.run_record import RunDescription
from ..runtime.session import SharedSession


@dataclass(frozen=True)
class RunSpec:
    """What a run is to do."""

    requests: Requests  # the distinct requests
    copies: Sequence[int]  # how many rows share each of them
    fresh: frozenset[int] = frozenset()  # positions that are sent although they are cached
    tags: Sequence[str | None] = ()  # tag of each request in the ledger; empty for none
    mode: CacheMode = "use"
    # The tags of all rows that share a request, where they differ.
    other_tags: Mapping[int, Sequence[str | None]] = field(default_factory=dict)
    about: RunDescription = field(default_factory=RunDescription)
    max_cost: Decimal | None = None
    stream: bool = False  # whether answers are event streams; no part of a request's key
    shared: SharedSession | None = None  # connections shared with other runs of the same verb
