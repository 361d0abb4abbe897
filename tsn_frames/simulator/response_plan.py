"""One request in work: what will be sent when, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

End = Literal["", "done", "close", "reset"]


class Step(NamedTuple):
    """Wait, send some bytes, and perhaps end: keep the connection, close it, or reset it.

    A named tuple, as what is made for every request: a frozen dataclass takes twice the time.
    """

    delay: float
    data: bytes
    end: End = ""
    tokens: int = 0
    """Completion tokens that are owed once this step is taken."""


class Plan(NamedTuple):
    """What a request gets: after `delay` seconds these steps."""

    status: int
    """HTTP status; 0 if the client will see none."""
    steps: Callable[[], Iterator[Step]]
    """Called when the delay is over, so that the limit headers tell the state of that moment."""
    delay: float = 0.0


NO_PLAN = Plan(0, lambda: iter(()))
"""Nothing more is sent."""


class RequestHandler(Protocol):
    """What a connection needs to know of a request in work."""

    @property
    def plan(self) -> Plan:
        """What to send."""
        ...

    def taken(self, step: Step) -> None:
        """Note that a step is about to be sent."""
        ...

    def end(self, left: bool) -> None:
        """Note that the answer is complete, or that the client left before."""
        ...
