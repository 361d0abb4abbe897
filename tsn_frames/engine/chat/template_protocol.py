"""The interface of a row's templates: questions and system prompt of a chat about a row are templates that the row fills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .turn import Turn


class RowTemplates(Protocol):
    """Fills templates from one row, and makes templates of literal texts."""

    example: str  # a placeholder with its braces, to show how a template is written

    def fill(self, template: str, what: str = "question") -> str:
        """Return a template filled from the row; raise PromptError where it can't be."""

    def system_template(self, text: str) -> str:
        """Return a template that fills to this system prompt."""


def escaped(text: str) -> str:
    """Return a template that fills to this text in every row."""
    return text.replace("{", "{{").replace("}", "}}")


def with_templates(turns: tuple[Turn, ...], templates: RowTemplates | None, earlier: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """Give every question a template: that of the earlier question with the same text, else one of the literal text."""
    if templates is None:
        return turns
    known: Mapping[str, str | None] = {turn.content: turn.template for turn in earlier if isinstance(turn.content, str)}
    return tuple(
        turn._replace(template=known.get(turn.content) or escaped(turn.content))
        if turn.role == "user" and isinstance(turn.content, str)
        else turn
        for turn in turns
    )
