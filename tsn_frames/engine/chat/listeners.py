"""Listeners of a conversation: what they implement, and how they are notified."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ..runtime.process import process_state
from .chat_message import Turn

log = logging.getLogger("tsn_frames")


class Listener:
    """Callbacks of a conversation. They run on the engine's loop, so they return at once and do slow work elsewhere."""

    def on_change(self) -> None:
        """Handle a new question, the removal or replacement of turns, or the change of a setting."""

    def on_text(self, text: str) -> None:
        """Handle the answer's text so far; at most 25 times a second."""

    def on_end(self, turn: Turn) -> None:
        """Handle the final turn."""


class Listeners:
    """The listeners of one conversation; an exception of one of them is logged."""

    def __init__(self) -> None:
        self._all: list[Listener] = []

    def add(self, listener: Listener) -> Callable[[], None]:
        """Add a listener and return the function that removes it."""
        self._all.append(listener)
        return lambda: self._all.remove(listener) if listener in self._all else None

    def notify(self, name: str, *args: Any) -> None:
        """Call a callback of all listeners; on the loop's thread."""
        for listener in list(self._all):
            try:
                getattr(listener, name)(*args)
            except Exception:
                log.exception("a listener of the chat failed")

    def notify_threadsafe(self, name: str, *args: Any) -> None:
        """Call a callback of all listeners, from any thread."""
        if self._all:
            process_state.call(self.notify, name, *args)
