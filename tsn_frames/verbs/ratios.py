"""From the length of a prompt to its tokens: what earlier answers teach, or a documented default. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from ..engine.past import Past
from ..errors import ParameterError, quoted
from ..measure import prompt_size
from ..wire import Request, Requests
from .pilot import LEAST, Array, Range

Tokenizer = Callable[[str], Any]
TEMPLATE = 4  # tokens that a chat template adds to a message, about
_MIDDLE = (0.1, 0.9)


class Ratio(NamedTuple):
    """Tokens a character, with the range that most prompts lie in; ``answers`` is from how many it was learned."""

    low: float
    expected: float
    high: float
    answers: int = 0


# Tokens a character where nothing was learned yet: what today's byte-level tokenizers make of ordinary text.
DEFAULTS = {"latin": Ratio(0.20, 0.25, 0.35), "cjk": Ratio(0.45, 0.75, 1.20), "other": Ratio(0.22, 0.40, 0.80)}


class Prompts(NamedTuple):
    """Of each request: the characters of its prompt, and which ratio it goes by."""

    chars: Array
    kinds: Array
    names: Sequence[tuple[str, str]]


def measured(requests: Requests) -> Prompts:
    """Return the sizes of all prompts."""
    names: dict[tuple[str, str], int] = {}
    chars, kinds = np.zeros(len(requests)), np.zeros(len(requests), dtype=np.int64)
    for at, request in enumerate(requests):
        size = prompt_size(request)
        chars[at], kinds[at] = size.chars, names.setdefault((request.model, size.language), len(names))
    return Prompts(chars, kinds, list(names))


def calibrated(past: Iterable[Past]) -> dict[tuple[str, str], Ratio]:
    """Return the ratio of each model and language class that there are enough answers of.

    The ratio is that of the sums; the range is where the middle 80 % of the answers lie.

    Examples
    --------
    >>> calibrated([Past("m", "latin", 400, 100, 9, 0.1)] * 20)
    {('m', 'latin'): Ratio(low=0.25, expected=0.25, high=0.25, answers=20)}
    """
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for one in past:
        found.setdefault((one.model, one.language), []).append((one.prompt_chars, one.prompt_tokens))
    return {name: _ratio(np.array(pairs)) for name, pairs in found.items() if len(pairs) >= LEAST}


def tokens_of(prompts: Prompts, ratios: Mapping[tuple[str, str], Ratio]) -> tuple[Array, str]:
    """Return of each prompt its tokens, as columns low, expected and high, and where that is known from."""
    used = [ratios.get(name) or DEFAULTS[name[1]] for name in prompts.names]
    table = np.array([ratio[:3] for ratio in used]).reshape(-1, 3)
    learned = sum(ratio.answers for ratio in used)
    basis = f"{learned:,} earlier answers in the ledger" if learned else "a default of 4 characters a token"
    if learned and not all(ratio.answers for ratio in used):
        basis += ", and a default for what it has none of"
    elif not learned and any(language != "latin" for _, language in prompts.names):
        basis = "a default by kind of writing"
    return table[prompts.kinds] * prompts.chars[:, None], basis


def counted(requests: Requests, tokenizer: Tokenizer) -> tuple[Array, str]:
    """Return of each prompt its tokens as the user's tokenizer counts them.

    Raises
    ------
    ParameterError
        If it returns neither a number nor the tokens.
    """
    table = np.zeros((len(requests), 3))
    for at, request in enumerate(requests):
        texts = _texts(request)
        number = sum(_number(tokenizer(text)) for text in texts)
        table[at] = number, number + TEMPLATE * len(texts), number + 4 * TEMPLATE * len(texts)
    return table, "your tokenizer, and the model's chat template by guess"


def total_of(tokens: Array) -> Range:
    """Return the sums of a table of tokens."""
    low, expected, high = tokens.sum(axis=0).tolist()
    return Range(low, expected, high)


def _ratio(pairs: Array) -> Ratio:
    each, expected = pairs[:, 1] / pairs[:, 0], pairs[:, 1].sum() / pairs[:, 0].sum()
    low, high = np.quantile(each, _MIDDLE)
    return Ratio(float(min(low, expected)), float(expected), float(max(high, expected)), len(pairs))


def _texts(request: Request) -> list[str]:
    contents = [message.get("content") or "" for message in orjson.loads(request.body)["messages"]]
    return [
        content if isinstance(content, str) else "".join(part.get("text") or "" for part in content if isinstance(part, dict))
        for content in contents
    ]


def _number(made: Any) -> int:
    number = made if isinstance(made, int) and not isinstance(made, bool) else len(made) if hasattr(made, "__len__") else -1
    if number < 0 or isinstance(made, str):
        raise ParameterError(f"tokenizer must return the tokens of a text or their number, got {quoted(made)}")
    return number
