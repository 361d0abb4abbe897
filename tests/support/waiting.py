"""Waiting for what has to happen, however slow the machine is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from tsn_frames.engine.runtime.process import process_state

SECONDS = 30.0


def until(true: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


async def happened(true: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait until something is true, and let the loop's other tasks go on."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.005)


def let_the_loop_turn() -> None:
    """Wait until the engine's loop has done all that was handed to it so far."""
    process_state.submit(asyncio.sleep(0)).result(SECONDS)
