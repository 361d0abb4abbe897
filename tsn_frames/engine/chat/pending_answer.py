"""The answer that is on its way: what it says so far, who hears of it, and what came of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future

from ...api import Completion
from ...errors import RunError, TSNError
from ...secret import redact
from ..runtime.process import process_state
from ..sync import OneShotEvent
from .stream_request import StreamedRequest, StreamResult
from .turn import Turn

log = logging.getLogger("tsn_frames")
BEAT = 0.04  # seconds between two news of a growing answer: more of them slow a page down and nobody sees them


class PendingAnswer:
    """One question from its asking to its turn.

    Parameters
    ----------
    asking : callable
        What makes the question, given who is to be called when a part of the answer has come.
    tell : callable
        Who is told of ``began``, ``grew`` and ``ended``.
    end : callable
        Who is given the turn, before anybody is told.
    """

    def __init__(
        self,
        asking: Callable[[Callable[[], None]], StreamedRequest],
        tell: Callable[..., None],
        end: Callable[[PendingAnswer, Turn], None],
    ) -> None:
        self.future: Future[Turn] = Future()
        self.over = OneShotEvent()
        self.future.set_running_or_notify_cancel()  # stop() ends it, so that what came is kept
        self.asking = asking(self._grew)
        self.told = ""
        self.kind: type[TSNError] | None = None
        self.turn: Turn | None = None
        self._tell, self._end, self._begun = tell, end, time.monotonic()
        self._beat: asyncio.TimerHandle | None = None
        self._shown = 0

    def stop(self, grace: float = 0.0) -> None:  # noqa: ARG002 - as a run is stopped, at the interpreter's end
        """End it, from any thread."""
        process_state.call(self.asking.stop)

    def answer(self) -> str:
        """Wait for the answer and return it.

        Raises
        ------
        RunError
            If there is none, or only a part of one that broke off.
        """
        self.wait()
        turn = self.turn
        assert turn is not None
        if turn.state == "failed":
            raise (self.kind or RunError)(turn.error)
        return turn.content if isinstance(turn.content, str) else ""

    def wait(self) -> None:
        """Wait for its end."""
        self.over.wait()

    async def run(self) -> None:
        """Bring the answer, whatever happens."""
        self._tell("began")
        try:
            ending = await self.asking.ask()
        except TSNError as error:  # a setting that can't work
            ending = self._failed(redact(str(error)), type(error))
        except Exception as error:  # a bug of ours: nobody waits for ever
            log.exception("a chat's question failed")
            ending = self._failed(redact(f"{type(error).__name__}: {error}"), RunError)
        if self._beat:
            self._beat.cancel()
        self.kind, turn = ending.kind, self._turn(ending)
        self.turn = turn
        self._end(self, turn)
        self._tell("ended", turn)
        self.future.set_result(turn)

    def _failed(self, told: str, kind: type[TSNError]) -> StreamResult:
        return StreamResult("failed", Completion(self.asking.reply.text or None), told, kind, None)

    def _turn(self, ending: StreamResult) -> Turn:
        answer = ending.completion
        return Turn(
            "assistant", answer.content or "", answer.model or self.asking.model, answer.prompt_tokens, answer.completion_tokens,
            answer.total_tokens, ending.cost, time.monotonic() - self._begun, time.time(), answer.finish_reason, ending.error,
            ending.state, answer.reasoning, ending.cached,
        )  # fmt: skip

    def _grew(self) -> None:
        if self._beat is None:
            self.told, self._shown = self.asking.reply.text, self.asking.reply.size
            self._tell("grew", self.told)
            self._beat = asyncio.get_running_loop().call_later(BEAT, self._later)

    def _later(self) -> None:
        self._beat = None
        if self.asking.reply.size > self._shown:
            self._grew()
