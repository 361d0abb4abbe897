"""What stays readable when there is no kernel: a transcript beside the widget, every character of it escaped.

JupyterLab saves a notebook without the state of its widgets. So a second, hidden output has the conversation as plain text,
brought up to date after each turn; a live view hides it.
"""

from __future__ import annotations

from typing import Any

from ..engine.chat.conversation import Conversation
from . import view_model


class StaticTranscript:
    """The transcript of one conversation where it is displayed."""

    def __init__(self, chat: Conversation) -> None:
        self._chat = chat
        self.name = f"tsn-saved-{chat.id}"
        self._displayed: dict[str, Any] | None = None

    def display(self) -> None:
        """Add it to the outputs of the running cell."""
        self._publish(self.bundle(), update=False)

    def refresh(self) -> None:
        """Bring every displayed one up to date."""
        if self._displayed and (now := self.bundle()) != self._displayed:
            self._publish(now, update=True)

    def bundle(self) -> dict[str, Any]:
        """Return the transcript in the formats that every notebook can show."""
        return {"text/plain": view_model.transcript(self._chat), "text/html": view_model.saved_html(self._chat, self.name)}

    def _publish(self, bundle: dict[str, Any], *, update: bool) -> None:
        from IPython.display import publish_display_data

        publish_display_data(bundle, {}, transient={"display_id": self.name}, update=update)  # type: ignore[no-untyped-call]
        self._displayed = bundle
