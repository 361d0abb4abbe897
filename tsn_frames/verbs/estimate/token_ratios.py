"""From the length of a prompt to its tokens: what earlier answers teach, or a documented default. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
import pandas as pd

from ...api import Request, Requests
from ...api.prompt_size import prompt_size
from ...engine.ledger.queries import PastUsage
from ...errors import ParameterError
from ...text import quoted
from .survey_sampling import MIN_SAMPLE, Array, Range

Tokenizer = Callable[[str], Any]
TEMPLATE = 4  # tokens that a chat template adds to a message, about
SCAFFOLD = 30  # characters of a message's JSON that are no text: its role, its quotes
CLEAR = 300  # characters from which on the template says little of the ratio
BANDS, BAND = 8, 25  # so many bands of lengths at most, of so many answers at least
_MIDDLE = (0.1, 0.9)


class Ratio(NamedTuple):
    """Tokens a character, with the range that most prompts lie in.

    ``answers`` is from how many it was learned, ``shortest`` and ``longest`` between which lengths those lay.
    """

    low: float
    expected: float
    high: float
    answers: int = 0
    shortest: float = 0.0
    longest: float = 0.0


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


def calibrated(past: Iterable[PastUsage]) -> dict[tuple[str, str], list[Ratio]]:
    """Return the ratios of each model and language class that there are enough answers of, from short prompts to long ones.

    Lengths are cut into bands, for a template weighs more in a short prompt. In each, the ratio is that of the sums; the range
    is where the middle 80 % of the answers lie.

    Examples
    --------
    >>> calibrated([PastUsage("m", "latin", 400, 100, 9, 0.1)] * 20)
    {('m', 'latin'): [Ratio(low=0.25, expected=0.25, high=0.25, answers=20, shortest=400.0, longest=400.0)]}
    """
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for one in past:
        found.setdefault((one.model, one.language), []).append((one.prompt_chars, one.prompt_tokens))
    return {name: _bands(np.array(pairs, dtype=float)) for name, pairs in found.items() if len(pairs) >= MIN_SAMPLE}


def tokens_of(prompts: Prompts, ratios: Mapping[tuple[str, str], list[Ratio]]) -> tuple[Array, str]:
    """Return of each prompt its tokens, as columns low, expected and high, and where that is known from."""
    table = np.zeros((len(prompts.chars), 3))
    for kind, name in enumerate(prompts.names):
        at = prompts.kinds == kind
        table[at] = _by(ratios.get(name) or [], DEFAULTS[name[1]], prompts.chars[at])
    used = [sum(ratio.answers for ratio in ratios.get(name, [])) for name in prompts.names]
    learned = sum(used)
    basis = f"{learned:,} earlier answers in the ledger" if learned else "a default of 4 characters a token"
    if learned and not all(used):
        basis += ", and a default for what it has none of"
    elif not learned and any(language != "latin" for _, language in prompts.names):
        basis = "a default by kind of writing"
    return table, basis


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


def _by(bands: list[Ratio], default: Ratio, chars: Array) -> Array:
    """Return the tokens of prompts of some lengths, as columns low, expected and high."""
    text = np.maximum(chars - SCAFFOLD, 0)
    if not bands:
        low = np.minimum(default.low * chars, default.low * text + TEMPLATE - 1)
        return np.column_stack([low, default.expected * chars, default.high * chars])
    first, last = bands[0], bands[-1]
    band = np.searchsorted([ratio.shortest for ratio in bands[1:]], chars, side="right")
    table: Array = np.array([ratio[:3] for ratio in bands])[band] * chars[:, None]
    above, below = chars > last.longest, chars < first.shortest
    table[above] = np.array(last[:3]) * last.longest + (chars[above] - last.longest)[:, None] * _slopes(last, default)
    share = (text[below] / max(1.0, first.shortest - SCAFFOLD))[:, None]  # nothing was seen: a line to the bare template
    line = TEMPLATE + share * (np.array(first[:3]) * first.shortest - TEMPLATE)
    low = np.minimum(line[:, 0], default.low * text[below] + TEMPLATE) - 1
    high = np.maximum(line[:, 2], default.high * text[below]) + 4 * TEMPLATE
    table[below] = np.column_stack([low, line[:, 1], np.maximum(line[:, 1], np.minimum(high, first.high * first.shortest))])
    return table


def _slopes(longest: Ratio, default: Ratio) -> Array:
    """Return the tokens of a further character beyond the longest prompt that was seen: low, expected, high.

    Nothing was seen there, so the range is never narrower than that of the default.
    """
    slope = (longest.expected * longest.longest - TEMPLATE) / max(1.0, longest.longest - SCAFFOLD)
    clear = min(1.0, longest.longest / CLEAR) ** 2  # in short prompts the template can't be told from the text
    slope = clear * slope + (1 - clear) * default.expected
    return np.array([min(default.low, slope), slope, max(default.high, slope)])


def _bands(pairs: Array) -> list[Ratio]:
    ordered = pairs[np.argsort(pairs[:, 0], kind="stable")]
    return [_ratio(part) for part in np.array_split(ordered, min(BANDS, max(1, len(pairs) // BAND)))]


def _ratio(pairs: Array) -> Ratio:
    each, expected = pairs[:, 1] / pairs[:, 0], pairs[:, 1].sum() / pairs[:, 0].sum()
    low, high = np.quantile(each, _MIDDLE)
    return Ratio(float(min(low, expected)), float(expected), float(max(high, expected)), len(pairs),
                 float(pairs[0, 0]), float(pairs[-1, 0]))  # fmt: skip


def _texts(request: Request) -> list[str]:
    contents = [message.get("content") or "" for message in orjson.loads(request.body)["messages"]]
    return [
        content if isinstance(content, str) else "".join(part.get("text") or "" for part in content if isinstance(part, dict))
        for content in contents
    ]


def _number(made: Any) -> int:
    number = int(made) if pd.api.types.is_integer(made) else len(made) if hasattr(made, "__len__") else -1
    if number < 0 or isinstance(made, str):
        raise ParameterError(f"tokenizer must return the tokens of a text or their number, got {quoted(made)}")
    return number
