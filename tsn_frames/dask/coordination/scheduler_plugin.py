"""The coordinator as a plugin of a cluster's scheduler."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from distributed import SchedulerPlugin

from .coordinator import Coordinator


class CoordinatorPlugin(SchedulerPlugin):
    """Answers the messages of workers and clients on the scheduler's event loop."""

    name = "tsn_frames"

    async def start(self, scheduler: Any) -> None:
        """Begin to answer."""
        self._coordinator = Coordinator()
        scheduler.handlers[self.name] = self.answer

    async def answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Return the coordinator's answer to a message."""
        return dict(self._coordinator.answer(message, time.monotonic()))
