"""A conversation: messages, a stream that can be stopped, and what each answer came to. It knows no widget.

It is used from any thread. Answers stream on the engine's one loop, through the same limiter, ledger and cache as frames.
"""

from __future__ import annotations

import asyncio
import operator
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Unpack

from ...api.parameters import SamplingParameters, plain
from ...errors import ConfigError, ParameterError, PromptError, TSNError
from ...options import check_words, spelled_out
from ...secret import Secret
from ...text import plural, quoted
from ..budget.admission import BudgetAdmission
from ..cache.mode import CacheMode
from ..runtime.client import Client
from ..runtime.process import process_state
from .chat_settings import ChatSettings
from .listeners import Listener, Listeners
from .models import listed
from .pending_answer import PendingAnswer
from .stream_request import StreamedRequest
from .turn import Turn, turns_of


class Busy(TSNError):
    """Nothing can be changed before the answer that is on its way is there."""


class Conversation:
    """A chat with a model: what was said, what it cost, and the way to say more.

    ``turns`` holds what was said, the question and the answer as a turn each; the system prompt is not among them. All
    positions ``i`` are positions in ``turns``.

    Parameters
    ----------
    client : Client
        Where it is asked.
    model : str, optional
        Default: the client's.
    system : str, optional
        The system prompt.
    messages : list of dict, optional
        What was said before, as the API has it. A system message at its beginning becomes ``system``.
    temperature, top_p, max_tokens, stop, frequency_penalty, presence_penalty, response_format, seed, extra_body : optional
        The API's parameters; what isn't given isn't sent.
    cache : {"off", "use", "refresh", "only"}
        Off by default: a chat's question is asked again. Only whole answers with their usage are stored, under the key
        that :func:`complete` uses.
    tag : str, optional
        What the ledger notes beside the spending; default ``"chat"``.

    Raises
    ------
    ParameterError, PromptError, ConfigError
        If a setting or a message can't be sent.

    Examples
    --------
    >>> from tsn_frames.engine.runtime.client import Client
    >>> from tsn_frames.simulator import Simulator
    >>> with Simulator(latency=0.0) as sim:
    ...     chat = Conversation(Client(sim.base_url, model="sim-small"), system="Answer with one of: yes, no.")
    ...     answer = chat.send("Is the sky blue? One of: yes, no.")
    >>> answer in ("yes", "no"), [turn.role for turn in chat.turns]
    (True, ['user', 'assistant'])
    """

    @spelled_out(SamplingParameters)
    def __init__(
        self, client: Client, *, model: str | None = None, system: str | None = None, messages: Sequence[Mapping[str, Any]] = (),
        cache: CacheMode = "off", tag: str | None = None, **parameters: Unpack[SamplingParameters],
    ) -> None:  # fmt: skip
        check_words(Conversation.__init__, parameters)
        if not isinstance(client, Client):
            hint = "; a model's name goes into model=" if isinstance(client, str) else ""
            raise ConfigError(f"client must be a tsn.Client(...), got a {type(client).__name__}{hint}")
        if tag is not None and not isinstance(tag, str):
            raise ParameterError(f"tag must be a text, got {quoted(tag)}")
        self.client, self.cache, self.tag = client, _mode(cache), tag
        self.id = uuid.uuid4().hex[:12]
        self._lock, self._listeners = threading.RLock(), Listeners()
        self._asking: PendingAnswer | None = None
        self._usage, self._asked = True, 0
        self._budget: BudgetAdmission | None = None  # one for all turns: the budget of a run is that of a chat
        self._turns, first = turns_of(() if messages is None else messages)
        if first is not None and system is not None:
            raise PromptError("messages begin with a system message: leave system= out, or take it off")
        self._setup = ChatSettings().with_model(model).with_system(system if first is None else first).with_parameters(parameters)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """What was said; without the answer that is still on its way."""
        return self._turns

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages as the API has them and as they are sent: the system prompt, then the turns that have a content."""
        first = [{"role": "system", "content": self.system}] if self.system is not None else []
        return [*first, *(turn.message for turn in self._turns if turn.sendable)]

    @messages.setter
    def messages(self, given: Sequence[Mapping[str, Any]]) -> None:
        turns, system = turns_of(given)
        with self._lock:
            self._check_free()
            self._turns, self._setup = turns, self._setup.with_system(system)
        self._listeners.tell_later("changed")

    @property
    def model(self) -> str | None:
        """Who is asked."""
        return self._setup.model or self.client.model

    @model.setter
    def model(self, name: str | None) -> None:
        self._change(lambda setup: setup.with_model(name))

    @property
    def system(self) -> str | None:
        """The system prompt; None for none."""
        return self._setup.system

    @system.setter
    def system(self, text: str | None) -> None:
        self._change(lambda setup: setup.with_system(text))

    @property
    def parameters(self) -> dict[str, Any]:
        """The API's parameters that are set; give another dict to change them."""
        return dict(self._setup.parameters)

    @parameters.setter
    def parameters(self, values: Mapping[str, Any]) -> None:
        self._change(lambda setup: setup.with_parameters(values))

    def set(self, name: str, value: Any) -> None:
        """Set one of the API's parameters; None takes it away."""
        self._change(lambda setup: setup.with_parameters({**setup.parameters, name: value}))

    @property
    def streaming(self) -> bool:
        """Whether an answer is on its way."""
        return self._asking is not None

    @property
    def partial(self) -> str | None:
        """What the answer that is on its way says so far; None where none is."""
        going = self._asking
        return going.told if going else None

    @property
    def now(self) -> tuple[tuple[Turn, ...], str | None, int]:
        """``turns`` and ``partial`` of the same moment, and the number of the question, which tells two answers apart."""
        with self._lock:
            return self._turns, self.partial, self._asked

    def start(self, text: str) -> Future[Turn]:
        """Ask, and return at once.

        Returns
        -------
        Future of Turn
            The answer; also where it failed or was stopped, with the reason in ``turn.error``.

        Raises
        ------
        PromptError, ParameterError, ConfigError
            If it can't be asked; nothing has changed then.
        TSNError
            If an answer is on its way.
        """
        return self._question(text).future

    def send(self, text: str) -> str:
        """Ask, wait, and return the answer; an interrupt stops it and keeps what came.

        Returns
        -------
        str
            The answer, or what came of it until it was stopped.

        Raises
        ------
        RunError
            If there is no answer, or only a part of one; ``turns`` has the part.
        """
        return self._answer(lambda: self._question(text))

    def stop(self) -> None:
        """Stop the answer that is on its way, from any thread: its connection is closed, what came stays."""
        going = self._asking
        if going:
            going.stop()

    def clear(self) -> None:
        """Forget all turns; the system prompt and the settings stay."""
        self.truncate(0)

    def truncate(self, i: int) -> None:
        """Forget turn ``i`` and all after it: ``truncate(-2)`` takes the last question and its answer back.

        Raises
        ------
        ParameterError
            If ``i`` is no position of a turn, counted from either end, nor their number.
        """
        with self._lock:
            self._check_free()
            have = len(self._turns)
            if isinstance(i, bool) or not hasattr(i, "__index__") or not -have <= operator.index(i) <= have:
                raise ParameterError(
                    f"truncate takes a position from {-have} to {have}, for there are {plural(have, 'message')}; got {quoted(i)}"
                )
            self._turns = self._turns[: operator.index(i)]
        self._listeners.tell_later("changed")

    def replay(self, turns: Iterable[Turn]) -> None:
        """Put turns in the place of those that are there, with what they came to."""
        with self._lock:
            self._check_free()
            self._turns = tuple(turns)
        self._listeners.tell_later("changed")

    def regenerate(self) -> Future[Turn]:
        """Ask the last question again, in place of its answer; a cached answer is not what is wanted then.

        Raises
        ------
        TSNError
            If nothing was asked yet, or an answer is on its way.
        """
        return self._again().future

    def send_again(self) -> str:
        """Ask the last question, again or for the first time, wait, and return the answer, as :meth:`send` does."""
        return self._answer(self._again)

    def edit(self, i: int, text: str) -> Future[Turn]:
        """Ask another question in place of question ``i``; what came after it is forgotten.

        Raises
        ------
        TSNError
            If turn ``i`` is no question, or an answer is on its way.
        """
        if not 0 <= i < len(self._turns) or self._turns[i].role != "user":
            raise TSNError(f"turn {i!r} is no question of this chat")
        return self._question(text, i).future

    @property
    def last_question(self) -> int | None:
        """The position of the last question; None before there is one."""
        return max((i for i, turn in enumerate(self._turns) if turn.role == "user"), default=None)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell somebody what happens, and return the function that ends it."""
        return self._listeners.add(listener)

    def models(self) -> Future[list[str]]:
        """Return the models that the service lists; none where it has no list."""
        return process_state.submit(listed(self.client, self.client.key()))

    def _answer(self, ask: Callable[[], PendingAnswer]) -> str:
        _may_wait()
        try:
            return ask().answer()
        except KeyboardInterrupt:  # at any moment, also just after it was asked
            going = self._asking
            if going:
                going.stop()
                going.wait()
            raise

    def _again(self) -> PendingAnswer:
        at = self.last_question
        if at is None:
            raise TSNError("nothing was asked yet, so there is nothing to ask again")
        return self._ask(self._turns[at], at, fresh=True)

    def _question(self, text: str, at: int | None = None) -> PendingAnswer:
        if not isinstance(text, str) or not text.strip():
            raise PromptError(f"a question must be a text that isn't blank, got {quoted(text)}")
        return self._ask(Turn("user", plain("the question", text), time=time.time()), at)

    def _ask(self, question: Turn, at: int | None, *, fresh: bool = False) -> PendingAnswer:
        """Ask in place of what was said from turn ``at`` on; None: after all that is said when no answer can come any more."""
        key = self.client.key()
        with self._lock:
            self._check_free()
            before = self._turns
            try:
                going = self._begun(key, question, at, fresh=fresh)
                self._listeners.tell_later("changed")
                process_state.begin(going)
            except BaseException:  # else the chat would wait for an answer that nobody brings, or that nobody wants after Ctrl-C
                asked, self._turns, self._asking = self._asking, before, None
                if asked:
                    asked.stop()
                raise
        return going

    def _begun(self, key: Secret, question: Turn, at: int | None, *, fresh: bool) -> PendingAnswer:
        """Take a question into what was said, and return its answer's way, which is still to be gone."""
        self._turns = turns = (*self._turns[:at], question)
        request = self._setup.request(self.client, self.messages)
        self._asked += 1
        mode: CacheMode = "refresh" if fresh and self.cache == "use" else self.cache
        asking = partial(
            StreamedRequest, self.client, key, request, mode=mode, name=f"{self.id}-{self._asked}", run=self.id, tag=self.tag or "chat",
            usage=self._usage, budget=self._budget,
        )  # fmt: skip
        self._asking = PendingAnswer(
            lambda grew: asking(grew=grew), lambda name, *about: self._listeners.tell(name, len(turns), *about), self._ended
        )
        return self._asking

    def _ended(self, going: PendingAnswer, turn: Turn) -> None:
        with self._lock:
            if self._asking is going:
                self._turns, self._asking = (*self._turns, turn), None
                self._usage, self._budget = going.asking.usage, going.asking.budget

    def _change(self, change: Callable[[ChatSettings], ChatSettings]) -> None:
        """Change a setting, and tell the listeners."""
        with self._lock:
            self._check_free()
            self._setup = change(self._setup)
        self._listeners.tell_later("changed")

    def _check_free(self) -> None:
        """Refuse a change while an answer is on its way.

        Under the lock, which the engine's thread takes, too: no context manager of ours, whose end Ctrl-C may leave out.
        """
        if self._asking is not None:
            raise Busy("an answer is on its way: wait for it, or stop() it first")


def _may_wait() -> None:
    if process_state.loop is not None and asyncio._get_running_loop() is process_state.loop:
        raise TSNError("this waits for the answer, and the engine's thread can't: use start()")


def _mode(cache: CacheMode) -> CacheMode:
    if cache not in ("off", "use", "refresh", "only"):
        raise ParameterError(f"cache must be one of 'off', 'use', 'refresh', 'only', got {quoted(cache)}")
    return cache
