"""The listener of a conversation: a page, or a terminal."""

from __future__ import annotations

from .turn import Turn


class Listener:
    """Callbacks of a conversation. They run on the engine's loop, so they return at once and do slow work elsewhere."""

    def on_change(self) -> None:
        """Handle a new question, the removal or replacement of turns, or the change of a setting."""

    def on_text(self, text: str) -> None:
        """Handle the answer's text so far; at most 25 times a second."""

    def on_end(self, turn: Turn) -> None:
        """Handle the final turn."""
