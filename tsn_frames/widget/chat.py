"""``tsn.Chat``: a conversation as a widget. The conversation belongs to the engine, the page is ``chat.js``."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Unpack

import pandas as pd
import traitlets

from ..api.parameters import SamplingParameters
from ..default_client import get_client
from ..engine.cache.cache import CacheMode
from ..engine.chat.conversation import Conversation
from ..engine.runtime.client import Client
from ..keyword_options import check_names, spelled_out
from ..text import plural
from ..verbs.chat import row_chat as verbs
from . import view_model
from .markdown_transcript import from_markdown, to_markdown
from .page_requests import PageRequests
from .page_sync import PageSync
from .page_widget import PageWidget, page_source
from .static_transcript import StaticTranscript


class Chat(PageWidget):
    """A chat with a model: displayed as the last line of a cell, and usable from code.

    The widget's state holds nothing secret and nothing large: the key stays in the client.

    Parameters
    ----------
    client : Client, optional
        Default: the client of :func:`set_client`, else one made from the environment.
    model : str, optional
        Default: the client's model. The page can change it.
    system : str, optional
        The system prompt.
    messages : list of dict, optional
        Earlier messages in the API's form: ``[{"role": "user", "content": "..."}, ...]``.
    temperature, top_p, max_tokens, stop, frequency_penalty, presence_penalty, response_format, seed, extra_body : optional
        The API's parameters; only those that are set are sent.
    cache : {"off", "use", "refresh", "only"}, default "off"
        With "off" a repeated question is sent again. Only whole answers with usage are stored.
    tag : str, optional
        Label of the spending in the ledger; default ``"chat"``.

    Raises
    ------
    ParameterError, PromptError, ConfigError
        If a setting or a message can't be sent.

    Examples
    --------
    >>> import tsn_frames as tsn
    >>> sim = tsn.simulate(latency=0.0)
    >>> chat = tsn.Chat(system="Answer with one of: yes, no.")
    >>> answer = chat.send("Is the sky blue? One of: yes, no.")
    >>> [message["role"] for message in chat.messages]
    ['system', 'user', 'assistant']
    >>> chat.close()
    >>> sim.close()
    """

    _esm = page_source("chat.js")
    _css = page_source("chat.css")
    _instead_of_copy = "make another with tsn.Chat(messages=chat.messages)"
    _messages: traitlets.List[dict[str, str]] = traitlets.List().tag(sync=True)
    _transcript = traitlets.Unicode().tag(sync=True)

    @spelled_out(SamplingParameters, per_row=False)
    def __init__(
        self, client: Client | None = None, *, model: str | None = None, system: str | None = None,
        messages: Sequence[Mapping[str, Any]] = (), cache: CacheMode = "off", tag: str | None = None,
        **parameters: Unpack[SamplingParameters],
    ) -> None:  # fmt: skip
        check_names(Chat.__init__, parameters)
        chat = Conversation(
            client if client is not None else get_client(), model=model, system=system, messages=messages, cache=cache, tag=tag,
            **parameters,
        )  # fmt: skip
        self._show(chat)

    @classmethod
    @spelled_out(SamplingParameters, per_row=False)
    def from_markdown(
        cls, text: str, client: Client | None = None, *, model: str | None = None, cache: CacheMode = "off", tag: str | None = None,
        **parameters: Unpack[SamplingParameters],
    ) -> Chat:  # fmt: skip
        r"""Take up a conversation that :meth:`to_markdown` has written, or that a saved notebook shows; nothing is sent yet.

        Parameters
        ----------
        text : str
            The conversation. Pictures, tool calls and costs are not in it.
        client, model, cache, tag : optional
            As for :class:`Chat`; the system prompt is that of the conversation.
        temperature, top_p, max_tokens, stop, frequency_penalty, presence_penalty, response_format, seed, extra_body : optional
            As for :class:`Chat`.

        Raises
        ------
        ParameterError, ConfigError
            If the text can't be read as such a conversation, or a setting can't be sent.

        Examples
        --------
        >>> import tsn_frames as tsn
        >>> sim = tsn.simulate(latency=0.0)
        >>> chat = tsn.Chat.from_markdown("**User**\n\nHi\n\n---\n\n**Assistant**\n\nHello")
        >>> chat.messages
        [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello'}]
        >>> chat.close()
        >>> sim.close()
        """
        check_names(Chat.from_markdown, parameters)
        system, turns = from_markdown(text)
        client = client if client is not None else get_client()
        chat = Conversation(client, model=model, system=system, cache=cache, tag=tag, **parameters)
        chat.replace_turns(turns)
        return cls._over(chat)

    @classmethod
    def _over(cls, chat: Conversation, about: str = "", all_rows: verbs.AllRowsOf | None = None) -> Chat:
        """Return a chat over an existing conversation; ``all_rows`` generates the code of "apply to all rows"."""
        made = cls.__new__(cls)
        made._show(chat, about, all_rows)
        return made

    def _show(self, chat: Conversation, about: str = "", all_rows: verbs.AllRowsOf | None = None) -> None:
        self._chat, self._saved, self._keeping = chat, StaticTranscript(chat), threading.RLock()
        super().__init__(_transcript=self._saved.name, _messages=view_model.plain(chat))
        self._page = PageSync(chat, super().send, self._keep, about)
        chat.listener = self._page
        self.on_msg(PageRequests(chat, self._page, all_rows))

    # For code

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages in the API's form, as they are sent; assign a list to replace them."""
        return self._chat.messages

    @messages.setter
    def messages(self, messages: Sequence[Mapping[str, Any]]) -> None:
        with self._kept():
            self._chat.messages = messages

    @property
    def model(self) -> str | None:
        """The model."""
        return self._chat.model

    @model.setter
    def model(self, name: str | None) -> None:
        with self._kept():
            self._chat.model = name

    @property
    def system(self) -> str | None:
        """The system prompt; None for none."""
        return self._chat.system

    @system.setter
    def system(self, text: str | None) -> None:
        with self._kept():
            self._chat.system = text

    @property
    def parameters(self) -> dict[str, Any]:
        """The API's parameters that are set; assign a dict to replace them."""
        return self._chat.parameters

    @parameters.setter
    def parameters(self, values: Mapping[str, Any]) -> None:
        self._chat.parameters = values

    def send(self, text: str) -> str:
        """Send a message, wait and return the answer, which streams to the page; an interrupt stops it and keeps the partial text.

        Raises
        ------
        RunError
            If there is no answer, or only a part of one; ``messages`` has the part.
        TSNError
            If an answer is streaming.
        """
        with self._kept():
            return self._chat.send(text)

    def regenerate(self) -> str:
        """Send the last question again, wait and return the answer; it raises what :meth:`send` does, and TSNError without a question."""
        with self._kept():
            return self._chat.resend()

    def stop(self) -> None:
        """Stop the streaming answer: its connection is closed, the partial text stays."""
        self._chat.stop()

    def clear(self) -> None:
        """Remove all messages; the system prompt and the settings stay."""
        with self._kept():
            self._chat.clear()

    def truncate(self, i: int) -> None:
        """Remove message ``i`` and all after it, not counting the system prompt: ``truncate(-2)`` removes the last exchange."""
        with self._kept():
            self._chat.truncate(i)

    def to_frame(self, *, removed: bool = False) -> pd.DataFrame:
        """Return the messages as a frame, without the system prompt.

        Parameters
        ----------
        removed : bool, default False
            True: also the questions and answers that were regenerated, edited, undone or cleared, in the order in which they
            were asked. The column ``cost`` is then all that this chat has paid.

        Returns
        -------
        DataFrame
            A row per message: ``role``, ``content``, ``model``, ``prompt_tokens``, ``completion_tokens``, ``total_tokens``,
            ``cost``, ``seconds``, ``time``, ``finish_reason``, ``state``, ``error``, ``reasoning``; with ``removed`` also ``shown``, which is
            False for what is no longer in the chat.
        """
        return verbs.to_frame(self._chat, removed=removed)

    def to_markdown(self) -> str:
        """Return the conversation as Markdown, which :meth:`from_markdown` reads."""
        return to_markdown(self._chat)

    def close(self) -> None:
        """Stop a streaming answer and remove the widget from the page."""
        if hasattr(self, "_page"):  # not after an error in the constructor: ipywidgets closes that widget, too
            self._chat.listener = None
            self._chat.stop()
        super().close()

    def __repr__(self) -> str:
        return f"Chat(model={self.model!r}, {plural(len(self._chat.turns), 'message')})"

    # For a notebook

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Return the widget and a fallback without one: escaped text, never markdown."""
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        return {**data, **self._saved.bundle()}, metadata

    def _ipython_display_(self) -> None:
        from IPython.display import display

        data, metadata = super()._repr_mimebundle_() or ({}, {})
        display(data, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
        with self._keeping:  # an answer may end just now
            self._saved.display()

    def _keep(self) -> None:
        """Store the transcript in the widget's state and output, once per turn."""
        if self._chat.streaming:
            return  # called again at its end
        with self._keeping:  # called on the caller's and on the background thread
            self._messages = view_model.plain(self._chat)
            self._saved.refresh()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Store the transcript before the cell ends: nbclient drops output that arrives later."""
        try:
            yield
        finally:
            self._keep()
