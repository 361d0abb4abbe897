"""Single flight: of runs that need the same request at once one sends it, and all share the answer."""

from __future__ import annotations

import asyncio

from ..runtime.session import Session
from .cache_lookup import cached_answer
from .cross_process_single_flight import ProcessFlights, Shared
from .request_queue import PendingRequest


class SingleFlight:
    """One run's part in the single flight of its account, and of other processes; on the loop's thread only."""

    def __init__(self, session: Session, processes: ProcessFlights | None) -> None:
        self._account, self._cache, self._processes = session.account, session.client.cache, processes
        self._writer = session.writer
        self._folder = str(self._cache.folder)  # equal requests share an answer where they share a cache

    async def join(self, item: PendingRequest) -> Shared | bool:
        """Return another run's answer to the same request and its time; else whether this run sends it now. Then :meth:`publish`.

        False: another process sends it now, so that its answer is in the cache later.
        """
        name = (self._folder, item.request.key)
        while (waiting := self._account.waiters.get(name)) is not None:
            shared: asyncio.Future[Shared | None] = asyncio.get_running_loop().create_future()
            waiting.append(shared)
            if (hit := await shared) is not None:
                return hit
        self._account.waiters[name] = []
        item.leads = True
        if name in self._account.answered_keys:  # by another run, since this one looked up
            found = await cached_answer(self._cache.file, item.request.key)
            if found is not None:
                return found
        return True if self._processes is None else await self._processes.claim(item.request.key)

    def publish(self, item: PendingRequest, answer: Shared | None) -> None:
        """Hand the answer to the runs that wait for this request; None lets the next of them send it."""
        if item.leads:
            item.leads = False
            name = (self._folder, item.request.key)
            if answer is not None and self._account.active_runs > 1:
                self._account.answered_keys.add(name)
            # An answer that could not be stored yet stays in flight for other processes until the end of the run: they would pay for it.
            if self._processes is not None and (answer is None or "cache" not in self._writer.problems):
                self._processes.end(item.request.key)
            for waiting in self._account.waiters.pop(name):
                if not waiting.done():
                    waiting.set_result(answer)
