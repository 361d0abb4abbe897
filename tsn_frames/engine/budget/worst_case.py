"""Upper bound of a request's cost, and refusal of requests without one. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from ...api import Request, load
from ...errors import ConfigError
from ...pricing.price_table import Prices

TEMPLATE_TOKENS = 64  # upper bound of what a model's chat template adds beyond the request's JSON, which is counted too
_ODD = re.compile(rb'"content":\[|"(?!(?:role|content|name)":)[^"\\]*":')  # inside a string the quotes are escaped
_TEXTS = {
    "role", "content", "name", "prefix", "tool_calls", "tool_call_id", "function_call", "refusal", "reasoning", "reasoning_content"
}  # fmt: skip
_PART = {"type", "text", "cache_control"}
_MULTIPLIES = ("best_of", "models", "fallbacks", "plugins", "web_search_options", "audio")  # in extra_body
_NOTHING: tuple[Any, ...] = (None, 1, False, [], {})  # best_of=1 is one answer


def worst_case(prices: Prices | None, request: Request) -> Decimal | None:
    """Return the most that a request can cost; None without a price or a bound of its answer.

    A token of a byte-level tokenizer has at least one byte, so the body's bytes bound its prompt tokens, with
    ``TEMPLATE_TOKENS`` for the model's template. The answer is taken to be ``max_tokens`` long.
    """
    if prices is None or (most := longest(request)) is None:
        return None
    size = len(request.head) + len(request.messages) + TEMPLATE_TOKENS
    return prices.worst(request.model, size, most)


def longest(request: Request) -> int | None:
    """Return the upper bound of an answer's tokens; None if there is none.

    >>> longest(Request(b"", b'{"model":"m","max_completion_tokens":200,"messages":', b"[]", "m"))
    200
    """
    named = _parameters(request.head).get("max_completion_tokens")  # newer models take it in place of max_tokens
    return max(named if type(named) is int else 0, request.max_tokens or 0) or None


def check_bounded(prices: Prices | None, requests: Iterable[Request]) -> None:
    """Refuse requests whose cost has no upper bound, before anything is sent."""
    limitless, models = False, dict[str, None]()
    for request in requests:
        limitless = limitless or longest(request) is None
        models[request.model] = None
        if _ODD.search(request.messages) and not _only_text(load(request.body)["messages"]):
            raise ConfigError(
                "a budget can't hold where a message has an image, a sound, a file or anything but text: nothing bounds its tokens"
            )
        given = _parameters(request.head)
        if many := next((name for name in _MULTIPLIES if given.get(name) not in _NOTHING), None):
            raise ConfigError(
                f"a budget can't hold with {many!r} in extra_body=: a request may then cost more than one answer of its model"
            )
    unpriced = [model for model in models if prices is None or prices.worst(model, 1, 1) is None]
    missing = ["max_tokens=, which bounds every answer"] * limitless
    missing += [f"a price of {', '.join(map(repr, unpriced[:5]))} in the client's prices="] * bool(unpriced)
    if missing:
        raise ConfigError(f"max_cost= and budget= need {' and '.join(missing)}: without it nothing bounds what a request costs")


def _only_text(messages: list[dict[str, Any]]) -> bool:
    """Return whether messages hold only text, so that their bytes bound their tokens."""
    parts = [part for message in messages if isinstance(content := message.get("content"), list) for part in content]
    texts = (part.get("type") == "text" and part.keys() <= _PART and isinstance(part.get("text"), str) for part in parts)
    return all(message.keys() <= _TEXTS for message in messages) and all(texts)


@lru_cache(maxsize=256)
def _parameters(head: bytes) -> dict[str, Any]:
    """Return the parameters in a request's head: all that comes before its messages."""
    found: dict[str, Any] = load(head[: head.rfind(b'"messages":')].rstrip(b",") + b"}") if head else {}
    return found
