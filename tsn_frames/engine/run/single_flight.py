"""Single flight: of runs that need the same request at once one sends it, and all share the answer."""

from __future__ import annotations

import asyncio

from ...api import Completion, decode
from ..runtime.session import Session
from .preflight import cached_answer
from .retry_queue import PendingRequest


class SingleFlight:
    """One run's part in the single flight of its account; on the loop's thread only."""

    def __init__(self, session: Session) -> None:
        self._account, self._cache = session.account, session.client.cache
        self._folder = str(self._cache.folder)  # equal requests share an answer where they share a cache

    async def join(self, item: PendingRequest) -> tuple[Completion, float] | None:
        """Return another run's answer to the same request and its time; None where this run sends it. Then :meth:`publish`."""
        name = (self._folder, item.request.key)
        while (waiting := self._account.waiters.get(name)) is not None:
            waiting.append(shared := asyncio.get_running_loop().create_future())
            if (hit := await shared) is not None:
                return decode(hit[0]), hit[1]
        self._account.waiters[name] = []
        item.leads = True
        stored = name in self._account.answered_keys  # by another run, since this one looked up
        return await cached_answer(self._cache.file, item.request.key) if stored else None

    def publish(self, item: PendingRequest, answer: tuple[bytes, float] | None) -> None:
        """Hand the answer to the runs that wait for this request; None lets the next of them send it."""
        if item.leads:
            item.leads = False
            name = (self._folder, item.request.key)
            if answer is not None and self._account.active_runs > 1:
                self._account.answered_keys.add(name)
            for waiting in self._account.waiters.pop(name):
                if not waiting.done():
                    waiting.set_result(answer)
