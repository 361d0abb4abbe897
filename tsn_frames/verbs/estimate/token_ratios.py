"""Prompt tokens from prompt lengths: by a line that is fitted to earlier answers, or by documented defaults. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
import pandas as pd

from ...api import Request, Requests
from ...api.prompt_length_and_script import prompt_size
from ...engine.ledger.earlier_runs import PastUsage
from ...errors import ParameterError
from ...text import quoted
from .survey_sampling import MIN_SAMPLE, Array

Tokenizer = Callable[[str], Any]
TEMPLATE_TOKENS = 4  # what a chat template adds to a message, about
JSON_CHARS = 30  # characters of a message's JSON besides its text: role, quotes
PRIOR_CHARS = 300  # length of the second pseudo-answer of a fit
_QUANTILES = (0.1, 0.9)


class Ratio(NamedTuple):
    """Tokens per character, with the range of most prompts."""

    low: float
    expected: float
    high: float


# Tokens per character where nothing was learned yet: those of today's byte-level tokenizers for ordinary text.
DEFAULTS = {"latin": Ratio(0.20, 0.25, 0.35), "cjk": Ratio(0.45, 0.75, 1.20), "other": Ratio(0.22, 0.40, 0.80)}


class TokenLine(NamedTuple):
    """Tokens as a linear function of characters.

    ``low`` and ``high`` are the 10 % and 90 % quantiles of actual over fitted tokens; ``shortest`` and ``longest`` the range of
    lengths in the ``answers`` that it was fitted to.
    """

    intercept: float
    slope: float
    low: float
    high: float
    answers: int
    shortest: float
    longest: float

    def __call__(self, chars: Array) -> Array:
        """Return the tokens of prompts, at least 1 each."""
        return np.maximum(1.0, self.intercept + self.slope * chars)


class Prompts(NamedTuple):
    """Lengths of prompts in characters, and for each the position of its model and script in ``names``."""

    chars: Array
    kinds: Array
    names: Sequence[tuple[str, str]]


def measured(requests: Requests) -> Prompts:
    """Return the lengths of all prompts."""
    names: dict[tuple[str, str], int] = {}
    chars, kinds = np.zeros(len(requests)), np.zeros(len(requests), dtype=np.int64)
    for at, request in enumerate(requests):
        size = prompt_size(request)
        chars[at], kinds[at] = size.chars, names.setdefault((request.model, size.language), len(names))
    return Prompts(chars, kinds, list(names))


def fit_lines(past: Iterable[PastUsage]) -> dict[tuple[str, str], TokenLine]:
    """Return a line for each model and script with at least ``MIN_SAMPLE`` answers."""
    pairs: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for one in past:
        pairs.setdefault((one.model, one.language), []).append((one.prompt_chars, one.prompt_tokens))
    return {name: _fit(np.array(some, dtype=float), name[1]) for name, some in pairs.items() if len(some) >= MIN_SAMPLE}


def _fit(pairs: Array, script: str) -> TokenLine:
    """Fit by least squares; two pseudo-answers at the default ratio determine the slope where all lengths are alike."""
    chars, tokens = pairs.T
    prior = TEMPLATE_TOKENS + DEFAULTS[script].expected * np.array([0, PRIOR_CHARS])
    weights = [0.05 * len(chars) ** 0.5] * len(prior) + [1.0] * len(chars)
    slope, intercept = np.polyfit([JSON_CHARS, JSON_CHARS + PRIOR_CHARS, *chars], [*prior, *tokens], 1, w=weights)
    line = TokenLine(float(intercept), float(slope), 1.0, 1.0, len(pairs), float(chars.min()), float(chars.max()))
    low, high = np.quantile(tokens / line(chars), _QUANTILES)
    return line._replace(low=min(1.0, float(low)), high=max(1.0, float(high)))


def tokens_of(prompts: Prompts, lines: Mapping[tuple[str, str], TokenLine]) -> tuple[Array, str]:
    """Return the tokens of each prompt, as columns low, expected and high, and what they are based on."""
    table = np.zeros((len(prompts.chars), 3))
    for kind, name in enumerate(prompts.names):
        at = prompts.kinds == kind
        table[at] = _tokens(prompts.chars[at], lines.get(name), DEFAULTS[name[1]])
    known = [lines[name].answers for name in prompts.names if name in lines]
    if not known:
        latin = all(script == "latin" for _, script in prompts.names)
        return table, "a default of 4 characters a token" if latin else "a default by kind of writing"
    basis = f"{sum(known):,} earlier answers in the ledger"
    return table, basis if len(known) == len(prompts.names) else f"{basis}, and a default for what it has none of"


def _tokens(chars: Array, line: TokenLine | None, default: Ratio) -> Array:
    """Return the tokens of prompts: low, expected and high."""
    text = np.maximum(chars - JSON_CHARS, 0)
    low = np.minimum(default.low * chars, default.low * text + TEMPLATE_TOKENS - 1)
    expected, high = default.expected * chars, default.high * chars
    if line is not None:
        expected, seen, beyond = line(chars), line(np.minimum(chars, line.longest)), np.maximum(chars - line.longest, 0)
        short = chars < line.shortest
        low = np.minimum(line.low * seen + beyond * min(default.low, line.low * line.slope), np.where(short, low, np.inf))
        high = np.maximum(line.high * seen + beyond * max(default.high, line.high * line.slope), np.where(short, high, 0))
    table: Array = np.maximum(1.0, np.column_stack([np.minimum(low, expected), expected, np.maximum(high, expected)]))
    return table


def counted(requests: Requests, tokenizer: Tokenizer) -> tuple[Array, str]:
    """Return the tokens of each prompt as the user's tokenizer counts them."""
    table = np.zeros((len(requests), 3))
    for at, request in enumerate(requests):
        texts = _texts(request)
        number = sum(_number(tokenizer(text)) for text in texts)
        table[at] = number, number + TEMPLATE_TOKENS * len(texts), number + 4 * TEMPLATE_TOKENS * len(texts)
    return table, "your tokenizer, and the model's chat template by guess"


def _texts(request: Request) -> list[str]:
    contents = [message.get("content") or "" for message in orjson.loads(request.body)["messages"]]
    return [
        content if isinstance(content, str) else "".join(part.get("text") or "" for part in content if isinstance(part, dict))
        for content in contents
    ]


def _number(returned: Any) -> int:
    number = int(returned) if pd.api.types.is_integer(returned) else len(returned) if hasattr(returned, "__len__") else -1
    if number < 0 or isinstance(returned, str):
        raise ParameterError(f"tokenizer must return the tokens of a text or their number, got {quoted(returned)}")
    return number
