"""A conversation: messages, a stream that can be stopped, and what each answer came to. It knows no widget.

It is used from any thread. Answers stream on the engine's one loop, through the same limiter, ledger and cache as frames.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from ..errors import ConfigError, ParameterError, PromptError, RunError, TSNError, did_you_mean, quoted
from ..parameters import ORDER, body, check, plain
from ..secret import Secret, redact
from ..wire import Completion, Request, Unreadable, body_head, dumps, load
from .budget import check_bounded
from .cache import key as key_of
from .client import Client
from .purse import Purse
from .registry import here
from .run import CacheMode
from .streaming import Asking, Ending, State
from .transport import Answer, open_stream

log = logging.getLogger("tsn_frames")
BEAT = 0.04  # seconds between two news of a growing answer: more of them slow a page down and nobody sees them
ROLES = ("system", "user", "assistant", "developer", "tool")
_PARAMETERS = (*ORDER[1:], "extra_body")


class Turn(NamedTuple):
    """One message of a conversation and what it came to.

    Attributes
    ----------
    role : str
        ``user``, ``assistant``, or another one of the API.
    content : str or list
        The text; a list of parts where such a message was given.
    model : str or None
        Who answered.
    prompt_tokens, completion_tokens, total_tokens : int or None
        What the service counted; None where it did not say.
    cost : Decimal or None
        What this turn visibly paid, in the currency of the prices; None where that is unknown.
    seconds : float or None
        From the question to the end of the answer, waiting included.
    time : float or None
        When it was asked, or the answer ended, in POSIX seconds; None for what was not said in this chat.
    finish_reason : str or None
        Why the answer ended, in the service's words.
    error : str or None
        Why there is no answer, or not all of it.
    state : {"whole", "stopped", "failed"}
        Whether it is all there.
    reasoning : str or None
        What the model thought aloud before it answered.
    cached : bool
        Whether the answer came from the cache.
    extra : dict
        Other fields of the message, such as ``tool_calls``.
    """

    role: str
    content: Any
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cost: Decimal | None = None
    seconds: float | None = None
    time: float | None = None
    finish_reason: str | None = None
    error: str | None = None
    state: State = "whole"
    reasoning: str | None = None
    cached: bool = False
    extra: Mapping[str, Any] = {}

    @property
    def message(self) -> dict[str, Any]:
        """The message as the API has it."""
        return {"role": self.role, "content": self.content, **self.extra}

    @property
    def sendable(self) -> bool:
        """Whether the API would take it: an answer that never came is shown, and not sent along."""
        return bool(self.content) or bool(self.extra)


class Listener(Protocol):
    """Who is told what happens; called on the engine's thread, so it returns at once and does the rest elsewhere."""

    def began(self, i: int) -> None:
        """Hear that an answer is awaited: it will be ``turns[i]``."""

    def grew(self, i: int, text: str) -> None:
        """Hear what the answer says so far; at most 25 times a second."""

    def ended(self, i: int, turn: Turn) -> None:
        """Hear what came of it."""

    def changed(self) -> None:
        """Hear that turns were taken away or replaced, or that a setting is another."""


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
    temperature, top_p, max_tokens, stop, frequency_penalty, presence_penalty, extra_body : optional
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
    >>> from tsn_frames.engine.client import Client
    >>> from tsn_frames.simulator import Simulator
    >>> with Simulator(latency=0.0) as sim:
    ...     chat = Conversation(Client(sim.base_url, model="sim-small"), system="Answer with one of: yes, no.")
    ...     answer = chat.send("Is the sky blue? One of: yes, no.")
    >>> answer in ("yes", "no"), [turn.role for turn in chat.turns]
    (True, ['user', 'assistant'])
    """

    def __init__(
        self, client: Client, *, model: str | None = None, system: str | None = None, messages: Sequence[Mapping[str, Any]] = (),
        temperature: float | None = None, top_p: float | None = None, max_tokens: int | None = None,
        stop: str | Sequence[str] | None = None, frequency_penalty: float | None = None, presence_penalty: float | None = None,
        extra_body: Mapping[str, Any] | None = None, cache: CacheMode = "off", tag: str | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(client, Client):
            raise ConfigError(f"client must be a tsn.Client(...), got a {type(client).__name__}")
        self.client, self.cache, self.tag = client, _mode(cache), tag
        self.id = uuid.uuid4().hex[:12]
        self._lock, self._listeners = threading.RLock(), list[Listener]()
        self._turns: tuple[Turn, ...] = ()
        self._asking: _Going | None = None
        self._usage, self._asked = True, 0
        self._purse: Purse | None = None  # one for all turns: the budget of a run is that of a chat
        self._model, self._system, self._parameters = None, None, dict[str, Any]()
        self.model, self.system = model, system
        self.parameters = {
            "temperature": temperature, "top_p": top_p, "max_tokens": max_tokens, "stop": stop,
            "frequency_penalty": frequency_penalty, "presence_penalty": presence_penalty, "extra_body": extra_body,
        }  # fmt: skip
        if messages:
            turns, first = _turns_of(messages)
            if first is not None and system is not None:
                raise PromptError("messages begin with a system message: leave system= out, or take it off")
            self._turns, self._system = turns, system if first is None else first

    @property
    def turns(self) -> tuple[Turn, ...]:
        """What was said; without the answer that is still on its way."""
        return self._turns

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages as the API has them and as they are sent: the system prompt, then the turns that have a content."""
        first = [{"role": "system", "content": self._system}] if self._system is not None else []
        return [*first, *(turn.message for turn in self._turns if turn.sendable)]

    @messages.setter
    def messages(self, given: Sequence[Mapping[str, Any]]) -> None:
        turns, system = _turns_of(given)
        with self._between():
            self._turns, self._system = turns, system

    @property
    def model(self) -> str | None:
        """Who is asked."""
        return self._model or self.client.model

    @model.setter
    def model(self, name: str | None) -> None:
        checked = None if name is None else check("model", name)
        with self._between():
            self._model = checked

    @property
    def system(self) -> str | None:
        """The system prompt; None for none."""
        return self._system

    @system.setter
    def system(self, text: str | None) -> None:
        if text is not None and not isinstance(text, str):
            raise PromptError(f"system must be a text, got {quoted(text)}")
        checked = None if text is None else plain("system", text)
        with self._between():
            self._system = checked

    @property
    def parameters(self) -> dict[str, Any]:
        """The API's parameters that are set; give another dict to change them."""
        return dict(self._parameters)

    @parameters.setter
    def parameters(self, values: Mapping[str, Any]) -> None:
        if not isinstance(values, Mapping):
            raise ParameterError(f"parameters must be a dict such as {{'temperature': 0.2}}, got {quoted(values)}")
        checked = {}
        for name, value in values.items():
            if name not in _PARAMETERS:
                raise ParameterError(
                    f"there is no parameter {name!r}; {did_you_mean(name, _PARAMETERS)}. Others go into extra_body"
                )
            if value is not None:
                checked[name] = check(name, value)
        with self._between():
            self._parameters = checked

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
    def now(self) -> tuple[tuple[Turn, ...], str | None]:
        """``turns`` and ``partial`` of the same moment."""
        with self._lock:
            return self._turns, self.partial

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
        if not isinstance(text, str) or not text.strip():
            raise PromptError(f"a question must be a text that isn't blank, got {quoted(text)}")
        return self._ask(Turn("user", plain("the question", text), time=time.time()), len(self._turns))

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
        if here.loop is not None and asyncio._get_running_loop() is here.loop:
            raise TSNError("send() waits, and the engine's thread can't: use start()")
        future = self.start(text)
        going = self._asking
        try:
            turn = future.result()
        except KeyboardInterrupt:
            self.stop()
            future.result()
            raise
        if turn.state == "failed":
            raise (going.kind if going and going.kind else RunError)(turn.error)
        return turn.content if isinstance(turn.content, str) else ""

    def stop(self) -> None:
        """Stop the answer that is on its way, from any thread: its connection is closed, what came stays."""
        going = self._asking
        if going:
            going.stop()

    def clear(self) -> None:
        """Forget all turns; the system prompt and the settings stay."""
        self.truncate(0)

    def truncate(self, i: int) -> None:
        """Forget turn ``i`` and all after it: ``truncate(-2)`` takes the last question and its answer back."""
        with self._between():
            self._turns = self._turns[:i]

    def replay(self, turns: Iterable[Turn]) -> None:
        """Put turns in the place of those that are there, with what they came to."""
        with self._between():
            self._turns = tuple(turns)

    def regenerate(self) -> Future[Turn]:
        """Ask the last question again, in place of its answer; a cached answer is not what is wanted then.

        Raises
        ------
        TSNError
            If nothing was asked yet, or an answer is on its way.
        """
        asked = [i for i, turn in enumerate(self._turns) if turn.role == "user"]
        if not asked:
            raise TSNError("nothing was asked yet, so there is nothing to ask again")
        return self._ask(self._turns[asked[-1]], asked[-1], fresh=True)

    def edit(self, i: int, text: str) -> Future[Turn]:
        """Ask another question in place of question ``i``; what came after it is forgotten.

        Raises
        ------
        TSNError
            If turn ``i`` is no question, or an answer is on its way.
        """
        if not 0 <= i < len(self._turns) or self._turns[i].role != "user":
            raise TSNError(f"turn {i!r} is no question of this chat")
        if not isinstance(text, str) or not text.strip():
            raise PromptError(f"a question must be a text that isn't blank, got {quoted(text)}")
        return self._ask(Turn("user", plain("the question", text), time=time.time()), i)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell somebody what happens, and return the function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def models(self) -> Future[list[str]]:
        """Return the models that the service lists; none where it has no list."""
        return here.submit(_models(self.client, self.client.key()))

    def to_markdown(self) -> str:
        """Return what was said as a text to read or to keep."""
        parts = [f"**System**\n\n{self._system}"] if self._system is not None else []
        for turn in self._turns:
            named = f"**{turn.role.capitalize()}**" + (f" ({turn.model})" if turn.model else "")
            note = f"\n\n*{turn.state}{f': {turn.error}' if turn.error else ''}*" if turn.state != "whole" else ""
            parts.append(f"{named}\n\n{text_of(turn.content)}{note}")
        return "\n\n---\n\n".join(parts) + "\n"

    def _ask(self, question: Turn, at: int, *, fresh: bool = False) -> Future[Turn]:
        key = self.client.key()
        with self._between():
            turns = (*self._turns[:at], question)
            before, self._turns = self._turns, turns
            try:
                request = self._request()
            except BaseException:
                self._turns = before
                raise
            self._asked += 1
            going = self._asking = _Going(self, at + 1, request, key, "refresh" if fresh and self.cache == "use" else self.cache)
        here.going[going] = done = here.submit(going.run())
        done.add_done_callback(lambda _: here.going.pop(going, None))
        return going.future

    def _request(self) -> Request:
        """Return the very request that ``complete`` would make of these messages."""
        model = self.model
        if model is None:
            raise ConfigError(
                "no model is given: write model='...', or Client(model='...'), or set the environment variable TSN_MODEL"
            )
        head, messages = body_head(body({"model": model, **self._parameters})), dumps(self.messages)
        request = Request(
            key_of(self.client.base_url, 0, head, messages), head, messages, model, self._parameters.get("max_tokens")
        )
        if self.client.budget:
            check_bounded(self.client.prices, [request])
        return request

    def _between(self) -> _Between:
        return _Between(self)

    def _tell(self, name: str, *args: Any) -> None:
        for listener in list(self._listeners):
            try:
                getattr(listener, name)(*args)
            except Exception:  # a listener's mistake ends no answer
                log.exception("a listener of the chat failed")


class _Between:
    """A change between two answers: refused while one streams, told to the listeners afterwards."""

    def __init__(self, chat: Conversation) -> None:
        self._chat = chat

    def __enter__(self) -> None:
        self._chat._lock.acquire()
        if self._chat._asking is not None:
            self._chat._lock.release()
            raise TSNError("an answer is on its way: wait for it, or stop() it first")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._chat._lock.release()
        if kind is None and self._chat._listeners:
            here.submit(_told(self._chat))


async def _told(chat: Conversation) -> None:
    chat._tell("changed")


class _Going:
    """The answer that is on its way."""

    def __init__(self, chat: Conversation, at: int, request: Request, key: Secret, mode: CacheMode) -> None:
        self.future: Future[Turn] = Future()
        self.future.set_running_or_notify_cancel()  # stop() ends it, so that what came is kept
        self.told = ""
        self.kind: type[RunError] | None = None
        self._chat, self._at, self._begun = chat, at, time.monotonic()
        self._beat: asyncio.TimerHandle | None = None
        self._shown = 0
        self._asking = Asking(
            chat.client, key, request, mode=mode, name=f"{chat.id}-{chat._asked}", run=chat.id, tag=chat.tag or "chat",
            usage=chat._usage, purse=chat._purse, grew=self._grew,
        )  # fmt: skip

    def stop(self, grace: float = 0.0) -> None:  # noqa: ARG002 - as a run is stopped, at the interpreter's end
        """End it, from any thread."""
        if here.loop:
            here.loop.call_soon_threadsafe(self._asking.stop)

    async def run(self) -> None:
        """Bring the answer, whatever happens."""
        self._chat._tell("began", self._at)
        try:
            ending = await self._asking.ask()
        except Exception as error:  # a setting that can't work, or a bug of ours: nobody waits for ever
            log.debug("a chat's question failed", exc_info=True)
            shown = redact(f"{type(error).__name__}: {error}")
            ending = Ending("failed", Completion(self._asking.reply.text or None), shown, RunError, None)
        finally:
            if self._beat:
                self._beat.cancel()
        self._end(ending)

    def _end(self, ending: Ending) -> None:
        chat, turn = self._chat, self._turn(ending)
        with chat._lock:
            chat._turns, chat._usage, self.kind = (*chat._turns, turn), self._asking.usage, ending.kind
            chat._asking, chat._purse = None, self._asking.purse
        chat._tell("ended", self._at, turn)
        self.future.set_result(turn)

    def _turn(self, ending: Ending) -> Turn:
        answer = ending.completion
        return Turn(
            "assistant", answer.content or "", answer.model or self._asking.model, answer.prompt_tokens, answer.completion_tokens,
            answer.total_tokens, ending.cost, time.monotonic() - self._begun, time.time(), answer.finish_reason, ending.error,
            ending.state, answer.reasoning, ending.cached,
        )  # fmt: skip

    def _grew(self) -> None:
        if self._beat is None:
            self._show()
            self._beat = asyncio.get_running_loop().call_later(BEAT, self._later)

    def _later(self) -> None:
        self._beat = None
        if self._asking.reply.size > self._shown:
            self._grew()

    def _show(self) -> None:
        self.told, self._shown = self._asking.reply.text, self._asking.reply.size
        self._chat._tell("grew", self._at, self.told)


async def _models(client: Client, key: Secret) -> list[str]:
    transport = open_stream(client.base_url, key, client.timeout)
    try:
        answer = await transport.get(f"{client.base_url}/models")
    finally:
        await transport.aclose()
    try:
        listed = load(answer.body).get("data") if isinstance(answer, Answer) and answer.status == 200 else []
        return [model["id"] for model in listed if isinstance(model["id"], str)]
    except (Unreadable, AttributeError, TypeError, KeyError):
        return []


def _mode(cache: CacheMode) -> CacheMode:
    if cache not in ("off", "use", "refresh", "only"):
        raise ParameterError(f"cache must be one of 'off', 'use', 'refresh', 'only', got {quoted(cache)}")
    return cache


def _turns_of(messages: Sequence[Mapping[str, Any]]) -> tuple[tuple[Turn, ...], str | None]:
    """Return messages as turns, and the system prompt that they begin with."""
    if isinstance(messages, (str, Mapping)) or not isinstance(messages, Sequence):
        raise PromptError(
            f"messages must be a list of dicts such as {{'role': 'user', 'content': '...'}}, got {quoted(messages)}"
        )
    turns = [_turn_of(message, number) for number, message in enumerate(messages)]
    if turns and turns[0].role == "system" and isinstance(turns[0].content, str):
        return tuple(turns[1:]), turns[0].content
    return tuple(turns), None


def _turn_of(message: Mapping[str, Any], number: int) -> Turn:
    where = f"messages, message {number},"
    if not isinstance(message, Mapping) or message.get("role") not in ROLES:
        raise PromptError(f"{where} must be a dict with a role ({', '.join(ROLES)}) and a content, got {quoted(message)}")
    values = plain(where, dict(message))
    role, content = values.pop("role"), values.pop("content", None)
    if not isinstance(content, str) and not (isinstance(content, list) and content) and not values.get("tool_calls"):
        raise PromptError(f"{where} has the content {quoted(content)}: it must be a text, or a list of parts as the API has them")
    return Turn(role, content, extra=values)


def text_of(content: Any) -> str:
    r"""Return a content as a text; parts that aren't texts are named.

    Examples
    --------
    >>> text_of([{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {}}])
    'What is this?\n[image_url]'
    """
    if isinstance(content, list):
        return "\n".join(
            str(part.get("text") or f"[{part.get('type', 'part')}]") for part in content if isinstance(part, Mapping)
        )
    return str(content or "")
