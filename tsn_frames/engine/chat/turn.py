"""A turn of a conversation, and the conversion between turns and the API's message lists."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from ...api.check_messages import check_messages

State = Literal["whole", "stopped", "failed"]


class Turn(NamedTuple):
    """One message of a conversation, with its usage and its state."""

    role: str
    content: Any  # a text, or a list of parts where such a message was given
    model: str | None = None  # the one that answered
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cost: Decimal | None = None
    seconds: float | None = None  # from the question to the end of the answer, waits included; None where the message was given
    time: float | None = None  # POSIX time of the question, or of the answer's end; None where the message was given
    finish_reason: str | None = None
    error: str | None = None  # why there is no answer, or only a part of one: code and sentence, as in a frame
    state: State = "whole"
    reasoning: str | None = None
    cached: bool = False
    extra: Mapping[str, Any] = {}  # other fields of the message, such as tool_calls
    template: str | None = None  # the text of a question before the cells of its row are filled in
    explanation: str | None = None  # the error for a person, with its remedy
    thought_seconds: float | None = None  # from the question to the beginning of the text, where reasoning came before it

    @property
    def message(self) -> dict[str, Any]:
        """The message in the API's format."""
        return {"role": self.role, "content": self.content, **self.extra}

    @property
    def text(self) -> str:
        """The content as plain text; other parts appear by name."""
        return text_of(self.content) or " ".join(f"[{name}]" for name in self.extra)

    @property
    def sendable(self) -> bool:
        """Whether later requests include it; an answer without content is only displayed."""
        was_given = self.seconds is None and self.state == "whole"
        return bool(self.content) or bool(self.extra) or was_given


def turns_of(messages: Any) -> tuple[tuple[Turn, ...], str | None]:
    """Return the turns of a message list, and its leading system prompt."""
    listed = [] if isinstance(messages, (list, tuple)) and not messages else check_messages(messages, "messages")
    turns = tuple(
        Turn(m["role"], m["content"], extra={k: v for k, v in m.items() if k not in ("role", "content")}) for m in listed
    )
    if turns and turns[0].role == "system" and isinstance(turns[0].content, str):
        return turns[1:], turns[0].content
    return turns, None


def text_of(content: Any) -> str:
    r"""Return a message's content as plain text; other parts appear by type.

    >>> text_of([{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {}}])
    'What is this?\n[image_url]'
    """
    if isinstance(content, list):
        return "\n".join(
            str(part.get("text") or f"[{part.get('type', 'part')}]") for part in content if isinstance(part, Mapping)
        )
    return str(content or "")
