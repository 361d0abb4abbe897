"""Look up the answers of a run in the cache before it sends, and that of a single request while it goes on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..._gc_pause import gc_paused
from ...api import Completion
from ...errors import CacheError
from ..cache.reader import check
from ..cache.repair import lookup
from ..outcomes import Outcomes
from ..runtime.client import Client
from ..storage.sqlite import LOCKED_SECONDS, is_locked
from .spec import RunSpec

log = logging.getLogger("tsn_frames")


def look_up(client: Client, work: RunSpec, answers: Outcomes, positions: Iterable[int] | None = None) -> None:
    """Take the cached answers of a run, or of the requests at some positions.

    CacheError where another program keeps the file locked: they would be paid for again.
    """
    file, requests = client.cache.file, work.requests
    index = requests.index if positions is None else {requests.keys[at]: at for at in positions}
    if work.mode == "refresh":
        check(file)
    if work.mode in ("use", "only"):
        until = time.monotonic() + LOCKED_SECONDS
        with gc_paused():
            wanted = {key: at for key, at in index.items() if at not in work.fresh} if work.fresh else index
            while not add_cached(file, wanted, answers):
                if time.monotonic() > until:
                    raise CacheError(
                        f"{file} is locked by another program, so its answers can't be read and nothing was sent: "
                        "close that program and run again, or give another cache="
                    )


def add_cached(file: Path, index: Mapping[bytes, int], answers: Outcomes) -> bool:
    """Take those answers of an index of keys that are cached; return False where another program has the file locked."""
    try:
        lookup(file, index, answers.add_cached)
    except CacheError:
        raise  # another program's file, or a newer version's: the run ends before money is spent
    except Exception as error:  # noqa: BLE001 - an unreadable cache costs money, not the run; the writer recovers it
        log.warning("the cache can't be read: %s", type(error).__name__)
        return not is_locked(error)
    return True


async def cached_answer(file: Path, key: bytes) -> tuple[Completion, float] | None:
    """Return the cached answer to one request, and its time."""
    one = Outcomes(1)
    await asyncio.to_thread(add_cached, file, {key: 0}, one)
    answer = one.completions[0]
    return None if answer is None else (answer, one.times[0])
