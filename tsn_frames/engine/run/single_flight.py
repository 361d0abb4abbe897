"""The same request of two runs at once: one asks, the other waits, and both have the one answer that is paid for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from ...api import Completion, decode
from ..outcomes import Outcomes
from ..runtime.session import Session
from .retry_queue import PendingRequest

Look = Callable[[Outcomes, Mapping[bytes, int]], Awaitable[None]]


class SingleFlight:
    """What one run shares with the others of its account in this process. On the loop's thread.

    Parameters
    ----------
    session : Session
        The live parts of the run.
    look : callable
        Fills answers in from the cache.
    """

    def __init__(self, session: Session, look: Look) -> None:
        self._account, self._look = session.account, look
        self._folder = str(session.client.cache.folder)  # a request is the same where its answer would be stored in one place

    async def join(self, item: PendingRequest) -> tuple[Completion, float] | None:
        """Return another run's answer to the same request and its time; None where this run is to ask. Then :meth:`publish`."""
        name = (self._folder, item.request.key)
        while (waiting := self._account.waiters.get(name)) is not None:
            waiting.append(told := asyncio.get_running_loop().create_future())
            if (hit := await told) is not None:
                return decode(hit[0]), hit[1]
        self._account.waiters[name] = []
        item.leads = True
        if name not in self._account.answered_keys:
            return None
        one = Outcomes(1)  # another run has stored it since this one looked
        await self._look(one, {item.request.key: 0})
        stored = one.completions[0]
        return None if stored is None else (stored, one.times[0])

    def publish(self, item: PendingRequest, answer: tuple[bytes, float] | None) -> None:
        """Let the runs that wait for this request know what came of it; None has the next of them ask."""
        if item.leads:
            item.leads = False
            name = (self._folder, item.request.key)
            if answer is not None and self._account.active_runs > 1:
                self._account.answered_keys.add(name)
            for told in self._account.waiters.pop(name):
                if not told.done():
                    told.set_result(answer)
