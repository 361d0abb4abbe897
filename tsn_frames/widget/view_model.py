"""View model of a chat: turns and state as the page expects them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from textwrap import shorten
from typing import Any

from ..api.dialects.response_tables import ending
from ..engine.chat.conversation import Conversation
from ..engine.chat.turn import Turn
from ..text import money, plural
from ..verbs.chat.generate_code import AllRows
from .rendering.incremental_markdown import render

STATUS = {"whole": "done", "stopped": "stopped", "failed": "error"}
MOST_THOUGHTS = 200_000  # characters of a model's reasoning that are shown


def facts(turn: Turn, currency: str | None = None) -> str:
    """Return model, tokens, cost and seconds of a message in one line.

    >>> facts(Turn("assistant", "Hi", "sim-small", 12, 3, 15, Decimal("0.000006"), 1.24), "EUR")
    'sim-small · 12 + 3 tokens · cost 0.0000060 EUR · 1.2 s'
    """
    if turn.role != "assistant" or turn.seconds is None:
        return ""
    parts = [turn.model or ""]
    if turn.prompt_tokens is not None and turn.completion_tokens is not None:
        parts.append(f"{turn.prompt_tokens:,} + {turn.completion_tokens:,} tokens")
    if turn.cost is not None:
        parts.append(f"cost {money(turn.cost, currency=currency)}")
    parts.append(f"{turn.seconds:,.1f} s")
    parts += ["cached"] if turn.cached else []
    parts += ["cut at max_tokens"] if ending(turn.finish_reason) == "cut_off" else []
    parts += ["stopped"] if turn.state == "stopped" else []
    return " · ".join(filter(None, parts))


def totals(turns: Sequence[Turn], asked: Sequence[Turn] = (), currency: str | None = None) -> str:
    """Return count, tokens, cost and seconds of the shown messages; "at least" where an answer's cost is unknown.

    ``asked`` are all answers that were paid for, also those that are no longer shown: where they cost more, that is said.

    >>> shown = Turn("assistant", "Hi", total_tokens=9, cost=Decimal("0.00003"), seconds=1.0)
    >>> totals([shown], [shown._replace(cost=Decimal("0.00013")), shown], "EUR")
    '1 message · 9 tokens · this chat 0.00016 EUR (shown 0.000030) · 1.0 s'
    """
    answers, paid = _paid(turns), _paid(asked)
    parts = [plural(len(turns), "message")] if turns else []
    tokens = [turn.total_tokens for turn in answers if turn.total_tokens is not None or turn.cost == 0]  # not billed: none
    if any(tokens):
        parts.append(f"{'at least ' if len(tokens) < len(answers) else ''}{plural(sum(filter(None, tokens)), 'token')}")
    cost, whole = _cost(answers, currency), _cost(paid, currency)
    if whole and whole != cost:
        parts.append(f"this chat {whole} (shown {_cost(answers) or money(0)})")
    elif cost:
        parts.append(f"cost {cost}")
    if answers:
        parts.append(f"{sum(turn.seconds or 0.0 for turn in answers):,.1f} s")
    return " · ".join(parts)


def _paid(turns: Sequence[Turn]) -> list[Turn]:
    return [turn for turn in turns if turn.role == "assistant" and turn.seconds is not None]


def _cost(answers: Sequence[Turn], currency: str | None = None) -> str:
    """Return what answers cost, as a text; empty where no cost is known."""
    costs = [turn.cost for turn in answers if turn.cost is not None]
    return (
        f"{'at least ' if len(costs) < len(answers) else ''}{money(sum(costs, Decimal(0)), currency=currency)}" if costs else ""
    )


def turn_of(i: int, turn: Turn, blocks: list[str] | None, currency: str | None = None) -> dict[str, Any]:
    """Return a turn as the page expects it; ``blocks`` are its HTML, None for plain text."""
    return {
        "index": i,
        "role": turn.role,
        "text": turn.text,
        "template": turn.template,
        "blocks": blocks,
        "status": STATUS[turn.state],
        "error": turn.explanation or turn.error or "",
        "facts": facts(turn, currency),
        "thoughts": shown_thoughts(turn.reasoning),
        "seconds": turn.thought_seconds,
    }


def shown_thoughts(reasoning: str | None) -> str:
    """Return a model's reasoning as the page shows it: all of it but for the end of one that is very long."""
    text = reasoning or ""
    return text if len(text) <= MOST_THOUGHTS else text[:MOST_THOUGHTS] + "…"


def settings(chat: Conversation) -> dict[str, Any]:
    """Return the settings panel's values: model, system prompt (its template) and the parameters that are set. Never a key."""
    return {
        "model": chat.model,
        "system": chat.system_template,
        **{k: v for k, v in chat.parameters.items() if k != "extra_body"},
    }


def all_rows(made: AllRows) -> dict[str, Any]:
    """Return the code for all rows as the page expects it, with the questions to choose from."""
    return {
        "text": render(f"~~~~~~~~~~python\n{made.code}\n~~~~~~~~~~"),
        "question": made.question,
        "questions": [[i, shorten(text, 60, placeholder="…")] for i, text in made.questions],
        "warnings": made.warnings,
    }


def plain(chat: Conversation) -> list[dict[str, str]]:
    """Return the messages as plain texts, for widget state that a notebook may save."""
    system = [{"role": "system", "content": chat.system}] if chat.system else []
    return [*system, *({"role": turn.role, "content": turn.text} for turn in chat.turns)]
