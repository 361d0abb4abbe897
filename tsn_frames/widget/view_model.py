"""View model of a chat: turns and state for the page, a transcript for a notebook without a kernel. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html import escape
from typing import Any

from ..api.dialects.tables import ending
from ..engine.chat.conversation import Conversation
from ..engine.chat.turn import Turn
from ..text import money, plural
from .markdown import close_code_fence

STATUS = {"whole": "done", "stopped": "stopped", "failed": "error"}
WHO = {"user": "You", "assistant": "Answer", "system": "System prompt", "developer": "Developer", "tool": "Tool"}


def facts(turn: Turn) -> str:
    """Return model, tokens, cost and seconds of a message in one line.

    >>> facts(Turn("assistant", "Hi", "sim-small", 12, 3, 15, Decimal("0.000006"), 1.24))
    'sim-small · 12 + 3 tokens · cost 0.0000060 · 1.2 s'
    """
    if turn.role != "assistant" or turn.seconds is None:
        return ""
    parts = [turn.model or ""]
    if turn.prompt_tokens is not None and turn.completion_tokens is not None:
        parts.append(f"{turn.prompt_tokens:,} + {turn.completion_tokens:,} tokens")
    if turn.cost is not None:
        parts.append(f"cost {money(turn.cost)}")
    parts.append(f"{turn.seconds:,.1f} s")
    parts += ["cached"] if turn.cached else []
    parts += ["cut at max_tokens"] if ending(turn.finish_reason) == "cut_off" else []
    parts += ["stopped"] if turn.state == "stopped" else []
    return " · ".join(filter(None, parts))


def totals(turns: Sequence[Turn]) -> str:
    """Return count, tokens, cost and seconds of all messages; "at least" where an answer's cost is unknown."""
    asked = [turn for turn in turns if turn.role == "assistant" and turn.seconds is not None]
    parts = [plural(len(turns), "message")] if turns else []
    tokens = [turn.total_tokens for turn in asked if turn.total_tokens is not None or turn.cost == 0]  # not billed: none
    costs = [turn.cost for turn in asked if turn.cost is not None]
    if any(tokens):
        parts.append(f"{'at least ' if len(tokens) < len(asked) else ''}{plural(sum(filter(None, tokens)), 'token')}")
    if costs:
        parts.append(f"cost {'at least ' if len(costs) < len(asked) else ''}{money(sum(costs, Decimal(0)))}")
    if asked:
        parts.append(f"{sum(turn.seconds or 0.0 for turn in asked):,.1f} s")
    return " · ".join(parts)


def turn_of(i: int, turn: Turn, blocks: list[str] | None) -> dict[str, Any]:
    """Return a turn as the page expects it; ``blocks`` are its HTML, None for plain text."""
    return {
        "index": i,
        "role": turn.role,
        "text": turn.text,
        "blocks": blocks,
        "status": STATUS[turn.state],
        "error": turn.error or "",
        "facts": facts(turn),
    }


def streaming_turn(i: int, blocks: list[str]) -> dict[str, Any]:
    """Return a streaming answer as the page expects it."""
    return {"index": i, "role": "assistant", "text": "", "blocks": blocks, "status": "streaming", "error": "", "facts": ""}


def settings(chat: Conversation) -> dict[str, Any]:
    """Return the settings panel's values: model, system prompt and the parameters that are set. Never a key."""
    return {"model": chat.model, "system": chat.system, **{k: v for k, v in chat.parameters.items() if k != "extra_body"}}


def plain(chat: Conversation) -> list[dict[str, str]]:
    """Return the messages as plain texts, for widget state that a notebook may save."""
    system = [{"role": "system", "content": chat.system}] if chat.system else []
    return [*system, *({"role": turn.role, "content": turn.text} for turn in chat.turns)]


def transcript(chat: Conversation) -> str:
    """Return the conversation as plain text."""
    parts = [f"{WHO.get(message['role'], message['role'])}:\n{message['content']}" for message in plain(chat)]
    return "\n\n".join(parts) or "No messages yet."


def to_markdown(chat: Conversation) -> str:
    """Return the conversation as markdown; code fences that were cut off are closed."""
    parts = [f"**System**\n\n{close_code_fence(chat.system)}"] if chat.system is not None else []
    for turn in chat.turns:
        named = f"**{turn.role.capitalize()}**" + (f" ({turn.model})" if turn.model else "")
        note = f"\n\n*{turn.state}{f': {turn.error}' if turn.error else ''}*" if turn.state != "whole" else ""
        parts.append(f"{named}\n\n{close_code_fence(turn.text)}{note}")
    return "\n\n---\n\n".join(parts) + "\n"


def saved_html(chat: Conversation, name: str) -> str:
    """Return the conversation as escaped HTML; a live view hides it by its class name."""
    title = f"Chat, {plural(len(chat.turns), 'message')}" + (f", {chat.model}" if chat.model else "")
    text = f'<pre style="white-space: pre-wrap">{escape(transcript(chat))}</pre>'
    return f'<details open class="tsn-saved {name}"><summary>{escape(title)}</summary>{text}</details>'
