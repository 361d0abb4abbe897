"""A conversation as Markdown, to be read by people and to be taken up again. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

from ..engine.chat.conversation import Conversation
from ..engine.chat.turn import State, Turn
from ..errors import ParameterError
from ..text import quoted
from .rendering.markdown import close_code_fence

_SEPARATOR = "\n\n---\n\n"
_HEADING = r"\*\*(?P<role>System|User|Assistant|Developer|Tool)\*\*(?: \((?P<model>[^\n]+)\))?"
_NOTE = r"\*(?P<state>stopped|failed)(?:: (?P<error>[^\n]*))?\*"
_MARK = re.compile(
    rf"^(\\*)(?={_HEADING.replace('?P<role>', '?:').replace('?P<model>', '?:')}$|\*(?:stopped|failed)(?:: .*)?\*$)", re.MULTILINE
)
_PART = re.compile(rf"{_HEADING}\n\n(?P<text>.*?)(?:\n\n{_NOTE})?", re.DOTALL)
_NEXT = re.compile(rf"{_SEPARATOR}(?={_HEADING}\n\n)")


def to_markdown(chat: Conversation) -> str:
    """Return the conversation as Markdown; a code fence that was cut off is closed."""
    parts = [f"**System**\n\n{_escaped(chat.system)}"] if chat.system is not None else []
    for turn in chat.turns:
        heading = f"**{turn.role.capitalize()}**" + (f" ({turn.model})" if turn.model else "")
        why = " ".join((turn.explanation or turn.error or "").split())
        note = f"\n\n*{turn.state}{f': {why}' if why else ''}*" if turn.state != "whole" else ""
        parts.append(f"{heading}\n\n{_escaped(turn.text)}{note}")
    return _SEPARATOR.join(parts) + "\n"


def from_markdown(text: str) -> tuple[str | None, tuple[Turn, ...]]:
    """Return the system prompt and the turns of a conversation that :func:`to_markdown` has written.

    Raises
    ------
    ParameterError
        If the text can't be read as such a conversation.
    """
    if not isinstance(text, str):
        raise ParameterError(f"text must be what to_markdown() has written, got {quoted(text)}")
    lines = text.lstrip("\ufeff\r\n")
    if lines.partition("\n")[0].endswith("\r"):  # an editor has changed the line ends
        lines = lines.replace("\r\n", "\n")
    turns = tuple(_turns(lines.removesuffix("\n"))) if lines.strip() else ()
    if turns and turns[0].role == "system":
        return turns[0].content, turns[1:]
    return None, turns


def _turns(text: str) -> Iterator[Turn]:
    begins = [0, *(found.end() for found in _NEXT.finditer(text))]
    for begin, end in zip(begins, [*(begin - len(_SEPARATOR) for begin in begins[1:]), len(text)]):
        found = _PART.fullmatch(text, begin, end)
        if found is None:
            raise ParameterError(
                f"the text is not a transcript of a chat: a message begins with **User** or **Assistant**, not {quoted(text[begin:end])}"
            )
        state = cast("State", found["state"] or "whole")
        content = _MARK.sub(lambda mark: mark[1][1:], found["text"])
        yield Turn(found["role"].lower(), content, found["model"], error=found["error"], state=state)


def _escaped(text: str) -> str:
    r"""Return a message's text with a backslash before each line that would be a heading or a note of the transcript."""
    return _MARK.sub(lambda mark: "\\" + mark[1], close_code_fence(text))
