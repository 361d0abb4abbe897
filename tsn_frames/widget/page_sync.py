"""State sync with the browser: numbered messages, the changed tail of a streaming answer, a snapshot for a new page.

The listener methods run on the event-loop thread and return at once. Rendering and sending run one after the other on the
background thread, so they block neither the loop nor the kernel, and the sequence numbers need no lock.
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
from ..engine.chat.listener import Listener
from ..engine.chat.pending_answer import PartialAnswer
from ..engine.chat.turn import Turn
from ..engine.runtime.process import process_state
from . import view_model
from .rendering.incremental_markdown import IncrementalMarkdown

log = logging.getLogger("tsn_frames")
# Throttling of tail updates: pause for 3 times the render time plus the time that the page needs for its HTML. A huge table is
# one block; rendering all of it 25 times a second would use a whole core.
PAUSE_FACTOR, HTML_CHARS_PER_SECOND = 3.0, 2_000_000
WINDOW = 50  # turns in a snapshot; earlier ones are sent when the page asks for them


class StreamingAnswer:
    """What the pages show of the answer that streams."""

    def __init__(self) -> None:
        self._text, self._thoughts, self._begun = IncrementalMarkdown(), "", time.monotonic()

    def grow(self, partial: PartialAnswer) -> tuple[list[tuple[int, str]], str]:
        """Take in the answer so far and return the changed blocks, and the new thoughts."""
        self._begun = time.monotonic() - partial.seconds
        thoughts = view_model.shown_thoughts(partial.reasoning)[len(self._thoughts) :]
        self._thoughts += thoughts
        return self._text.grow(partial.text), thoughts

    def turn(self, i: int) -> dict[str, Any]:
        """Return the turn as a page expects it that has seen nothing of it."""
        begun = view_model.turn_of(i, Turn("assistant", ""), self._text.blocks)
        return {**begun, "status": "streaming", "thoughts": self._thoughts, "seconds": time.monotonic() - self._begun}


class PageSync(Listener):
    """Keeps the pages of one conversation up to date; ``settled`` is called after each turn and each change."""

    def __init__(
        self, chat: Conversation, send: Callable[[dict[str, Any]], None], settled: Callable[[], None], about: str = ""
    ) -> None:
        self.models: list[str] = []
        self._chat, self._send, self._settled, self._about = chat, send, settled, about
        self._currency = chat.client.prices.currency if chat.client.prices else None
        self._seq = 0
        self._attached = False
        self._shown: list[Turn] = []
        self._streaming: StreamingAnswer | None = None
        self._question = 0  # number of the question whose answer is streaming
        self._growths, self._due, self._next_tail_at = 0, False, 0.0
        self._rendered: dict[int, tuple[Turn, list[str]]] = {}

    # Listener methods, on the event-loop thread

    def on_change(self) -> None:
        """Show a new question, removed turns or changed settings."""
        self.later(self._sync)
        self.later(self._settled)

    def on_end(self, turn: Turn) -> None:  # noqa: ARG002 - _sync reads all turns
        """Show the finished turn."""
        self.on_change()

    def on_text(self, text: str) -> None:  # noqa: ARG002 - _tail reads the current text
        """Schedule an update of the tail; updates that are not sent yet are merged."""
        self._growths += 1
        self._pend()

    def _pend(self) -> None:
        if not self._due:
            self._due = True
            pause = max(0.0, self._next_tail_at - time.monotonic())
            asyncio.get_running_loop().call_later(pause, self.later, self._tail)

    # Requests of a page, on any thread

    def later(self, work: Callable[..., None], *args: Any) -> None:
        """Queue work for the background thread, in an empty context: nbclient drops messages whose parent request is older."""
        process_state.run_in_background(lambda: Context().run(work, *args))

    def attach(self, view: str) -> None:
        """Send a snapshot to a page that is new or has missed a message."""
        self.later(self._snapshot, view)

    def show_earlier(self, view: str, before: int) -> None:
        """Send a page the turns before turn ``before``."""
        self.later(self._earlier, view, before)

    def list_models(self, listed: Future[list[str]]) -> None:
        """Offer the models that the service lists; none if the request fails."""
        self.models = listed.result() if listed.exception() is None else []
        self.later(self._sync)

    def confirm_setting(self, view: str, name: str, n: Any) -> None:
        """Confirm a setting to its page; ``n`` is the page's number of the change."""
        self.later(lambda: self._send_numbered("set", view, {"field": name, "n": n, "state": self._state()}))

    def defer_setting(self, view: str, name: str) -> None:
        """Ask a page to send its setting again after the answer that is streaming."""
        self.later(self._sync)
        self.send("wait", view, field=name)

    def send(self, kind: str, view: str | None = None, **content: Any) -> None:
        """Queue a message to one page, or to all."""
        self.later(self._send_numbered, kind, view, content)

    # On the background thread, one after the other

    def _send_numbered(self, kind: str, view: str | None, content: dict[str, Any]) -> None:
        if self._attached:
            self._seq += 1
            self._send({"type": kind, "seq": self._seq, **({"to": view} if view else {}), **content})

    def _state(self) -> dict[str, Any]:
        chat = self._chat
        busy = self._streaming is not None
        return {
            "busy": busy,
            "settings": view_model.settings(chat),
            "models": self.models,
            "totals": view_model.totals(self._shown, chat.asked, self._currency),
            "filled_system": chat.system if chat.system != chat.system_template else None,
            "about": self._about,
            "example": chat.templates.example if chat.templates else "",
            "count": len(self._shown) + busy,
        }

    def _read_state(self) -> None:
        """Read the current state of the conversation."""
        turns, partial, question = self._chat.snapshot
        self._shown = list(turns)
        if partial is None:
            self._streaming = None
        elif self._streaming is None or question != self._question:  # the end of another one was not shown yet
            self._streaming, self._question = StreamingAnswer(), question
            self._streaming.grow(partial)

    def _snapshot(self, view: str | None) -> None:
        self._attached = True
        self._read_state()
        end = len(self._shown)
        turns = self._turns(max(0, end - WINDOW), end)
        if self._streaming is not None:
            turns.append(self._streaming.turn(end))
        self._send_numbered("snapshot", view, {"turns": turns, "state": self._state()})

    def _earlier(self, view: str, before: int) -> None:
        before = min(before, len(self._shown))
        self._send_numbered("earlier", view, {"turns": self._turns(max(0, before - WINDOW), before)})

    def _sync(self) -> None:
        """Send the difference between the state of the pages and the conversation."""
        if not self._attached:
            return
        old, was_streaming = self._shown, self._streaming
        self._read_state()
        keep = next((i for i, (a, b) in enumerate(zip(old, self._shown)) if a is not b), min(len(old), len(self._shown)))
        if len(self._shown) - keep > WINDOW:
            self._snapshot(None)
            return
        messages: list[tuple[str, dict[str, Any]]] = []
        if keep < len(old) or (was_streaming is not None and self._streaming is None and keep == len(self._shown)):
            messages.append(("cut", {"keep": keep}))
        messages += [("turn", {"turn": turn}) for turn in self._turns(keep, len(self._shown))]
        if self._streaming is not None and was_streaming is not self._streaming:
            messages.append(("turn", {"turn": self._streaming.turn(len(self._shown))}))
        messages = messages or [("state", {})]
        messages[-1][1]["state"] = self._state()  # in the same message: the page knows at once whether the answer is streaming
        for kind, content in messages:
            self._send_numbered(kind, None, content)

    def _tail(self) -> None:
        growths = self._growths
        _, partial, question = self._chat.snapshot
        try:
            if self._streaming is not None and self._attached and partial is not None and question == self._question:
                self._grow(self._streaming, partial)
        finally:
            self._due = False
        if self._growths != growths and process_state.loop:  # more text has arrived
            process_state.loop.call_soon_threadsafe(self._pend)

    def _grow(self, growing: StreamingAnswer, partial: PartialAnswer) -> None:
        begun = time.monotonic()
        changed, thoughts = growing.grow(partial)
        if changed or thoughts:
            self._send_numbered("tail", None, {"index": len(self._shown), "changed": changed, "thoughts": thoughts})
        now, size = time.monotonic(), sum(len(html) for _, html in changed)
        self._next_tail_at = now + PAUSE_FACTOR * (now - begun) + size / HTML_CHARS_PER_SECOND

    def _turns(self, start: int, end: int) -> list[dict[str, Any]]:
        return [view_model.turn_of(i, self._shown[i], self._html(i, self._shown[i]), self._currency) for i in range(start, end)]

    def _html(self, i: int, turn: Turn) -> list[str] | None:
        """Return an answer as HTML, rendered once; None for messages that stay plain text (user, system)."""
        if turn.role != "assistant":
            return None
        known = self._rendered.get(i)
        if known is None or known[0] is not turn:
            fresh = IncrementalMarkdown()
            fresh.grow(turn.text)
            known = self._rendered[i] = (turn, fresh.blocks)
        return known[1]
