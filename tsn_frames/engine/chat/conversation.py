"""A conversation with a model: ask, stream the answer, stop it. It is used from any thread and knows no widget.

Answers stream on the engine's loop, through the same limiter, ledger and cache as the rows of a frame.
"""

from __future__ import annotations

import logging
import operator
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Unpack

from ...api.parameters import SamplingParameters, plain
from ...errors import ConfigError, ParameterError, PromptError, TSNError
from ...keyword_options import check_names, spelled_out
from ...text import check_choice, plural, quoted
from ..budget.admission import BudgetAdmission
from ..cache.cache import CacheMode
from ..run.streamed_answer import StreamOptions
from ..runtime.client import Client
from ..runtime.interrupts import wait_for
from ..runtime.process import process_state
from .chat_settings import ChatSettings
from .listener import Listener
from .model_names import list_models
from .pending_answer import PartialAnswer, PendingAnswer
from .template_protocol import RowTemplates, with_templates
from .turn import Turn, turns_of

log = logging.getLogger("tsn_frames")


class Busy(TSNError):
    """An answer streams, so that nothing can be changed."""


class Conversation:
    """A chat with a model: its turns, what they cost, and the methods that ask. Turns and settings change only while no answer streams.

    ``turns`` holds the questions and the answers; the system prompt is not among them. All positions ``i`` are positions
    in ``turns``.
    """

    @spelled_out(SamplingParameters, per_row=False)
    def __init__(
        self, client: Client, *, model: str | None = None, system: str | None = None, messages: Sequence[Mapping[str, Any]] = (),
        cache: CacheMode = "off", tag: str | None = None, **parameters: Unpack[SamplingParameters],
    ) -> None:  # fmt: skip
        check_names(Conversation.__init__, parameters)
        if not isinstance(client, Client):
            hint = "; a model's name goes into model=" if isinstance(client, str) else ""
            raise ConfigError(f"client must be a tsn.Client(...), got a {type(client).__name__}{hint}")
        turns, first = turns_of(() if messages is None else messages)
        if first is not None and system is not None:
            raise PromptError("messages begin with a system message: leave system= out, or take it off")
        settings = ChatSettings().with_model(model).with_system(system if first is None else first)
        self._turns, self._settings = turns, settings.with_parameters(parameters)
        check_choice("cache", cache, CacheMode)
        if tag is not None and not isinstance(tag, str):
            raise ParameterError(f"tag must be a string, got {quoted(tag)}")
        self.client, self.cache, self.tag = client, cache, tag
        self.id = uuid.uuid4().hex[:12]
        self.listener: Listener | None = None
        self.templates: RowTemplates | None = None  # fills the templates, in a chat about a row
        self._lock = threading.RLock()
        self._pending: PendingAnswer | None = None
        self._asked: tuple[Turn, ...] = ()
        self._questions = 0
        self._options = StreamOptions()
        self._budget: BudgetAdmission | None = None  # one for all turns: a chat has the budget of a run

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All turns but the one that streams; the system prompt is not among them."""
        return self._turns

    @property
    def asked(self) -> tuple[Turn, ...]:
        """All questions and answers of this chat in order, also those that were regenerated, edited, undone or cleared."""
        return self._asked

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages as they are sent: the system prompt, then the turns that have content."""
        return self._messages_of(self._turns)

    @messages.setter
    def messages(self, messages: Sequence[Mapping[str, Any]]) -> None:
        turns, system = turns_of(messages)
        with self._changing():
            self._turns = with_templates(turns, self.templates, self._turns)
            self._settings = self._with_system(self._settings, system)

    @property
    def model(self) -> str | None:
        """The model's name."""
        return self._settings.model or self.client.model

    @model.setter
    def model(self, name: str | None) -> None:
        self._set(lambda settings: settings.with_model(name))

    @property
    def system(self) -> str | None:
        """The system prompt; None for none."""
        return self._settings.system

    @system.setter
    def system(self, text: str | None) -> None:
        self._set(lambda settings: self._with_system(settings, text))

    @property
    def system_template(self) -> str | None:
        """The system prompt as a template in a chat about a row; elsewhere the system prompt itself."""
        return self.system if self.templates is None else self._settings.system_template

    @system_template.setter
    def system_template(self, template: str | None) -> None:
        if self.templates is None or not isinstance(template, str):
            self.system = template
            return
        filled = self.templates.fill(template, "system prompt")
        self._set(lambda settings: settings.with_system(filled, template))

    @property
    def parameters(self) -> dict[str, Any]:
        """A copy of the API's parameters that are set; assign another dict to change them."""
        return dict(self._settings.parameters)

    @parameters.setter
    def parameters(self, values: Mapping[str, Any]) -> None:
        self._set(lambda settings: settings.with_parameters(values))

    def set_parameter(self, name: str, value: Any) -> None:
        """Set one of the API's parameters; None removes it."""
        self._set(lambda settings: settings.with_parameters({**settings.parameters, name: value}))

    @property
    def last_question(self) -> int | None:
        """The position of the last question; None before there is one."""
        return max((i for i, turn in enumerate(self._turns) if turn.role == "user"), default=None)

    def clear(self) -> None:
        """Remove all turns; the system prompt and the settings stay."""
        self.truncate(0)

    def truncate(self, i: int) -> None:
        """Remove turn ``i`` and all later ones: ``truncate(-2)`` removes the last question and its answer."""
        with self._changing():
            length = len(self._turns)
            if isinstance(i, bool) or not hasattr(i, "__index__") or not -length <= operator.index(i) <= length:
                raise ParameterError(
                    f"truncate takes a position from {-length} to {length}, for there are {plural(length, 'message')}; got {quoted(i)}"
                )
            self._turns = self._turns[: operator.index(i)]

    def replace_turns(self, turns: Iterable[Turn]) -> None:
        """Replace all turns, with what they cost."""
        with self._changing():
            self._turns = tuple(turns)

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

    def _messages_of(self, turns: Iterable[Turn]) -> list[dict[str, Any]]:
        system = [{"role": "system", "content": self.system}] if self.system is not None else []
        return [*system, *(turn.message for turn in turns if turn.sendable)]

    def _with_system(self, settings: ChatSettings, text: str | None) -> ChatSettings:
        """Return the settings with a literal system prompt; one that is unchanged keeps its template."""
        if self.templates is None or not isinstance(text, str):
            return settings.with_system(text)
        same = text == settings.system and settings.system_template is not None
        return settings if same else settings.with_system(text, self.templates.system_template(text))

    def _set(self, change: Callable[[ChatSettings], ChatSettings]) -> None:
        with self._changing():
            self._settings = change(self._settings)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock for a change, which is refused while an answer streams, and notify the listener afterwards."""
        with self._lock:
            if self._pending is not None:
                raise Busy("an answer is on its way: wait for it, or stop() it first")
            yield
            if self.listener is not None:
                process_state.call(self._notify, "on_change")

    def _notify(self, name: str, *args: Any) -> None:
        """Call a callback of the listener, on the loop's thread; its exception is logged."""
        try:
            if (listener := self.listener) is not None:
                getattr(listener, name)(*args)
        except Exception:
            log.exception("a listener of the chat failed")
