"""A transcript beside the widget that stays readable without a kernel; every character is escaped.

JupyterLab saves a notebook without widget state. So a second output, hidden by the live view, holds the conversation as plain
text and is updated after each turn.
"""

from __future__ import annotations

from html import escape
from typing import Any

from ..engine.chat.conversation import Conversation
from ..text import plural
from . import view_model
from .markdown_transcript import to_markdown


class StaticTranscript:
    """The displayed transcript of one conversation."""

    def __init__(self, chat: Conversation) -> None:
        self._chat = chat
        self.name = f"tsn-saved-{chat.id}"
        self._displayed: dict[str, Any] | None = None

    def display(self) -> None:
        """Add it to the outputs of the running cell."""
        self._publish(self.bundle(), update=False)

    def refresh(self) -> None:
        """Update every displayed transcript."""
        if self._displayed and (now := self.bundle()) != self._displayed:
            self._publish(now, update=True)

    def bundle(self) -> dict[str, Any]:
        """Return the transcript as a MIME bundle that every notebook can show; a live view hides the HTML by its class."""
        chat = self._chat
        text, hint = "No messages yet.", ""
        if view_model.plain(chat):
            text = to_markdown(chat)
            hint = "<p>To go on with it, give this text to <code>tsn.Chat.from_markdown(text)</code>.</p>"
        title = f"Chat, {plural(len(chat.turns), 'message')}" + (f", {chat.model}" if chat.model else "")
        shown = f'<summary>{escape(title)}</summary><pre style="white-space: pre-wrap">{escape(text)}</pre>{hint}'
        return {"text/plain": text, "text/html": f'<details open class="tsn-saved {self.name}">{shown}</details>'}

    def _publish(self, bundle: dict[str, Any], *, update: bool) -> None:
        from IPython.display import publish_display_data

        publish_display_data(bundle, {}, transient={"display_id": self.name}, update=update)  # type: ignore[no-untyped-call]
        self._displayed = bundle
