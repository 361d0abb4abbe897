"""Handle messages from the browser: send, stop, edit, settings. They arrive on any thread of the kernel."""

from __future__ import annotations

import logging
from typing import Any

from ..engine.chat.conversation import Busy, Conversation
from ..errors import TSNError
from ..text import sentence, warnings_to
from ..verbs.chat.row_chat import AllRowsOf
from . import view_model
from .page_sync import PageSync

log = logging.getLogger("tsn_frames")


class PageRequests:
    """Dispatches a page's message to the conversation; an error goes back to that page."""

    def __init__(self, chat: Conversation, page: PageSync, all_rows: AllRowsOf | None) -> None:
        self._chat, self._page, self._all_rows = chat, page, all_rows

    def __call__(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Handle one message from ipywidgets."""
        view = message.get("view") if isinstance(message, dict) else None
        try:
            with warnings_to(lambda text: self._page.send("notice", str(view), text=text)):
                self._act(message, str(view))
        except TSNError as error:
            self._page.send(
                "refused", str(view), text=sentence(str(error)), field=message.get("name", "text"), n=message.get("n")
            )

    def _act(self, message: Any, view: str) -> None:
        match message:
            case {"type": "send", "text": str(text)}:
                self._chat.start(text)
            case {"type": "stop"}:
                self._chat.stop()
            case {"type": "regenerate"}:
                self._chat.regenerate()
            case {"type": "edit", "index": int(i), "text": str(text)}:
                self._chat.edit(i, text)
            case {"type": "undo"}:
                self._chat.truncate(self._chat.last_question or 0)
            case {"type": "clear"}:
                self._chat.clear()
            case {"type": "set", "name": str(name), "value": value}:
                self._change_setting(name, value, view, message.get("n"))
            case _:
                self._answer(message, view)

    def _answer(self, message: Any, view: str) -> None:
        match message:
            case {"type": "hello"}:
                self._page.attach(view)
            case {"type": "earlier", "before": int(before)}:
                self._page.show_earlier(view, before)
            case {"type": "models"}:
                self._chat.list_models().add_done_callback(self._page.list_models)
            case {"type": "code"} if self._all_rows is not None:
                code = self._all_rows(message.get("question"))
                self._page.send("code", view, **view_model.all_rows(code))
            case _:
                log.debug("unknown message from the page: %.80r", message)

    def _change_setting(self, name: str, value: Any, view: str, n: Any) -> None:
        try:
            if name in ("model", "system"):
                setattr(self._chat, "system_template" if name == "system" else name, value)
            else:
                self._chat.set_parameter(name, value)
        except Busy:  # an answer is streaming: the page keeps the setting and sends it again later
            self._page.defer_setting(view, name)
        else:
            self._page.confirm_setting(view, name, n)
