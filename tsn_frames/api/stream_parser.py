"""A streamed answer, read: bytes in, as the network cuts them, an answer out. Pure.

Server-sent events are lines; those that begin with ``data:`` hold a part of the answer as JSON. The parser also accepts what
servers send beside the standard: comments, other line ends, no blank line between two events, usage early or late, no end
mark, errors outside of events, or one JSON body in place of a stream.
"""

from __future__ import annotations

import math
import re
from typing import Any

from .dialects.errors import holds_error
from .dialects.message import read_message
from .dialects.tables import ending
from .dialects.usage import counted, find_usage
from .serialization import Unreadable, dumps_any, load
from .stream_text import DeltaCalls, DeltaText

LINE_CAP = 4 * 2**20
CAP = 20 * 2**20  # of an answer's text, and of a body in one piece
STREAM_CAP = 10 * CAP  # of a stream: the events are many times as long as the tokens in them
MORE, TAIL, NOTHING = math.inf, 0.5, 0.0  # seconds of silence: while the answer goes on, after its end, and none at all
_ENDS = re.compile(rb"\r\n|\n|\r")
_BEFORE = b"\xef\xbb\xbf \t\r\n"
_NOT_KEPT = ("choices", "usage", "object", "error", "x_groq")


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
    r"""One answer while it arrives.

    Attributes
    ----------
    begun : bool
        Whether any token of it has arrived.
    done : bool
        Whether the end mark has arrived.
    problem : str
        Why nothing more can be read, where that is so.

    Examples
    --------
    >>> reply = StreamedReply()
    >>> reply.feed(b'data: {"choices":[{"delta":{"content":"Hel')
    inf
    >>> reply.feed(b'lo"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
    0.5
    >>> reply.text, reply.whole
    ('Hello', True)
    """

    def __init__(self) -> None:
        self.begun = self.done = self._ended = False
        self.problem = ""
        self.finish_reason: str | None = None
        self.size = self._text_size = 0
        self._lines, self._data, self._event = SseLines(), list[bytes](), b""
        self._data_size = 0
        self._start: bytes | None = b""  # until it is known whether this is a stream at all
        self._body: bytearray | None = None
        self._error: dict[str, Any] | None = None
        self._stopped_by_error = self._has_choice = self._went_on = False
        self._content, self._thoughts, self._refusal, self._calls = DeltaText(), DeltaText(), DeltaText(), DeltaCalls()
        self._about: dict[str, Any] = {}
        self._native: str | None = None
        self._usage: dict[str, Any] | None = None
        self._logprobs: list[Any] = []

    def feed(self, data: bytes) -> float:
        """Take in some bytes; return the seconds that the next ones may take, 0 where none are wanted."""
        self.size += len(data)
        if not self._too_large():
            self._sort(data)
        if self._too_large():
            self.problem = f"the answer is larger than {CAP // 2**20} MiB, or one line of it than {LINE_CAP // 2**20} MiB"
        if self.problem or self._stopped_by_error:
            return NOTHING
        return TAIL if self.done or self._error is not None else MORE

    def close(self) -> None:
        """Take in that it ended in good order, and a last line that no line end follows."""
        self._ended = True
        self._read_lines_of_json()
        if not self.problem and not self._stopped_by_error and self._body is None:
            self._take([self._lines.rest, b""])

    def _read_lines_of_json(self) -> None:
        """Read a body in one piece that is no JSON, but whose lines are, as a stream of chunks."""
        if self._body is None or b"\n{" not in self._body or _parsed(bytes(self._body)) is not None:
            return
        events = [event for line in _ENDS.split(bytes(self._body)) if line.strip() and (event := _parsed(line)) is not None]
        if any(isinstance(event.get("choices"), list) for event in events):
            self._body = None
            for event in events:
                self._chunk(event)

    @property
    def text(self) -> str:
        """The text of the answer so far."""
        return self._content.value

    @property
    def reasoning(self) -> str | None:
        """The model's reasoning so far."""
        return self._thoughts.value or None

    @property
    def model(self) -> str | None:
        """The model that answers, as it names itself."""
        model = self._about.get("model")
        return model if isinstance(model, str) else None

    @property
    def error(self) -> bytes | None:
        """The error that came in place of the answer's rest, as JSON."""
        return None if self._error is None else dumps_any(self._error)

    @property
    def whole(self) -> bool:
        """Whether the answer is all there."""
        ended = self.done or (self.finish_reason is not None and not self._went_on) or (self._body is not None and self._ended)
        return ended and not self.problem and self._error is None

    @property
    def storable(self) -> bool:
        """Whether :attr:`body` is what the service would have sent in one piece, usage included."""
        return self.whole and (self._body is not None or self._usage is not None)

    @property
    def body(self) -> bytes:
        """The answer in the form that it has when it is not streamed, its error included."""
        if self._body is not None:
            return bytes(self._body)
        out = {**self._about, "object": "chat.completion", "choices": [self._choice()] if self._has_choice else []}
        out |= {"usage": self._usage} if self._usage is not None else {}
        out |= {"error": self._error.get("error") or self._error} if self._error is not None else {}
        return dumps_any(out)

    def _choice(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self.text if self._content.given else None}
        if self._thoughts.value:
            message["reasoning_content"] = self._thoughts.value
        if self._refusal.value:
            message["refusal"] = self._refusal.value
        if calls := self._calls.value:
            message["tool_calls"] = calls
        choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        if self._native is not None:
            choice["native_finish_reason"] = self._native
        if self._logprobs:
            choice["logprobs"] = {"content": self._logprobs}
        return choice

    def _too_large(self) -> bool:
        most = STREAM_CAP if self._body is None else CAP
        return self.size > most or self._text_size >= CAP or len(self._lines) > LINE_CAP

    def _sort(self, data: bytes) -> None:
        if self._start is not None:
            self._begin(self._start + data)
        elif self._body is not None:
            self._body += data
        else:
            self._take(self._lines.feed(data))

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
            if self.done or self.problem or self._stopped_by_error:
                return
            self._line(line)

    def _line(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._event = value.strip()
        elif name == b"data":
            self._add_data(value)
        elif not line:
            self._end_event(goes_on=False)
            self._event = b""
        elif name == b"error" and value.strip():  # llama.cpp
            self._fail(_parsed(value) or {"message": value.decode("utf-8", "replace")})
        elif (bare := _parsed(line)) is not None:  # Ollama: JSON without "data:"
            self._chunk(bare)

    def _add_data(self, value: bytes) -> None:
        self._data.append(value)
        self._data_size += len(value)
        if self._data_size > LINE_CAP:
            self.problem = f"an event of the answer is larger than {LINE_CAP // 2**20} MiB"
        elif len(self._data) == 1 and (self._event != b"error" or value.startswith(b"{")):
            self._end_event(goes_on=value.startswith(b"{"))  # most have one line, and some servers send no blank line

    def _end_event(self, *, goes_on: bool) -> None:
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
        elif data.startswith(b"["):  # Gemini's errors are lists
            for item in _parsed_list(data):
                self._chunk(item)
        elif data and self._event == b"error":
            self._fail({"message": data.decode("utf-8", "replace")})
        elif data.startswith(b"{"):
            self.problem = f"an event of the answer can't be read ({len(data):,} bytes)"

    def _fail(self, error: dict[str, Any]) -> None:
        """Take in an error that ends the stream."""
        self._error, self._stopped_by_error = {"error": error}, True

    def _chunk(self, event: dict[str, Any]) -> None:
        usage = find_usage(event)
        if usage is not None and (self._usage is None or counted(usage)):
            self._usage = usage
        if holds_error(event) or self._event == b"error":
            self._error = {name: value for name, value in event.items() if name not in ("choices", "usage", "object")}
            self._stopped_by_error = True
            return
        if event.get("choices") is not None or self._about:
            self._keep(event)
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict) and not choice.get("index"):  # of several answers the first is ours
                self._add_choice(choice)

    def _keep(self, event: dict[str, Any]) -> None:
        """Keep what stands beside the choices: the first of each, but the last model, which a gateway knows late."""
        self._about = {name: value for name, value in event.items() if name not in _NOT_KEPT} | self._about
        if isinstance(event.get("model"), str) and event["model"]:
            self._about["model"] = event["model"]

    def _add_choice(self, choice: dict[str, Any]) -> None:
        self._has_choice = True
        delta, message = choice.get("delta"), choice.get("message")
        if isinstance(delta, dict) and delta:
            self._add(delta, whole=False)
        if isinstance(message, dict):
            self._add(message, whole=True)
        if isinstance(choice.get("text"), str):
            self._add({"content": choice["text"]}, whole=False)
        self._finish(choice)
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list):
            self._logprobs += logprobs["content"]

    def _add(self, delta: dict[str, Any], *, whole: bool) -> None:
        """Take in a delta, or a whole message, as some servers repeat it at the end."""
        content, thought, refusal, calls = read_message(delta)
        for grown, more in ((self._content, content), (self._thoughts, thought), (self._refusal, refusal)):
            if more is not None:
                (grown.replace if whole else grown.add)(more)
                self._text_size += len(more)
        if calls is not None:
            (self._calls.replace if whole else self._calls.add)(calls)
        self._went_on = self._went_on or (self.finish_reason is not None and bool(content) and not whole)
        self.begun = self.begun or bool(content or thought or refusal or calls)

    def _finish(self, choice: dict[str, Any]) -> None:
        reason, native, error = choice.get("finish_reason"), choice.get("native_finish_reason"), choice.get("error")
        if isinstance(reason, str) and reason:
            self.finish_reason = reason
        if isinstance(native, str) and native:
            self._native = native
        if any(error.values()) if isinstance(error, dict) else error:
            self._error = {"error": error}  # the stream goes on to its usage
        elif "failed" in (ending(self.finish_reason), ending(self._native)):
            reason = self._native if ending(self.finish_reason) != "failed" else self.finish_reason
            self._error = {"error": {"message": f"the service ended the answer with finish_reason {reason!r}", "code": reason}}


def _parsed_list(data: bytes) -> list[dict[str, Any]]:
    """Return the JSON objects of an event that is a list."""
    try:
        items = load(data)
    except Unreadable:
        return []
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _parsed(data: bytes) -> dict[str, Any] | None:
    """Return an event that is a JSON object; other things that servers send there, such as a word, mean nothing."""
    if not data.startswith(b"{"):
        return None
    try:
        event = load(data)
    except Unreadable:
        return None
    return event if isinstance(event, dict) else None
