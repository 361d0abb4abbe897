"""The state of a chat: its turns and settings, which change only while no answer streams, and its listener."""

from __future__ import annotations

import logging
import operator
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ...errors import ConfigError, ParameterError, PromptError, TSNError
from ...text import plural, quoted
from ..runtime.client import Client
from ..runtime.process import process_state
from .chat_message import Turn, turns_of
from .chat_settings import ChatSettings
from .listener import Listener
from .pending_answer import PendingAnswer
from .template_protocol import RowTemplates, with_templates

log = logging.getLogger("tsn_frames")


class Busy(TSNError):
    """An answer streams, so that nothing can be changed."""


class ChatState:
    """Turns and settings of a chat, for use from any thread."""

    def __init__(self, client: Client, messages: Sequence[Mapping[str, Any]], model: str | None, system: str | None,
                 parameters: Mapping[str, Any]) -> None:  # fmt: skip
        if not isinstance(client, Client):
            hint = "; a model's name goes into model=" if isinstance(client, str) else ""
            raise ConfigError(f"client must be a tsn.Client(...), got a {type(client).__name__}{hint}")
        self.client = client
        self.listener: Listener | None = None
        self._lock = threading.RLock()
        self._pending: PendingAnswer | None = None
        self._asked: tuple[Turn, ...] = ()
        self.templates: RowTemplates | None = None  # fills the templates, in a chat about a row
        self._turns, first = turns_of(() if messages is None else messages)
        if first is not None and system is not None:
            raise PromptError("messages begin with a system message: leave system= out, or take it off")
        settings = ChatSettings().with_model(model).with_system(system if first is None else first)
        self._settings = settings.with_parameters(parameters)

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
