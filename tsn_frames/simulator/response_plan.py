"""The plan of a response: what is sent when, and what it costs."""

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
    """Completion tokens that are billed with this step."""


class Plan(NamedTuple):
    """The steps of a response, which begin after `delay` seconds."""

    status: int
    """HTTP status; 0 if the client will see none."""
    steps: Callable[[], Iterator[Step]]
    """Called when the delay is over, so that the limit headers show the state at that moment."""
    delay: float = 0.0


NO_PLAN = Plan(0, lambda: iter(()))
"""Nothing more is sent."""


class RequestHandler(Protocol):
    """The handler of a request, as a connection uses it."""

    @property
    def plan(self) -> Plan:
        """What to send."""
        ...

    def on_step(self, step: Step) -> None:
        """Account for a step that is about to be sent."""
        ...

    def on_end(self, left: bool) -> None:
        """End the request: the response is complete, or the client has disconnected before."""
        ...
