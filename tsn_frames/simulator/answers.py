"""The answers of the simulated models: a pure function of the seed and the request."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .json_schema import instance
from .seeded_random import digest
from .text_generator import MARK, choose, offered, other_words, pieces, sentence
from .tokens import count_prompt, count_tokens, cut_to_tokens

if TYPE_CHECKING:
    from .options import AnswerFunction
    from .validation import ChatRequest, Json

ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the `n` answers to a request."""

    content: str | None
    finish: str
    reasoning: str = ""
    logprobs: tuple[Json, ...] | None = None
    """One entry for each piece of the content, in the API's shape."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a model, before it is serialised."""

    choices: tuple[Choice, ...]
    prompt_tokens: int
    completion_tokens: int
    usage: Json | None
    """The usage that the client gets; a fault can make it differ from the counts above."""


def prompt_key(request: ChatRequest) -> str:
    """Identify a prompt: its model and messages."""
    return digest(request.model, *request.roles, *request.texts, request.parts).hex()[:32]


def compose(request: ChatRequest, seed: int, key: str, cached: int | None, answer: AnswerFunction | None = None) -> Answer:
    """Answer a request; `cached` is reported as cached_tokens unless it is None, `answer` may give the text."""
    body = request.body
    form: Any = body.get("response_format")
    base = (seed, key, repr(body.get("seed")), _CANONICAL(form) if form else "")
    given = answer(body) if answer else None
    choices = tuple([_choice(request, digest(*base, index), given) for index in range(body.get("n", 1))])
    prompt = count_prompt(request.texts)
    reasoning = sum([count_tokens(choice.reasoning) for choice in choices])
    completion = reasoning + sum([count_tokens(choice.content or "") for choice in choices])
    return Answer(choices, prompt, completion, _usage(prompt, completion, reasoning, cached))


def _usage(prompt: int, completion: int, reasoning: int, cached: int | None) -> Json:
    usage: Json = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if cached is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    if reasoning:
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return usage


def _choice(request: ChatRequest, seed: bytes, given: str | None) -> Choice:
    content, options = _draft(request, seed) if given is None else (given, [])
    reasoning = ""
    room = request.max_tokens
    if "reasoner" in request.model:
        # As at real reasoning models, thinking is paid from max_tokens first and can leave nothing.
        reasoning = sentence(request.user, digest("reasoning", seed.hex()))
        content, reasoning, room = _think(content, reasoning, room)
    finish = "stop"
    content = _before_stop(content, request.stop)
    if room is not None and count_tokens(content) > room:
        content, finish = cut_to_tokens(content, room), "length"
    return Choice(content, finish, reasoning, _logprobs(request.body, content, options, seed))


def _think(content: str, reasoning: str, room: int | None) -> tuple[str, str, int | None]:
    if room is None:
        return content, reasoning, None
    reasoning = cut_to_tokens(reasoning, room)
    return content, reasoning, room - count_tokens(reasoning)


def _draft(request: ChatRequest, seed: bytes) -> tuple[str, list[str]]:
    form: Json = request.body.get("response_format") or {"type": "text"}
    if form["type"] == "json_schema":
        return ENCODE(instance(form["json_schema"]["schema"], seed, request.user)), []
    if form["type"] == "json_object":
        text = sentence(request.user, seed).removeprefix(f"{MARK} ")
        return ENCODE({"simulated": True, "answer": text}), []
    options, text = offered(request.system, request.user)
    if options:
        return choose(options, text, int.from_bytes(seed[:8], "big")), options
    return sentence(request.user, seed), []


def _before_stop(text: str, stops: tuple[str, ...]) -> str:
    found = [place for place in (text.find(stop) for stop in stops) if place >= 0]
    return text[: min(found)] if found else text


def _logprobs(body: Json, content: str, options: list[str], seed: bytes) -> tuple[Json, ...] | None:
    if not body.get("logprobs"):
        return None
    count: int = body.get("top_logprobs", 0)
    made: list[Json] = []
    for index, piece in enumerate(pieces(content)):
        others = [option for option in options if option != content] if index == 0 else []
        others += [word for word in other_words(seed, count + 1) if word != piece and word not in others]
        sure = 0.5 + 0.49 * seed[index % 64] / 255
        made.append(_entry([piece, *others[: max(0, count - 1)]], sure, count))
    return tuple(made)


def _entry(tokens: list[str], sure: float, count: int) -> Json:
    """Return the first token the probability `sure`; each next one gets half of what is left."""
    chances = [sure] + [(1 - sure) / 2**place for place in range(1, len(tokens))]
    entries: list[Json] = [
        {"token": token, "logprob": round(math.log(chance), 6), "bytes": list(token.encode())}
        for token, chance in zip(tokens, chances, strict=True)
    ]
    return {**entries[0], "top_logprobs": entries[:count]}
