"""Changes to a simulator while it serves."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tsn_frames.simulator import Simulator


def set_latency(sim: Simulator, seconds: float) -> None:
    """Let the answers to all later requests take so long; a :func:`slow_from` that has not begun is off."""
    settings = sim._app.settings
    answer = None if isinstance(settings.answer, _AtRequest) else settings.answer
    sim._app.settings = replace(settings, latency=seconds, answer=answer)


def slow_from(sim: Simulator, number: int, seconds: float = 1.0) -> None:
    """Let the answers to this request and all later ones take so long: the run can't end before the test acts, however slow that is."""
    at_request(sim, number, lambda: set_latency(sim, seconds))


def at_request(sim: Simulator, number: int, act: Callable[[], object]) -> None:
    """Call a function on the server's thread when it receives its request of this number, counted from now."""
    sim._app.settings = replace(sim._app.settings, answer=_AtRequest(number, act))


@dataclass
class _AtRequest:
    """As a simulator's ``answer``: it sees each request, and leaves the answer to the simulator."""

    number: int
    act: Callable[[], object]
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __call__(self, _: dict[str, Any]) -> None:
        if next(self.numbers) == self.number:
            self.act()
