"""The wire to the pages of one conversation: numbered messages, the changed tail of an answer, everything for a page that is new.

It listens on the engine's thread and returns at once; rendering and sending happen in turn on the thread for errands, so that
neither the loop nor the kernel waits for them, and so that the numbers need no lock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context
from typing import Any

from ..engine.chat.conversation import Conversation
from ..engine.chat.turn import Turn
from ..engine.runtime.process import process_state
from . import view_model
from .incremental_markdown import IncrementalMarkdown

log = logging.getLogger("tsn_frames")
# After a tail nobody makes another for a few times as long as it took, and as its size asks: a huge table is one block, and
# to make and to show all of it 25 times a second would take a whole processor.
REST, MOST_A_SECOND = 3.0, 2_000_000  # times; characters of HTML
WINDOW = 50  # turns that a new page gets at once; those before come when they are asked for


class PageSync:
    """What the pages know of a conversation, and how they hear the rest.

    Parameters
    ----------
    chat : Conversation
        What is shown.
    send : callable
        Takes a message to all pages.
    settled : callable
        Called after each turn and each change.
    about : str
        What the chat is about, such as a row; empty for nothing.
    """

    def __init__(
        self, chat: Conversation, send: Callable[[dict[str, Any]], None], settled: Callable[[], None], about: str = ""
    ) -> None:
        self.models: list[str] = []
        self._chat, self._send, self._settled, self._about = chat, send, settled, about
        self._seq = 0
        self._attached = False
        self._told: list[Turn] = []
        self._growing: IncrementalMarkdown | None = None
        self._question = 0  # whose answer is growing
        self._text, self._due, self._rested = "", False, 0.0
        self._rendered: dict[int, tuple[Turn, list[str]]] = {}

    # What the conversation says, on the engine's thread

    def began(self, i: int) -> None:  # noqa: ARG002 - what is now is read in turn
        """Show that an answer is awaited."""
        self.later(self._sync)

    def grew(self, i: int, text: str) -> None:  # noqa: ARG002
        """Show the changed tail; where the last one is not shown yet, both go as one."""
        self._text = text
        self._pend()

    def _pend(self) -> None:
        if not self._due:
            self._due = True
            pause = max(0.0, self._rested - time.monotonic())
            asyncio.get_running_loop().call_later(pause, self.later, self._tail)

    def ended(self, i: int, turn: Turn) -> None:  # noqa: ARG002
        """Show what came of it."""
        self.later(self._sync)
        self.later(self._settled)

    def changed(self) -> None:
        """Show that turns went or settings changed."""
        self.later(self._sync)
        self.later(self._settled)

    # What a page asks, on any thread

    def later(self, work: Callable[..., None], *args: Any) -> None:
        """Do it in turn, off this thread, in the name of the newest request: a program that runs notebooks drops older ones'."""
        process_state.errand(lambda: Context().run(work, *args))

    def attach(self, view: str) -> None:
        """Tell a page that is new, or that missed something, everything it needs."""
        self.later(self._snapshot, view)

    def show_earlier(self, view: str, before: int) -> None:
        """Tell a page the turns before turn ``before``."""
        self.later(self._earlier, view, before)

    def list_models(self, listed: Future[list[str]]) -> None:
        """Offer the models that the service lists; none where it can't be asked."""
        self.models = listed.result() if listed.exception() is None else []
        self.later(self._sync)

    def took(self, view: str, name: str, n: Any) -> None:
        """Tell a page that its setting holds now; ``n`` is the page's number of the change."""
        self.later(lambda: self._say("set", view, {"field": name, "n": n, "state": self._state()}))

    def put_off(self, view: str, name: str) -> None:
        """Tell a page that its setting has to wait for the end of an answer, of which it may not have heard yet."""
        self.later(self._sync)
        self.say("wait", view, field=name)

    def say(self, kind: str, view: str | None = None, **content: Any) -> None:
        """Tell something to one page, or to all."""
        self.later(self._say, kind, view, content)

    # On the thread for errands, one after the other

    def _say(self, kind: str, view: str | None, content: dict[str, Any]) -> None:
        if self._attached:  # without a page nobody counts
            self._seq += 1
            self._send({"type": kind, "seq": self._seq, **({"to": view} if view else {}), **content})

    def _state(self) -> dict[str, Any]:
        chat = self._chat
        busy = self._growing is not None
        return {
            "busy": busy,
            "settings": view_model.settings(chat),
            "models": self.models,
            "totals": view_model.totals(self._told),
            "about": self._about,
            "count": len(self._told) + busy,
        }

    def _now(self) -> None:
        """Take in what the conversation is now."""
        turns, partial, question = self._chat.now
        self._told = list(turns)
        if partial is None:
            self._growing = None
        elif self._growing is None or question != self._question:  # the end of another one was not shown yet
            self._growing, self._question = IncrementalMarkdown(), question
            self._growing.grow(partial)

    def _snapshot(self, view: str | None) -> None:
        self._attached = True
        self._now()
        end = len(self._told)
        turns = self._turns(max(0, end - WINDOW), end)
        if self._growing is not None:
            turns.append(view_model.growing(end, self._growing.blocks))
        self._say("snapshot", view, {"turns": turns, "state": self._state()})

    def _earlier(self, view: str, before: int) -> None:
        before = min(before, len(self._told))
        self._say("earlier", view, {"turns": self._turns(max(0, before - WINDOW), before)})

    def _sync(self) -> None:
        """Send the difference between what the pages were told and what is."""
        if not self._attached:
            return
        old, was_growing = self._told, self._growing
        self._now()
        keep = next((i for i, (a, b) in enumerate(zip(old, self._told)) if a is not b), min(len(old), len(self._told)))
        if len(self._told) - keep > WINDOW:
            self._snapshot(None)
            return
        said: list[tuple[str, dict[str, Any]]] = []
        if keep < len(old) or (was_growing is not None and self._growing is None and keep == len(self._told)):
            said.append(("cut", {"keep": keep}))
        said += [("turn", {"turn": turn}) for turn in self._turns(keep, len(self._told))]
        if self._growing is not None and was_growing is not self._growing:
            said.append(("turn", {"turn": view_model.growing(len(self._told), self._growing.blocks)}))
        said = said or [("state", {})]
        said[-1][1]["state"] = self._state()  # as one message: a page that shows an answer knows whether it grows
        for kind, content in said:
            self._say(kind, None, content)

    def _tail(self) -> None:
        text = self._text
        _, partial, question = self._chat.now
        try:
            if self._growing is not None and self._attached and partial is not None and question == self._question:
                self._grow(self._growing, partial)
        finally:
            self._due = False
        if self._text is not text and process_state.loop:  # it grew meanwhile
            process_state.loop.call_soon_threadsafe(self._pend)

    def _grow(self, growing: IncrementalMarkdown, text: str) -> None:
        begun = time.monotonic()
        changed = growing.grow(text)
        if changed:
            self._say("tail", None, {"index": len(self._told), "changed": changed})
        now, size = time.monotonic(), sum(len(html) for _, html in changed)
        self._rested = now + REST * (now - begun) + size / MOST_A_SECOND

    def _turns(self, start: int, end: int) -> list[dict[str, Any]]:
        return [view_model.turn_of(i, self._told[i], self._html(i, self._told[i])) for i in range(start, end)]

    def _html(self, i: int, turn: Turn) -> list[str] | None:
        """Return an answer as HTML, made once; what a person or a setting says stays plain text."""
        if turn.role != "assistant":
            return None
        known = self._rendered.get(i)
        if known is None or known[0] is not turn:
            fresh = IncrementalMarkdown()
            fresh.grow(turn.text)
            known = self._rendered[i] = (turn, fresh.blocks)
        return known[1]
