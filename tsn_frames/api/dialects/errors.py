"""The errors of services, in whatever shape they come: their words, their codes and what those mean."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from ..serialization import Unreadable, dumps_any, load, try_load
from .error_tables import STATUS, Meaning, meaning_of_code, meaning_of_words
from .response_tables import plain
from .usage import Usage

# Names of fields in lower case: some services write Message or statusCode.
_WORDS = (
    "message", "msg", "error_message", "errormessage", "error_msg", "error_description", "detail", "error", "errors", "status_msg",
    "faultstring", "fault", "title", "reason", "blockreason",
)  # fmt: skip
_CODES = (
    "code", "type", "__type", "status", "reason", "error_type", "error_code", "status_code", "http_code", "statuscode", "blockreason",
)  # fmt: skip
_NESTED = ("error", "errors", "detail", "details", "message", "metadata", "raw", "innererror", "base_resp", "promptfeedback")
_WAITS = {
    "retryafter": "retry-after", "retryafterseconds": "retry-after", "retrydelay": "retry-after", "estimatedtime": "retry-after",
    "retryafterms": "retry-after-ms",
}  # fmt: skip
_STATED = frozenset({"code", "type", "status", "status_code", "statusCode"})
_NO_FAILURE = re.compile(
    r"(?i)ok|success\w*|succeeded|queued|queue|pending|processing|in_?progress|progress|running|started|starting|start|waiting|"
    r"loading|warm\w*|scheduled|accepted|created|completed?|done|info|status|ping|pong|heartbeat|keep_?alive|notice|warning|log"
)
_STATUS = re.compile(r"[45][0-9]{2}")
_DEPTH = 6
_CAP = 50_000  # characters of a message; it is cut to what is shown after keys are masked in it
_TAGS = re.compile(r"(?is)<(script|style)\b.*?</\1>|<[^>]*>")


class ServiceError(NamedTuple):
    """What a service says went wrong: its words, its codes, the status that it names, and how long it asks to wait, if any."""

    message: str
    codes: tuple[str, ...] = ()
    status: int | None = None
    waits: Mapping[str, str] = {}
    """Headers inside the body, or their equivalents: OpenRouter's ``metadata.headers``, Gemini's ``retryDelay``."""

    @property
    def coded(self) -> Meaning | None:
        """What its codes name, which is certain."""
        return next(filter(None, map(meaning_of_code, self.codes)), None)

    @property
    def worded(self) -> Meaning | None:
        """What its words say, which may be an echo of a prompt."""
        return meaning_of_words(self.message)

    def status_under_200(self) -> int:
        """Return the status that this error would have had, had the service not sent a 200."""
        return (STATUS[self.coded] if self.coded else self.status) or STATUS[self.worded or "server"]


class EmptyAnswer(Unreadable):
    """A 200 without a text that did not end as an answer does: nothing to keep, though it may be billed."""

    def __init__(self, message: str, usage: Usage, billed: Literal["no", "yes", "unknown"]) -> None:
        super().__init__(message)
        self.usage, self.billed = usage, billed


class ErrorAnswer(Unreadable):
    """A 200 that holds an error in place of an answer, or beside the part of one that was made before it."""

    def __init__(self, error: ServiceError, usage: Usage, billed: Literal["no", "yes", "unknown"]) -> None:
        super().__init__(f"the answer is an error: {error.message or 'no message'}")
        self.error, self.usage, self.billed = error, usage, billed


def error_of(body: bytes) -> ServiceError:
    """Parse the body of an error.

    Examples
    --------
    >>> error_of(b'{"detail":[{"loc":["body","n"],"msg":"Field required"}]}').message
    'body.n: Field required'
    """
    try:
        return read_error(load(body))
    except Unreadable:
        if (event := _event(body)) is not None:
            return read_error(event)
        text = _TAGS.sub(" ", body[: 4 * _CAP].decode("utf-8", "replace"))
        return ServiceError(" ".join(html.unescape(text).split())[:_CAP])


def _event(body: bytes) -> Any:
    """Return the first event of an error that comes as an event stream, None where there is none."""
    lines = body[:_CAP].splitlines() if b"data:" in body else ()
    events = (_parsed(line.removeprefix(b"data:").decode("utf-8", "replace")) for line in lines if line.startswith(b"data:"))
    return next((event for event in events if event is not None), None)


def read_error(data: Any) -> ServiceError:
    """Return the error that parsed JSON describes."""
    codes = tuple(dict.fromkeys(_codes(data)))
    words = _words(data) or (dumps_any(data).decode("utf-8", "replace") if data else "")
    status = next((int(code) for code in codes if _STATUS.fullmatch(code)), None)
    return ServiceError(words[:_CAP], codes, status, dict(_waits(data)))


def holds_error(data: dict[str, Any]) -> bool:
    """Return whether an answer or a chunk holds an error; an empty error object, as new-api sends it, is none."""
    base, groq = data.get("base_resp"), data.get("x_groq")
    return (
        is_error(data.get("error"))
        or "error" in (data.get("object"), data.get("type"))
        or _has_failed(data)
        or (type(groq) is dict and is_error(groq.get("error")))  # in the last chunk of a stream
        or (type(base) is dict and bool(base.get("status_code")))  # MiniMax; its good answers say 0
        or (not (type(data.get("choices")) is list and data["choices"]) and _is_error_body(data))
    )


def _is_error_body(data: dict[str, Any]) -> bool:
    """Return whether what has no choices is an error: by a name that errors have, or by a code beside a message."""
    if any(data.get(name) for name in ("errors", "detail", "error_message", "error_type", "error_code", "error_msg")):
        return True
    feedback = data.get("promptFeedback")
    if type(feedback) is dict and feedback.get("blockReason"):  # Gemini
        return True
    if any(name.endswith("Exception") and type(value) is dict for name, value in data.items()):  # Bedrock, in a stream
        return True
    worded = any(type(data.get(name)) is str for name in ("message", "msg"))
    return worded and any(map(_states_failure, (data.get(name) for name in _STATED)))


def _states_failure(code: Any) -> bool:
    """Return whether a code beside a message is that of a failure; services also send progress and success so."""
    if type(code) is int or (type(code) is str and code.isascii() and code.isdigit()):
        return code not in (0, "0") and not (len(str(code)) == 3 and str(code)[0] in "12")
    return type(code) is str and bool(code) and not _NO_FAILURE.fullmatch(code)


def _has_failed(data: dict[str, Any]) -> bool:
    """Return whether an answer states that it failed: by a word, or by a status as its code."""
    if data.get("success") is False or data.get("status") in ("error", "failed", "failure", "fail"):
        return True
    return not _STATED.isdisjoint(data) and any(_STATUS.fullmatch(str(data.get(name))) for name in _STATED)


def is_error(value: Any) -> bool:
    """Return whether the value of an ``error`` field is one; gateways also send an empty one, or one with the code of success."""
    if type(value) is not dict:
        return bool(value)
    return any(value.values()) and value.get("code") not in (0, "0", 200, "200")


def _words(value: Any, depth: int = 0) -> str:
    if depth > _DEPTH:
        return ""
    if type(value) is str:
        nested = _parsed(value)
        return (_words(nested, depth + 1) if nested is not None else "") or value.strip()
    if type(value) is list:
        return "; ".join(filter(None, dict.fromkeys(_words(item, depth + 1) for item in value[:5])))
    if type(value) is not dict:
        return ""
    value = _lowered(value)
    words = next(filter(None, (_words(value.get(name), depth + 1) for name in _WORDS)), "")
    if type(place := value.get("loc")) is list and words:  # FastAPI
        words = f"{'.'.join(map(str, place))}: {words}"
    metadata = value.get("metadata")
    raw = _words(metadata.get("raw"), depth + 1) if type(metadata) is dict else ""  # OpenRouter: the provider's own words
    nested = _words(value.get("base_resp"), depth + 1) if not words else ""
    return f"{words}: {raw}" if raw and raw not in words else words or nested


def _codes(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the codes of an error, the innermost layers last."""
    if type(value) is str:
        value = _parsed(value)
    if depth > _DEPTH or type(value) not in (dict, list):
        return
    if type(value) is list:
        for item in value[:5]:
            yield from _codes(item, depth + 1)
        return
    value = _lowered(value)
    for name in _CODES:
        if type(code := value.get(name)) in (str, int) and (code := str(code)):
            yield f"base_resp_{code}" if "status_msg" in value else code
    for name in _NESTED:
        yield from _codes(value.get(name), depth + 1)


def _waits(value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield the headers about waiting that an error contains, under their names in lower case."""
    if type(value) is list and depth < _DEPTH:
        for item in value[:5]:
            yield from _waits(item, depth + 1)
    if type(value) is not dict or depth > _DEPTH:
        return
    for name, inner in value.items():
        header = _WAITS.get(plain(name), name.lower())
        if type(inner) in (str, int, float) and header.startswith(("retry-after", "x-ratelimit-")):
            yield header, str(inner)
        else:
            yield from _waits(inner, depth + 1)


def _lowered(value: dict[str, Any]) -> dict[str, Any]:
    return {name.lower(): inner for name, inner in value.items()}


def _parsed(text: str) -> Any:
    """Return the JSON inside a text, as gateways quote it; None where there is none."""
    return try_load(text.encode("utf-8", "replace")) if text.lstrip().startswith(("{", "[")) else None
