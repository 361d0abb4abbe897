"""Generate the ``df.tsn.complete`` call that asks all rows one question of a chat."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from ...engine.chat.conversation import Conversation
from ...engine.chat.template_protocol import escaped
from ...errors import PromptError
from ...frames.missing_policy import Missing
from .row_template_filler import Templates

_ALONE = "Only this question is asked of every row: the messages before it are not sent along."


class AllRows(NamedTuple):
    """The code that asks all rows one question of a chat, the questions to choose from, and warnings."""

    code: str
    question: int  # its position among the turns
    questions: list[tuple[int, str]]  # position and template
    warnings: list[str]


class CodeGenerator(NamedTuple):
    """Generates the code of a chat about a row; ``name`` and ``missing`` are written as the chat had them."""

    conversation: Conversation
    df: pd.DataFrame
    templates: Templates
    name: str | None
    missing: Missing | None
    own_client: bool

    def generate(self, question: int | None = None) -> AllRows:
        """Return the code for a question, by default the first that has a placeholder, else the last."""
        questions = {
            i: turn.template or escaped(turn.content)
            for i, turn in enumerate(self.conversation.turns)
            if turn.role == "user" and isinstance(turn.content, str)
        }
        if not questions:
            raise PromptError("nothing was asked yet in words, so there is nothing to ask all rows")
        if question is None:
            question = next((i for i, template in questions.items() if self.templates.columns(template)), max(questions))
        if question not in questions:
            raise PromptError(f"turn {question!r} is not a question of this chat")
        prompt, system = questions[question], self.conversation.system_template
        warnings = self._warnings(prompt, system) + ([_ALONE] if question > 0 else [])
        return AllRows(self._code(prompt, system), question, list(questions.items()), warnings)

    def _code(self, prompt: str, system: str | None) -> str:
        named = prompt.strip() in map(str, self.df.columns)  # complete() would refuse it as a slip of '{name}'
        words: dict[str, Any] = {
            "system": system, "name": self.name, "model": self.conversation.model, **self.conversation.parameters,
            "missing": self.missing,
        }  # fmt: skip
        lines = [
            ("prompt=lambda row: " if named else "prompt=") + _literal(prompt),
            *(f"{name}={_literal(value)}" for name, value in words.items() if value is not None),
        ]
        own = ["    # client=..., the client of this chat"] if self.own_client else []
        return "\n".join([
            "ask = dict(", *(f"    {line}," for line in lines), *own, ")",
            "print(df.tsn.estimate(**ask))  # what it will cost; sends nothing",
            "out = df.tsn.complete(**ask)",
        ])  # fmt: skip

    def _warnings(self, prompt: str, system: str | None) -> list[str]:
        templates, found = self.templates, list[str]()
        if not templates.columns(prompt) and not templates.columns(system or ""):
            found.append(
                "No column is named, so every row would send the same text. Edit the question: write "
                f"{templates.example} where the text of the row belongs."
            )
        for what, template in (("question", prompt), ("system prompt", system or "")):
            found += [
                f"The {what} holds the text that {templates.about} has in {name!r}, so every row would send that text. "
                f"Write {{{name}}} in its place."
                for name in templates.literal_cells(template)
            ]
        return found


def _literal(value: Any) -> str:
    """Return a value as code; a text of several lines as one literal for each line."""
    lines = value.splitlines(keepends=True) if isinstance(value, str) else []
    if len(lines) < 2:
        return repr(value)
    return "\n".join(["(", *(f"        {line!r}" for line in lines), "    )"])
