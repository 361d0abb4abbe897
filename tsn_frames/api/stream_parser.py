"""A streamed answer, read: bytes in, as the network cuts them, an answer out. Pure.

Server-sent events are lines; those that begin with ``data:`` hold a part of the answer as JSON. What servers do beside that
is taken as it comes: comments, other line ends, no blank between two events, usage early or late, no end mark, or one
JSON body in place of a stream.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .serialization import Unreadable, dumps, load

LINE_CAP = 4 * 2**20
CAP = 20 * 2**20  # of what an answer says, and of a body in one piece
STREAM_CAP = 10 * CAP  # of a stream: what stands around a token there is many times as long as the token
MORE, TAIL, NOTHING = 90.0, 0.5, 0.0  # seconds of silence: while the answer goes on, after its end, and none at all
_ENDS = re.compile(rb"\r\n|\n|\r")
_BEFORE = b"\xef\xbb\xbf \t\r\n"
_KNOWN = ("role", "content", "reasoning_content")
_NOT_KEPT = ("choices", "usage", "object", "error")


class SseLines:
    """Bytes to lines, wherever they are cut; CR LF, LF and CR end one."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._after_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that these bytes complete."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if b"\n" not in data and b"\r" not in data:
            self._rest += data
            return []
        self._after_cr = data.endswith(b"\r")
        *lines, rest = _ENDS.split(bytes(self._rest) + data)
        self._rest = bytearray(rest)
        return lines

    @property
    def rest(self) -> bytes:
        """The line that is not complete yet."""
        return bytes(self._rest)

    def __len__(self) -> int:
        return len(self._rest)


class StreamedReply:
    r"""One answer while it comes in.

    Attributes
    ----------
    begun : bool
        Whether any token of it has come.
    done : bool
        Whether the end mark has come.
    problem : str
        Why nothing more can be read, where that is so.
    error : bytes or None
        An error that came in place of the answer's rest, as JSON.
    loose : bool
        Whether it holds what isn't put together here, such as calls of tools: then it is shown and not stored.

    Examples
    --------
    >>> reply = StreamedReply()
    >>> reply.feed(b'data: {"choices":[{"delta":{"content":"Hel')
    90.0
    >>> reply.feed(b'lo"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
    0.5
    >>> reply.text, reply.whole
    ('Hello', True)
    """

    def __init__(self) -> None:
        self.begun = self.done = self.loose = self._ended = False
        self.problem = ""
        self.error: bytes | None = None
        self.finish_reason: str | None = None
        self.size = self._said = 0
        self._lines, self._data, self._event = SseLines(), list[bytes](), b""
        self._data_size = 0
        self._start: bytes | None = b""  # until it is known whether this is a stream at all
        self._body: bytearray | None = None
        self._texts, self._thoughts = list[str](), list[str]()
        self._has_content = self._has_choice = False
        self._about: dict[str, Any] = {}
        self._usage: dict[str, Any] | None = None
        self._logprobs: list[Any] = []

    def feed(self, data: bytes) -> float:
        """Take in some bytes; return the seconds that the next ones may take, 0 where none are wanted."""
        self.size += len(data)
        if not self._too_large():
            self._sort(data)
        if self._too_large():
            self.problem = f"the answer is larger than {CAP // 2**20} MiB, or one line of it than {LINE_CAP // 2**20} MiB"
        if self.problem or self.error is not None:
            return NOTHING
        return TAIL if self.done else MORE

    def _too_large(self) -> bool:
        most = STREAM_CAP if self._body is None else CAP
        return self.size > most or self._said >= CAP or len(self._lines) > LINE_CAP

    def _sort(self, data: bytes) -> None:
        if self._start is not None:
            self._begin(self._start + data)
        elif self._body is not None:
            self._body += data
        else:
            self._take(self._lines.feed(data))

    def close(self) -> None:
        """Take in that it ended in good order, and what stands at the end without the end of its line."""
        self._ended = True
        if not self.problem and self.error is None and self._body is None:
            self._take([self._lines.rest, b""])

    @property
    def text(self) -> str:
        """What the answer says so far."""
        self._texts[:] = ["".join(self._texts)]
        return self._texts[0]

    @property
    def reasoning(self) -> str | None:
        """What the model thought so far."""
        return "".join(self._thoughts) or None

    @property
    def model(self) -> str | None:
        """The model that answers, as it says itself."""
        model = self._about.get("model")
        return model if isinstance(model, str) else None

    @property
    def whole(self) -> bool:
        """Whether the answer is all there."""
        good = not self.problem and self.error is None
        return good and (self.done or self.finish_reason is not None or (self._body is not None and self._ended))

    @property
    def storable(self) -> bool:
        """Whether :attr:`body` is what the service would have sent in one piece, usage included."""
        return self.whole and not self.loose and (self._body is not None or self._usage is not None)

    @property
    def body(self) -> bytes:
        """The answer in the form that it has when it is not streamed."""
        if self._body is not None:
            return bytes(self._body)
        message: dict[str, Any] = {"role": "assistant", "content": self.text if self._has_content else None}
        if self._thoughts:
            message["reasoning_content"] = self.reasoning
        choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        if self._logprobs:
            choice["logprobs"] = {"content": self._logprobs}
        out = {**self._about, "object": "chat.completion", "choices": [choice] if self._has_choice else []}
        out |= {"usage": self._usage} if self._usage is not None else {}
        try:
            return dumps(out)
        except TypeError:  # a number beyond 64 bits, as a broken server may count
            return json.dumps(out).encode()

    def _begin(self, data: bytes) -> None:
        """See whether it is a stream, or a body in one piece: JSON, or a page of a gateway."""
        start = data.lstrip(_BEFORE)
        self._start = None if start else data
        if start[:1] in (b"{", b"[", b"<"):
            self._body = bytearray(start)
        elif start:
            self._take(self._lines.feed(start))

    def _take(self, lines: list[bytes]) -> None:
        for line in lines:
            if self.done or self.problem or self.error is not None:
                return
            self._line(line)

    def _line(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._event = value.strip()
        elif name == b"data":
            self._data.append(value)
            self._data_size += len(value)
            if self._data_size > LINE_CAP:
                self.problem = f"an event of the answer is larger than {LINE_CAP // 2**20} MiB"
            elif len(self._data) == 1 and (self._event != b"error" or value.startswith(b"{")):
                self._end_of_event(goes_on=value.startswith(b"{"))  # most have one line, and some servers no blank after it
        elif not line:
            self._end_of_event(goes_on=False)
            self._event = b""

    def _end_of_event(self, *, goes_on: bool) -> None:
        """Read the event's lines, unless they are no whole JSON and more of them may come."""
        data = b"\n".join(self._data)
        event = _parsed(data)
        if event is None and goes_on:
            return
        self._data, self._data_size = [], 0
        if event is not None:
            self._chunk(event)
        elif data.strip() == b"[DONE]":
            self.done = True
        elif data and self._event == b"error":
            self.error = dumps({"error": {"message": data.decode("utf-8", "replace")}})
        elif data.startswith(b"{"):
            self.problem = f"an event of the answer can't be read ({len(data):,} bytes)"

    def _chunk(self, event: dict[str, Any]) -> None:
        if event.get("error") or event.get("object") == "error" or self._event == b"error":
            self.error = dumps({"error": event.get("error") or event})
            return
        if not self._about:
            self._about = {name: value for name, value in event.items() if name not in _NOT_KEPT}
        if isinstance(event.get("usage"), dict):
            self._usage = event["usage"]
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict) and not choice.get("index"):  # of several answers the first is ours
                self._choice(choice)

    def _choice(self, choice: dict[str, Any]) -> None:
        self._has_choice = True
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            self._delta(delta)
        if isinstance(choice.get("finish_reason"), str):
            self.finish_reason = choice["finish_reason"]
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list):
            self._logprobs += logprobs["content"]

    def _delta(self, delta: dict[str, Any]) -> None:
        content, thought = delta.get("content"), delta.get("reasoning_content")
        if isinstance(content, list):
            content = "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
        if isinstance(content, str):
            self._has_content = True
            self._texts.append(content)
            self._said += len(content)
        if isinstance(thought, str):
            self._thoughts.append(thought)
            self._said += len(thought)
        others = any(value for name, value in delta.items() if name not in _KNOWN)
        self.loose = self.loose or others
        self.begun = self.begun or bool(content or thought or others)


def _parsed(data: bytes) -> dict[str, Any] | None:
    """Return an event that is a JSON object; what else servers send there, such as a word, means nothing."""
    if not data.startswith(b"{"):
        return None
    try:
        event = load(data)
    except Unreadable:
        return None
    return event if isinstance(event, dict) else None
