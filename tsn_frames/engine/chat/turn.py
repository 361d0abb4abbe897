"""A turn of a conversation, and the conversion between turns and the API's message lists."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from ...api.messages import check_messages

State = Literal["whole", "stopped", "failed"]


class Turn(NamedTuple):
    """One message of a conversation, with its usage and its state.

    Attributes
    ----------
    role : str
        ``user``, ``assistant``, or another one of the API.
    content : str or list
        The text; a list of parts where such a message was given.
    model : str or None
        The model that answered.
    prompt_tokens, completion_tokens, total_tokens : int or None
        The service's counts; None where it sent none.
    cost : Decimal or None
        The known cost, in the currency of the prices; None where it is unknown.
    seconds : float or None
        From the question to the end of the answer, waits included; None for a message that was given.
    time : float or None
        POSIX time of the question, or of the end of the answer; None for a message that was given.
    finish_reason : str or None
        The service's reason for the end of the answer.
    error : str or None
        Why there is no answer, or only a part of one.
    state : {"whole", "stopped", "failed"}
        Whether the content is complete.
    reasoning : str or None
        The model's reasoning before the answer.
    cached : bool
        Whether the answer came from the cache.
    extra : dict
        Other fields of the message, such as ``tool_calls``.
    """

    role: str
    content: Any
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cost: Decimal | None = None
    seconds: float | None = None
    time: float | None = None
    finish_reason: str | None = None
    error: str | None = None
    state: State = "whole"
    reasoning: str | None = None
    cached: bool = False
    extra: Mapping[str, Any] = {}

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
    """Return the turns of a message list, and its leading system prompt.

    Raises
    ------
    PromptError, ParameterError
        If they can't be sent.
    """
    listed = [] if isinstance(messages, (list, tuple)) and not messages else check_messages(messages, "messages")
    turns = tuple(
        Turn(m["role"], m["content"], extra={k: v for k, v in m.items() if k not in ("role", "content")}) for m in listed
    )
    if turns and turns[0].role == "system" and isinstance(turns[0].content, str):
        return turns[1:], turns[0].content
    return turns, None


def text_of(content: Any) -> str:
    r"""Return a message's content as plain text; other parts appear by type.

    Examples
    --------
    >>> text_of([{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {}}])
    'What is this?\n[image_url]'
    """
    if isinstance(content, list):
        return "\n".join(
            str(part.get("text") or f"[{part.get('type', 'part')}]") for part in content if isinstance(part, Mapping)
        )
    return str(content or "")
