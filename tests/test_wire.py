"""Answers are read the same by the straight way, which nearly all of them go, and by the careful one."""

from __future__ import annotations

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tsn_frames.wire import Unreadable, _carefully, decode

ANY = st.none() | st.booleans() | st.integers(-5, 2**41) | st.floats(allow_nan=False) | st.text(max_size=3)
NESTED = st.recursive(ANY, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2))


def likely(*values):
    """The values that an answer has there, or anything else."""
    return st.sampled_from(values) | NESTED


def fields(**known):
    """A dict with some of its fields, or anything else."""
    return st.fixed_dictionaries({}, optional=known) | st.fixed_dictionaries(known) | NESTED


COUNTS = {f"{part}_tokens": likely(0, 7, 2**40, -1) for part in ("prompt", "completion", "total")}
USAGE = fields(**COUNTS, prompt_tokens_details=fields(cached_tokens=likely(0, 3, 8)))
MESSAGE = fields(
    content=likely("Hi", "", [{"type": "text", "text": "Hi"}]), reasoning_content=likely("so"), role=likely("assistant")
)
CHOICE = fields(message=MESSAGE, finish_reason=likely("stop", "length"), logprobs=likely(None, {"content": []}))
ANSWER = fields(choices=st.lists(CHOICE, max_size=2) | NESTED, usage=USAGE, model=likely("m"), error=NESTED)


def read(how, value):
    try:
        return how(value)
    except Unreadable as problem:
        return str(problem)


@settings(max_examples=500, deadline=None)
@given(ANSWER)
def test_both_ways_of_reading_an_answer_bring_the_same(value):
    body = orjson.dumps(value)
    assert read(decode, body) == read(_carefully, orjson.loads(body))


def test_the_usual_answer_goes_the_straight_way(monkeypatch):
    """With what OpenAI, DeepSeek and vLLM add to it."""
    monkeypatch.setattr("tsn_frames.wire._carefully", None)
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, "prompt_tokens_details": {"cached_tokens": 4}}
    message = {"role": "assistant", "content": "Hi", "reasoning_content": "so", "refusal": None}
    body = {"id": "1", "model": "m", "choices": [{"message": message, "finish_reason": "stop", "logprobs": None}], "usage": usage}
    assert decode(orjson.dumps(body)) == ("Hi", "stop", "m", 9, 2, 11, 4, "so", None)
