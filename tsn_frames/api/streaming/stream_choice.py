"""The first choice of a streamed answer, put together from its chunks."""

from __future__ import annotations

from typing import Any

from ..dialects.errors import is_error
from ..dialects.message import read_message
from ..dialects.response_adapters import finish_reason
from ..dialects.response_tables import ending
from .delta_accumulators import DeltaCalls, DeltaText


class StreamedChoice:
    """Collects the deltas of a choice."""

    def __init__(self) -> None:
        self.begun = self.given = False  # whether any token has arrived, and whether a chunk had the choice at all
        self.continued = False  # whether text followed a finish_reason, which is not an end then
        self.finish_reason: str | None = None
        self.error: dict[str, Any] | None = None  # that the choice names; the stream goes on to its usage
        self.size = 0  # characters so far
        self.content, self.reasoning, self._refusal, self._calls = DeltaText(), DeltaText(), DeltaText(), DeltaCalls()
        self._native: str | None = None
        self._logprobs: list[Any] = []

    def add(self, choice: dict[str, Any]) -> None:
        """Take in the choice of a chunk."""
        self.given = True
        delta, message, logprobs = choice.get("delta"), choice.get("message"), choice.get("logprobs")
        if isinstance(delta, dict):
            self._add(delta, whole=bool(choice.get("finish_reason")) and self.content.is_repeated_by(delta.get("content")))
        if isinstance(message, dict):
            self._add(message, whole=True)
        if isinstance(choice.get("text"), str):
            self._add({"content": choice["text"]}, whole=False)
        if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list):
            self._logprobs += logprobs["content"]
        self._finish(choice)

    @property
    def value(self) -> dict[str, Any]:
        """The choice in the form of an answer in one piece."""
        message: dict[str, Any] = {"role": "assistant", "content": self.content.value if self.content.given else None}
        others = {"reasoning_content": self.reasoning.value, "refusal": self._refusal.value, "tool_calls": self._calls.value}
        message |= {name: value for name, value in others.items() if value}
        choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        if self._native is not None:
            choice["native_finish_reason"] = self._native
        if self._logprobs:
            choice["logprobs"] = {"content": self._logprobs}
        return choice

    def _add(self, delta: dict[str, Any], *, whole: bool) -> None:
        """Take in a delta, or a whole message, as some servers repeat it at the end."""
        content, thought, refusal, calls = read_message(delta)
        for grown, more in ((self.content, content), (self.reasoning, thought), (self._refusal, refusal)):
            if more is not None:
                (grown.replace if whole else grown.add)(more)
                self.size += len(more)
        if calls is not None:
            (self._calls.replace if whole else self._calls.add)(calls)
        self.continued = self.continued or (self.finish_reason is not None and bool(content) and not whole)
        self.begun = self.begun or bool(content or thought or refusal or calls)

    def _finish(self, choice: dict[str, Any]) -> None:
        reason, native, delta = finish_reason(choice), choice.get("native_finish_reason"), choice.get("delta")
        error = choice.get("error") or (delta.get("error") if isinstance(delta, dict) else None)
        if reason is not None:
            self.finish_reason = reason
        if isinstance(native, str) and native:
            self._native = native
        if is_error(error):
            self.error = {"error": error}
        elif isinstance(delta, dict) and delta.get("role") == "error":
            self.error = {"error": {"message": str(delta.get("content"))}}
        elif reason := next((one for one in (self.finish_reason, self._native) if ending(one) == "failed"), None):
            self.error = {"error": {"message": f"the service ended the answer with finish_reason {reason!r}", "code": reason}}
