"""What is said in a conversation, a turn at a time; and message lists as the API has them, read into turns and back."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from ...api.messages import checked

State = Literal["whole", "stopped", "failed"]


class Turn(NamedTuple):
    """One message of a conversation and what it came to.

    Attributes
    ----------
    role : str
        ``user``, ``assistant``, or another one of the API.
    content : str or list
        The text; a list of parts where such a message was given.
    model : str or None
        Who answered.
    prompt_tokens, completion_tokens, total_tokens : int or None
        What the service counted; None where it did not say.
    cost : Decimal or None
        What this turn visibly paid, in the currency of the prices; None where that is unknown.
    seconds : float or None
        From the question to the end of the answer, waiting included.
    time : float or None
        When it was asked, or the answer ended, in POSIX seconds; None for what was not said in this chat.
    finish_reason : str or None
        Why the answer ended, in the service's words.
    error : str or None
        Why there is no answer, or not all of it.
    state : {"whole", "stopped", "failed"}
        Whether it is all there.
    reasoning : str or None
        What the model thought aloud before it answered.
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
        """The message as the API has it."""
        return {"role": self.role, "content": self.content, **self.extra}

    @property
    def text(self) -> str:
        """The message as a text to read; what isn't text is named."""
        return text_of(self.content) or " ".join(f"[{name}]" for name in self.extra)

    @property
    def sendable(self) -> bool:
        """Whether it is sent along: an answer that never came is shown only."""
        came = self.seconds is None and self.state == "whole"  # it was given, not asked for here
        return bool(self.content) or bool(self.extra) or came


def turns_of(messages: Any) -> tuple[tuple[Turn, ...], str | None]:
    """Return messages as turns, and the system prompt that they begin with; none are none.

    Raises
    ------
    PromptError, ParameterError
        If they can't be sent.
    """
    listed = [] if isinstance(messages, (list, tuple)) and not messages else checked(messages, "messages")
    turns = tuple(
        Turn(m["role"], m["content"], extra={k: v for k, v in m.items() if k not in ("role", "content")}) for m in listed
    )
    if turns and turns[0].role == "system" and isinstance(turns[0].content, str):
        return turns[1:], turns[0].content
    return turns, None


def text_of(content: Any) -> str:
    r"""Return a content as a text; parts that aren't texts are named.

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
