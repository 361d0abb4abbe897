"""Look up the answers of a run in the cache before it sends, and that of a single request while it goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from ..._gc_pause import gc_paused
from ...api import Completion
from ...errors import CacheError
from ..cache.reader import check
from ..cache.store import lookup
from ..outcomes import Outcomes
from ..runtime.client import Client
from .spec import RunSpec

log = logging.getLogger("tsn_frames")


def look_up(client: Client, work: RunSpec, answers: Outcomes) -> None:
    """Take the cached answers of a run."""
    if work.mode == "refresh":
        check(client.cache.file)
    if work.mode in ("use", "only"):
        index = work.requests.index
        with gc_paused():
            add_cached(
                client.cache.file,
                {key: at for key, at in index.items() if at not in work.fresh} if work.fresh else index,
                answers,
            )


def add_cached(file: Path, index: Mapping[bytes, int], answers: Outcomes) -> None:
    """Take those answers of an index of keys that are cached."""
    try:
        lookup(file, index, answers.add_cached)
    except CacheError:
        raise  # another program's file, or a newer version's: the run ends before money is spent
    except Exception as error:  # noqa: BLE001 - an unreadable cache costs money, not the run; the writer recovers it
        log.warning("the cache can't be read: %s", type(error).__name__)


async def cached_answer(file: Path, key: bytes) -> tuple[Completion, float] | None:
    """Return the cached answer to one request, and its time."""
    one = Outcomes(1)
    await asyncio.to_thread(add_cached, file, {key: 0}, one)
    answer = one.completions[0]
    return None if answer is None else (answer, one.times[0])
