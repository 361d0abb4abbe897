"""A streaming answer: its text so far, the notifications of the listeners, and the final turn."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

from ...api import Completion
from ...errors import RunError, TSNError
from ...secret import redact
from ..runtime.process import process_state
from .chat_message import Turn
from .stream_request import StreamedRequest, StreamResult

log = logging.getLogger("tsn_frames")
NOTIFY_INTERVAL = 0.04  # seconds between two notifications of a growing answer, for a page that stays responsive


class PartialAnswer(NamedTuple):
    """What has come of an answer, and the seconds since its question."""

    text: str
    reasoning: str
    seconds: float


class PendingAnswer:
    """One question from its sending to the turn of its answer; a task of the engine's loop."""

    def __init__(
        self, request: StreamedRequest, notify: Callable[..., None], finish: Callable[[PendingAnswer, Turn], None]
    ) -> None:
        self.future: Future[Turn] = Future()
        self.future.set_running_or_notify_cancel()  # not cancellable: stop() ends it and keeps what has arrived
        self.finished = threading.Event()
        self.request, request.on_growth = request, self._on_growth
        self.text = self._reasoning = ""
        self._thought: float | None = None  # seconds until the text began, where the model's reasoning came before it
        self._result: StreamResult | None = None
        self._notify, self._finish, self._started = notify, finish, time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._notified_size = 0

    @property
    def partial(self) -> PartialAnswer:
        """The answer so far."""
        return PartialAnswer(self.text, self._reasoning, time.monotonic() - self._started)

    def stop(self, grace: float = 0.0) -> None:  # noqa: ARG002 - a task's signature; a stream is closed at once
        """Stop the stream, from any thread."""
        process_state.call(self.request.stop)

    def answer(self) -> str:
        """Return the text of the finished answer."""
        turn, result = self.future.result(), self._result
        if turn.state == "failed" and result is not None:
            raise (result.kind or RunError)(turn.explanation or turn.error)
        return turn.content if isinstance(turn.content, str) else ""

    async def run(self) -> None:
        """Send the request and make the turn of its result; every error becomes a failed turn."""
        self._notify("on_start")
        try:
            result = await self.request.ask()
        except TSNError as error:  # a setting that can't work
            result = self._failed(redact(str(error)), type(error))
        except Exception as error:
            log.exception("a chat's question failed")
            result = self._failed(redact(f"{type(error).__name__}: {error}"), RunError)
        if self._timer:
            self._timer.cancel()
        self._result, turn = result, self._turn(result)
        self._finish(self, turn)
        self._notify("on_end", turn)
        self.future.set_result(turn)

    def _failed(self, message: str, kind: type[TSNError]) -> StreamResult:
        return StreamResult("failed", Completion(self.request.reply.text or None), message, kind, None)

    def _turn(self, result: StreamResult) -> Turn:
        answer, now = result.completion, time.monotonic()
        same = ("prompt_tokens", "completion_tokens", "total_tokens", "finish_reason", "reasoning")
        return Turn(
            "assistant", answer.content or "", answer.model or self.request.model, cost=result.cost, seconds=now - self._started,
            time=time.time(), error=result.error, state=result.state, cached=result.cached,
            explanation=result.explanation, thought_seconds=self._thought,
            **{name: getattr(answer, name) for name in same},
        )  # fmt: skip

    def _on_growth(self) -> None:
        if self._timer is None:
            reply = self.request.reply
            self.text, self._reasoning, self._notified_size = reply.text, reply.reasoning or "", reply.size
            if self.text and self._reasoning and self._thought is None:
                self._thought = time.monotonic() - self._started
            self._notify("on_text", self.text)
            self._timer = asyncio.get_running_loop().call_later(NOTIFY_INTERVAL, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self.request.reply.size > self._notified_size:
            self._on_growth()
