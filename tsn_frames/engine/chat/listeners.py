"""Who is told what happens in a conversation, and how."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from ..runtime.process import process_state
from .turn import Turn

log = logging.getLogger("tsn_frames")


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


class Listeners:
    """Those who are told; a mistake of one of them ends no answer."""

    def __init__(self) -> None:
        self._all: list[Listener] = []

    def add(self, listener: Listener) -> Callable[[], None]:
        """Tell one more, and return the function that ends it."""
        self._all.append(listener)
        return lambda: self._all.remove(listener) if listener in self._all else None

    def tell(self, name: str, *args: Any) -> None:
        """Tell all of them, on the engine's thread."""
        for listener in list(self._all):
            try:
                getattr(listener, name)(*args)
            except Exception:
                log.exception("a listener of the chat failed")

    def tell_later(self, name: str) -> None:
        """Tell all of them, from any thread."""
        if self._all:
            process_state.call(self.tell, name)
