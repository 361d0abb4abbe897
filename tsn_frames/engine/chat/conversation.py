"""A conversation with a model: ask, stream the answer, stop it. It is used from any thread and knows no widget.

Answers stream on the engine's loop, through the same limiter, ledger and cache as the rows of a frame.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Unpack

from ...api.parameters import SamplingParameters, plain
from ...errors import ParameterError, PromptError, TSNError
from ...keyword_options import check_names, spelled_out
from ...text import check_choice, quoted
from ..budget.admission import BudgetAdmission
from ..cache.cache import CacheMode
from ..run.streamed_answer import StreamOptions
from ..runtime.client import Client
from ..runtime.interrupts import wait_for
from ..runtime.process import process_state
from .chat_message import Turn
from .model_names import list_models
from .pending_answer import PartialAnswer, PendingAnswer
from .turns_and_settings import ChatState


class Conversation(ChatState):
    """A chat with a model: its turns, what they cost, and the methods that ask.

    ``turns`` holds the questions and the answers; the system prompt is not among them. All positions ``i`` are positions
    in ``turns``.
    """

    @spelled_out(SamplingParameters, per_row=False)
    def __init__(
        self, client: Client, *, model: str | None = None, system: str | None = None, messages: Sequence[Mapping[str, Any]] = (),
        cache: CacheMode = "off", tag: str | None = None, **parameters: Unpack[SamplingParameters],
    ) -> None:  # fmt: skip
        check_names(Conversation.__init__, parameters)
        super().__init__(client, messages, model, system, parameters)
        check_choice("cache", cache, CacheMode)
        if tag is not None and not isinstance(tag, str):
            raise ParameterError(f"tag must be a string, got {quoted(tag)}")
        self.cache, self.tag = cache, tag
        self.id = uuid.uuid4().hex[:12]
        self._questions = 0
        self._options = StreamOptions()
        self._budget: BudgetAdmission | None = None  # one for all turns: a chat has the budget of a run

    @property
    def streaming(self) -> bool:
        """Whether an answer streams."""
        return self._pending is not None

    @property
    def snapshot(self) -> tuple[tuple[Turn, ...], PartialAnswer | None, int]:
        """``turns`` and the answer so far of the same moment, and the question's number, which differs between two answers."""
        with self._lock:
            return self._turns, self._pending.partial if self._pending else None, self._questions

    def start(self, text: str) -> Future[Turn]:
        """Ask, and return at once."""
        return self._question(text).future

    def send(self, text: str) -> str:
        """Ask, wait, and return the answer; Ctrl-C stops it and keeps what has arrived."""
        return wait_for(lambda: self._question(text)).answer()

    def stop(self) -> None:
        """Stop the answer that streams, from any thread: its connection is closed, and what has arrived is kept."""
        pending = self._pending
        if pending:
            pending.stop()

    def regenerate(self) -> Future[Turn]:
        """Ask the last question again, without the cache, in place of its answer, and return at once."""
        return self._last_question_again().future

    def resend(self) -> str:
        """Ask the last question, again or for the first time, wait, and return the answer, as :meth:`send` does."""
        return wait_for(self._last_question_again).answer()

    def edit(self, i: int, text: str) -> Future[Turn]:
        """Ask another question in place of question ``i``, and return at once; all later turns are removed."""
        if not 0 <= i < len(self._turns) or self._turns[i].role != "user":
            raise TSNError(f"turn {i!r} is not a question of this chat")
        return self._question(text, i).future

    def list_models(self) -> Future[list[str]]:
        """Return the models that the service lists; none where it has no list."""
        return process_state.submit(list_models(self.client, self.client.key()))

    def _last_question_again(self) -> PendingAnswer:
        position = self.last_question
        if position is None:
            raise TSNError("nothing was asked yet, so there is nothing to ask again")
        return self._ask(self._turns[position], position, fresh=True)

    def _question(self, text: str, position: int | None = None) -> PendingAnswer:
        if not isinstance(text, str) or not text.strip():
            raise PromptError(f"a question must be a string that isn't blank, got {quoted(text)}")
        filled = text if self.templates is None else self.templates.fill(text)
        template = None if self.templates is None else text
        if not filled.strip():
            raise PromptError(f"the question {quoted(text)} is blank with the cells of this row")
        return self._ask(Turn("user", plain("the question", filled), time=time.time(), template=template), position)

    def _ask(self, question: Turn, position: int | None, *, fresh: bool = False) -> PendingAnswer:
        """Replace the turns from ``position`` on with a question and start its answer; None appends the question."""
        key = self.client.key()
        process_state.start_loop()  # where that fails, the chat stays as it was
        with self._changing():
            turns = (*self._turns[:position], question)
            request = self._settings.request(self.client, self._messages_of(turns))
            self._questions += 1
            mode: CacheMode = "refresh" if fresh and self.cache == "use" else self.cache
            self._options = StreamOptions(self._options.usage)
            pending = PendingAnswer(
                self.client, key, request, mode=mode, nonce=f"{self.id}-{self._questions}", run=self.id,
                tag=self.tag or "chat", options=self._options, budget=self._budget,
                notify=self._notify, finish=self._finish,
            )  # fmt: skip
            self._turns, self._pending = turns, pending
            self._record(question)
        process_state.start_task(pending)
        return pending

    def _finish(self, pending: PendingAnswer, turn: Turn) -> None:
        with self._lock:
            self._turns, self._pending = (*self._turns, turn), None
            self._record(turn)
            self._budget = pending.budget

    def _record(self, turn: Turn) -> None:
        if all(turn is not known for known in self._asked):
            self._asked = (*self._asked, turn)
