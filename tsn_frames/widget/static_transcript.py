"""A transcript beside the widget that stays readable without a kernel; every character is escaped.

JupyterLab saves a notebook without widget state. So a second output, hidden by the live view, holds the conversation as plain
text and is updated after each turn.
"""

from __future__ import annotations

from typing import Any

from ..engine.chat.conversation import Conversation
from . import view_model


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
        """Return the transcript as a MIME bundle that every notebook can show."""
        return {"text/plain": view_model.transcript(self._chat), "text/html": view_model.saved_html(self._chat, self.name)}

    def _publish(self, bundle: dict[str, Any], *, update: bool) -> None:
        from IPython.display import publish_display_data

        publish_display_data(bundle, {}, transient={"display_id": self.name}, update=update)  # type: ignore[no-untyped-call]
        self._displayed = bundle
