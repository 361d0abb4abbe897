"""Validate a chat request by the API's rules; unknown fields pass."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeGuard

from .api_errors import bad_request

Json = dict[str, Any]

if TYPE_CHECKING:
    from collections.abc import Callable

_ROLES = ("system", "user", "assistant")


class ChatRequest(NamedTuple):
    """A chat request that keeps every rule."""

    body: Json
    model: str
    roles: tuple[str, ...]
    texts: tuple[str, ...]
    """The text of each message."""
    parts: str
    """Canonical JSON of the messages if a content is a list of parts, else nothing: the texts say it all."""
    system: str
    user: str
    """Text of the last user message."""
    max_tokens: int | None
    stop: tuple[str, ...]
    stream: bool
    include_usage: bool


def parse(raw: bytes) -> Json:
    """Read a JSON object, refusing what strict servers refuse (NaN, bad UTF-8, bottomless nesting)."""
    try:
        body: object = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise bad_request("The body is not valid UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The body is not valid JSON: {error}") from None
    if not is_object(body):
        raise bad_request("The body must be a JSON object.")
    return body


def check(body: Json, stream_usage: str) -> ChatRequest:
    """Check every documented field and keep what the answer depends on."""
    for name, value in body.items():
        rule = _RULES.get(name)
        if rule is not None:
            rule(name, value)
    for name in ("model", "messages"):
        if name not in body:
            raise bad_request(f"{name} is required.")
    messages: list[Json] = body["messages"]
    texts = tuple([_check_message(index, message) for index, message in enumerate(messages)])
    roles = tuple([message["role"] for message in messages])
    stop: str | list[str] = body.get("stop", ())
    return ChatRequest(
        body=body,
        model=body["model"],
        roles=roles,
        texts=texts,
        parts=_parts(messages),
        system=texts[0] if roles[0] == "system" else "",
        user=texts[-1] if roles[-1] == "user" else _last_user(roles, texts),
        max_tokens=_limit(body),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        stream=body.get("stream", False),
        include_usage=_check_stream_options(body, stream_usage),
    )


def _last_user(roles: tuple[str, ...], texts: tuple[str, ...]) -> str:
    users = [text for role, text in zip(roles, texts, strict=True) if role == "user"]
    return users[-1] if users else ""


def _parts(messages: list[Json]) -> str:
    for message in messages:
        if message["content"].__class__ is list:
            return json.dumps(messages, sort_keys=True)
    return ""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _limit(body: Json) -> int | None:
    limits: list[int] = [body[name] for name in ("max_tokens", "max_completion_tokens") if name in body]
    return min(limits, default=None)


def _check_stream_options(body: Json, stream_usage: str) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if stream_usage == "reject":
        raise bad_request("Unknown parameter: stream_options.", "unknown_parameter")
    if stream_usage == "ignore":
        return False
    if not is_object(options) or not body.get("stream"):
        raise bad_request("stream_options must be an object, and is only allowed when stream is true.")
    return bool(options.get("include_usage"))


def _check_message(index: int, message: object) -> str:
    where = f"messages[{index}]"
    if not is_object(message):
        raise bad_request(f"{where} must be an object with role and content.")
    role = message.get("role")
    if role not in _ROLES:
        raise bad_request(f"{where}.role must be one of {', '.join(_ROLES)}, not {role!r}.")
    if role == "system" and index:
        raise bad_request(f"{where}.role: only the first message can be a system message.")
    text = _text(where, role, message.get("content", ...))
    if not text.isascii():
        _check_unicode(where, text)
    return text


def _text(where: str, role: str, content: object) -> str:
    if isinstance(content, str):
        return content
    if content is None and role == "assistant":
        return ""
    if not is_list(content) or not content:
        raise bad_request(f"{where}.content must be a string or a list of parts.")
    for part in content:
        if not is_object(part) or not isinstance(part.get("type"), str):
            raise bad_request(f"{where}.content: every part must be an object with a type.")
    texts = [part.get("text", "") for part in content if part["type"] == "text"]
    if not all(isinstance(text, str) for text in texts):
        raise bad_request(f"{where}.content: the text of a part must be a string.")
    return "\n".join(texts)


def _check_unicode(where: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise bad_request(f"{where}.content has a lone surrogate at position {error.start}.") from None


def _number(low: float, high: float) -> Callable[[str, object], None]:
    def rule(name: str, value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise bad_request(f"{name} must be a number from {low:g} to {high:g}, not {value!r:.60}.")

    return rule


def _integer(low: int, high: int | None = None) -> Callable[[str, object], None]:
    wanted = f"of at least {low}" if high is None else f"from {low} to {high}"

    def rule(name: str, value: object) -> None:
        fits = isinstance(value, int) and not isinstance(value, bool)
        if not fits or value < low or (high is not None and value > high):  # type: ignore[operator]
            raise bad_request(f"{name} must be an integer {wanted}, not {value!r:.60}.")

    return rule


def _boolean(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise bad_request(f"{name} must be true or false, not {value!r:.60}.")


def _model(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise bad_request(f"{name} must be a string that is not empty.")


def _messages(name: str, value: object) -> None:
    if not is_list(value) or not value:
        raise bad_request(f"{name} must be a list of at least one message.")


def _stop(name: str, value: object) -> None:
    items = value if is_list(value) else [value]
    if not items or not all(isinstance(item, str) and item for item in items):
        raise bad_request(f"{name} must be a string or a list of strings, none of them empty.")


def _format(name: str, value: object) -> None:
    if not is_object(value) or value.get("type") not in ("text", "json_object", "json_schema"):
        raise bad_request(f"{name}.type must be one of text, json_object, json_schema.")
    if value["type"] == "json_schema":
        spec = value.get("json_schema")
        if not is_object(spec) or not is_object(spec.get("schema")):
            raise bad_request(f"{name}.json_schema must be an object with name and schema.")
        if not isinstance(spec.get("name"), str):
            raise bad_request(f"{name}.json_schema.name must be a string.")


_RULES: dict[str, Callable[[str, object], None]] = {
    "model": _model,
    "messages": _messages,
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "frequency_penalty": _number(-2, 2),
    "presence_penalty": _number(-2, 2),
    "max_tokens": _integer(1),
    "max_completion_tokens": _integer(1),
    "n": _integer(1, 128),
    "top_logprobs": _integer(0, 20),
    "logprobs": _boolean,
    "stream": _boolean,
    "stop": _stop,
    "response_format": _format,
}


def is_object(value: object) -> TypeGuard[Json]:
    """Return whether this is a JSON object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Return whether this is a JSON array."""
    return isinstance(value, list)
