"""What a page asks of a conversation, on whatever thread the kernel hears it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ..engine.chat.conversation import Busy, Conversation
from ..errors import TSNError
from .incremental_markdown import render
from .page_sync import PageSync

log = logging.getLogger("tsn_frames")


class PageRequests:
    """Does what a page asks, or tells it why not.

    Parameters
    ----------
    chat : Conversation
        What is talked about.
    page : Page
        The way back.
    code : callable or None
        Writes what "apply to all rows" shows; None where there are no rows.
    """

    def __init__(self, chat: Conversation, page: PageSync, code: Callable[[], str] | None) -> None:
        self._chat, self._page, self._code = chat, page, code

    def __call__(self, _widget: Any, said: Any, _buffers: Any) -> None:
        """Take a message as ipywidgets hands it over."""
        view = said.get("view") if isinstance(said, dict) else None
        try:
            self._act(said, str(view))
        except TSNError as error:
            self._page.say("refused", str(view), text=str(error), field=said.get("name", "text"), n=said.get("n"))

    def _act(self, said: Any, view: str) -> None:
        match said:
            case {"type": "send", "text": str(text)}:
                self._chat.start(text)
            case {"type": "stop"}:
                self._chat.stop()
            case {"type": "regenerate"}:
                self._chat.regenerate()
            case {"type": "edit", "index": int(i), "text": str(text)}:
                self._chat.edit(i, text)
            case {"type": "undo"}:
                self._undo()
            case {"type": "clear"}:
                self._chat.clear()
            case {"type": "set", "name": str(name), "value": value}:
                self._take(name, value, view, said.get("n"))
            case _:
                self._tell(said, view)

    def _tell(self, said: Any, view: str) -> None:
        match said:
            case {"type": "hello"}:
                self._page.attach(view)
            case {"type": "earlier", "before": int(before)}:
                self._page.show_earlier(view, before)
            case {"type": "models"}:
                self._chat.models().add_done_callback(self._page.list_models)
            case {"type": "code"} if self._code is not None:
                self._page.say("code", view, text=render(f"~~~~~~~~~~python\n{self._code()}\n~~~~~~~~~~"))
            case _:
                log.debug("the page asked what nobody knows: %.80r", said)

    def _undo(self) -> None:
        self._chat.truncate(self._chat.last_question or 0)

    def _take(self, name: str, value: Any, view: str, n: Any) -> None:
        try:
            self._set(name, value)
        except Busy:  # the page couldn't know: it keeps the setting and says it again
            self._page.put_off(view, name)
        else:
            self._page.took(view, name, n)

    def _set(self, name: str, value: Any) -> None:
        if name == "model":
            self._chat.model = value
        elif name == "system":
            self._chat.system = value
        else:
            self._chat.set(name, value)
