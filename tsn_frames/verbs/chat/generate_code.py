"""Generate the ``df.tsn.complete`` call that asks all rows a chat's last question."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from ...engine.chat.conversation import Conversation
from ...errors import PromptError
from ...frames.template import columns_of, parse


class Template(NamedTuple):
    """The templates of a row's request."""

    prompt: str | None
    system: str | None


class Rows(NamedTuple):
    """The templates of a chat about a row, and their texts for that row."""

    df: pd.DataFrame
    template: Template
    context: str
    system: str | None
    question: str | None
    cells: str
    own_client: bool

    def code(self, conversation: Conversation) -> str:
        """Return the call that asks all rows a chat's last question, with its system prompt and its parameters."""
        system, question = self._system_of(conversation.system), _last_question(conversation)
        prompt = self.template.prompt if self.template.prompt and question == self.question else _escaped(question)
        if not columns_of([*parse(prompt, self.df.columns), *parse(system or "", self.df.columns)]):
            prompt = joined(prompt, self.context)
        words: dict[str, Any] = {"system": system, "model": conversation.model, **conversation.parameters}
        if self.context and self.context in f"{prompt}\0{system}":
            words["missing"] = "empty"  # the chat shows an empty text for a missing cell
        named = prompt.strip() in map(str, self.df.columns)  # complete() would refuse it as a slip of '{name}'
        lines = [
            ("lambda row: " if named else "") + _literal(prompt),
            *(f"{name}={_literal(value)}" for name, value in words.items() if value is not None),
        ]
        own = ["    # client=..., the client of this chat"] if self.own_client else []
        return "\n".join(["out = df.tsn.complete(", *(f"    {line}," for line in lines), *own, ")"])

    def _system_of(self, text: str | None) -> str | None:
        if text is None or text == self.system:
            return None if text is None else self.template.system
        before, cells, after = text.partition(self.cells)
        return _escaped(before) + (self.context + _escaped(after) if cells else "")


def _last_question(conversation: Conversation) -> str:
    at = conversation.last_question
    content = None if at is None else conversation.turns[at].content
    if isinstance(content, str):
        return content
    raise PromptError("nothing was asked yet in words, so there is nothing to ask all rows")


def joined(first: str, second: str) -> str:
    """Return two texts with a blank line between them; the second may be empty."""
    return f"{first}\n\n{second}" if second else first


def _escaped(text: str) -> str:
    """Return a template of a literal text."""
    return text.replace("{", "{{").replace("}", "}}")


def _literal(value: Any) -> str:
    """Return a value as code; a text of several lines as one literal for each line."""
    lines = value.splitlines(keepends=True) if isinstance(value, str) else []
    if len(lines) < 2:
        return repr(value)
    return "\n".join(["(", *(f"        {line!r}" for line in lines), "    )"])
