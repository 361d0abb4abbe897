"""Wait for conditions, with a timeout that a slow machine meets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from tsn_frames.engine.runtime.process import process_state

SECONDS = 60.0


def wait_until(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Block until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not hold in time"
        time.sleep(0.01)


async def wait_until_async(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait until the condition holds, while the loop's other tasks run."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not hold in time"
        await asyncio.sleep(0.005)


def run_loop_once() -> None:
    """Wait until the engine's loop has run the callbacks scheduled so far."""
    process_state.submit(asyncio.sleep(0)).result(SECONDS)
