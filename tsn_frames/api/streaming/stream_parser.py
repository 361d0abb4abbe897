"""A streamed answer, read: bytes in, as the network cuts them, an answer out. Pure.

Server-sent events are lines; those that begin with ``data:`` hold a part of the answer as JSON. The parser also accepts what
servers send beside the standard: comments, other line ends, no blank line between two events, usage early or late, no end
mark, errors outside of events, or one JSON body in place of a stream.

An answer is whole with ``[DONE]``, or with a finish_reason that no text follows. A stream that ends with neither is cut,
however its connection ends.
"""

from __future__ import annotations

import math
import re
from typing import Any

from ..dialects.errors import error_of, holds_error
from ..dialects.response_adapters import as_completion
from ..dialects.usage import count, find_usage, merge_usage
from ..serialization import dumps_any
from .sse import LINE_ENDS, SseLines, parsed, parsed_list
from .stream_choice import StreamedChoice

LINE_CAP = 4 * 2**20
CAP = 20 * 2**20  # of an answer's text, and of a body in one piece
STREAM_CAP = 10 * CAP  # of a stream: the events are many times as long as the tokens in them
# Seconds of silence: while the answer goes on, after its finish_reason (musistudio/claude-code-router#1271), after its end
# mark, and none at all.
MORE, AFTER_FINISH, TAIL, NOTHING = math.inf, 5.0, 0.5, 0.0
BOM_AND_BLANKS = b"\xef\xbb\xbf \t\r\n"
_ERROR_EVENTS = (b"error", b"exception")
_NOT_KEPT = ("choices", "usage", "object", "error", "x_groq", "message", "done")
_FIELDS = (b"", b"id", b"retry")  # fields of events that hold nothing of an answer; a comment's name is empty
_TEXT_CAP = 10_000
_END_MARKS, _END_EVENTS = (b"[DONE]", b'"[DONE]"', b"[done]"), (b"done", b"message_stop")
_ALIVE = re.compile(rb"(?i)|ok|ping|pong|keep[-_ ]?alive|heartbeat|connected|null")  # texts without a meaning


def has_lines(body: bytes | bytearray) -> bool:
    """Return whether a body that begins as JSON may be lines of JSON, or have an end mark after it."""
    return b"\n{" in body or b"\ndata:" in body


class StreamedReply:
    r"""One answer while it arrives.

    >>> reply = StreamedReply()
    >>> reply.feed(b'data: {"choices":[{"delta":{"content":"Hel')
    inf
    >>> reply.feed(b'lo"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
    0.5
    >>> reply.text, reply.whole
    ('Hello', True)
    """

    def __init__(self) -> None:
        self.done = self._ended = False  # whether the end mark has arrived, and whether the body has ended
        self.problem = ""  # why nothing more can be read, where that is so
        self.size = 0
        self._lines, self._data, self._event = SseLines(), list[bytes](), b""
        self._data_size = 0
        self._started = False  # whether anything but blanks has arrived
        self._body: bytearray | None = None  # what is no stream but a body in one piece
        self._text = b""  # lines that are not events: a gateway's words in place of an answer
        self._stream_error: dict[str, Any] | None = None  # which ends the stream
        self._choice = StreamedChoice()
        self._index: int | None = None
        self._about: dict[str, Any] = {}
        self._usage: dict[str, Any] | None = None

    def feed(self, data: bytes) -> float:
        """Take in some bytes; return the seconds that the next ones may take, 0 where none are wanted."""
        self.size += len(data)
        if not self.problem:
            self._sort(data)
        most = STREAM_CAP if self._body is None else CAP
        if self.size > most or self._choice.size >= CAP or len(self._lines.rest) > LINE_CAP:
            self.problem = f"the answer is larger than {CAP // 2**20} MiB, or one line of it than {LINE_CAP // 2**20} MiB"
        if self.problem or self._stream_error is not None:
            return NOTHING
        if self.done or self._error is not None:
            return TAIL
        return AFTER_FINISH if self.finish_reason is not None and not self._choice.continued else MORE

    def close(self) -> None:
        """Process the regular end of the body, and a last line without a line end."""
        self._ended = True
        self._read_lines_of_json()
        if self._body is None:
            self._take([bytes(self._lines.rest), b""])
            unexplained = not (self.whole or self.problem or self._stream_error)
            if unexplained and self._text and (words := error_of(self._text).message):
                self._fail({"message": words})

    def _read_lines_of_json(self) -> None:
        """Read a body in one piece that is not JSON, but whose lines are, as a stream of chunks."""
        if self._body is None or not has_lines(self._body) or parsed(bytes(self._body)) is not None:
            return
        events = [event for line in LINE_ENDS.split(bytes(self._body)) if (event := parsed(line)) is not None]
        if any(isinstance(as_completion(event).get("choices"), list) for event in events):
            self._body = None
            for event in events:
                self._chunk(event)

    @property
    def begun(self) -> bool:
        """Whether any token of the answer has arrived."""
        return self._choice.begun

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended, as far as that is known."""
        return self._choice.finish_reason

    @property
    def _error(self) -> dict[str, Any] | None:
        return self._stream_error or self._choice.error

    @property
    def text(self) -> str:
        """The text of the answer so far."""
        return self._choice.content.value

    @property
    def reasoning(self) -> str | None:
        """The model's reasoning so far."""
        return self._choice.reasoning.value or None

    @property
    def model(self) -> str | None:
        """The model that answers, as it names itself."""
        model = self._about.get("model")
        return model if isinstance(model, str) else None

    @property
    def error(self) -> bytes | None:
        """The error that ended the answer, as JSON."""
        return None if self._error is None else dumps_any(self._error)

    @property
    def whole(self) -> bool:
        """Whether the answer is all there."""
        finished = self.finish_reason is not None and not self._choice.continued
        ended = self.done or finished or (self._body is not None and self._ended)
        return ended and not self.problem and self._error is None

    @property
    def body(self) -> bytes:
        """The answer in the form that it has when it is not streamed, its error included."""
        if self._body is not None:
            return bytes(self._body)
        out = {**self._about, "object": "chat.completion", "choices": [self._choice.value] if self._choice.given else []}
        out |= {"usage": self._usage} if self._usage is not None else {}
        out |= {"error": self._error.get("error") or self._error} if self._error is not None else {}
        return dumps_any(out)

    def _sort(self, data: bytes) -> None:
        """Read lines, or keep a body in one piece: JSON, or a page of a gateway."""
        if not self._started:
            data = data.lstrip(BOM_AND_BLANKS)
            self._started = bool(data)
            if data.startswith((b"{", b"[", b"<")):
                self._body = bytearray()
        if self._body is not None:
            self._body += data
        else:
            self._take(self._lines.feed(data))

    def _take(self, lines: list[bytes]) -> None:
        for line in lines:
            if self.problem or self._stream_error is not None:
                return
            if self.done:
                self._late_usage(line)
            else:
                self._line(line)

    def _late_usage(self, line: bytes) -> None:
        """Take in a usage that follows the end mark."""
        event = parsed(line.removeprefix(b"data:").lstrip())
        if event is not None and (usage := find_usage(event)) is not None:
            self._usage = merge_usage(self._usage, usage)

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
            self._fail(parsed(value) or {"message": value.decode("utf-8", "replace")})
        elif (bare := parsed(line)) is not None:  # Ollama: JSON without "data:"
            self._chunk(bare)
        elif line.strip() in _END_MARKS:
            self.done = True
        elif name not in _FIELDS:
            self._note(line)

    def _note(self, text: bytes) -> None:
        """Keep a text that is not part of an answer: it is the error of a stream without an answer."""
        if len(self._text) < _TEXT_CAP and not _ALIVE.fullmatch(text.strip()):
            self._text += text[:_TEXT_CAP] + b"\n"

    def _add_data(self, value: bytes) -> None:
        self._data.append(value)
        self._data_size += len(value)
        if self._data_size > LINE_CAP:
            self.problem = f"an event of the answer is larger than {LINE_CAP // 2**20} MiB"
        elif len(self._data) == 1 and (self._event not in _ERROR_EVENTS or value.startswith(b"{")):
            self._end_event(goes_on=value.startswith(b"{"))  # most have one line, and some servers send no blank line

    def _end_event(self, *, goes_on: bool) -> None:
        """Read the event's lines, unless they are not whole JSON and more of them may come."""
        data = b"\n".join(self._data)
        event = parsed(data)
        if event is None and goes_on:
            return
        self._data, self._data_size = [], 0
        if event is not None:
            self._chunk(event)
            self.done = self.done or self._event in _END_EVENTS
        elif data.strip() in _END_MARKS:
            self.done = True
        elif items := parsed_list(data):  # Gemini's errors are lists
            for item in items:
                self._chunk(item)
        elif data and self._event in _ERROR_EVENTS:
            self._fail({"message": data.decode("utf-8", "replace")})
        elif not data.startswith(b"{"):
            self._note(data)
        else:
            self.problem = f"an event of the answer can't be read ({len(data):,} bytes)"

    def _fail(self, error: dict[str, Any]) -> None:
        """Take in an error that ends the stream."""
        self._stream_error = {"error": error}

    def _chunk(self, event: dict[str, Any]) -> None:
        if "choices" not in event:
            event = as_completion(event, part="delta")
        if (usage := find_usage(event)) is not None:
            self._usage = merge_usage(self._usage, usage)
        if holds_error(event) or self._event in _ERROR_EVENTS:
            kept = {name: value for name, value in event.items() if name not in ("choices", "usage", "object")}
            self._stream_error = kept or {"error": {"message": "no reason given"}}
            return
        choices = event.get("choices")
        if choices is not None or self._about:  # of what stands beside the choices the first counts, but of models the last
            model = {"model": event["model"]} if isinstance(event.get("model"), str) and event["model"] else {}
            self._about = {name: value for name, value in event.items() if name not in _NOT_KEPT} | self._about | model
        choices = choices if isinstance(choices, list) else []
        for choice in choices:
            if isinstance(choice, dict) and self._is_ours(choice.get("index"), choices):
                self._choice.add(choice)

    def _is_ours(self, index: object, choices: list[Any]) -> bool:
        """Return whether a choice is the first one; its index may be left out, written as text, or begin at 1."""
        if self._index is None:
            self._index = min(count(choice.get("index")) or 0 for choice in choices if isinstance(choice, dict))
        return (count(index) or 0) == self._index
