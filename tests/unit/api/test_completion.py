"""Answers are read the same by the straight way, which nearly all of them go, and by the careful one."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsn_frames.api import EmptyAnswer, ErrorAnswer, Unreadable, decode
from tsn_frames.api.completion import decode_tolerantly

ANY = st.none() | st.booleans() | st.integers(-5, 2**41) | st.floats(allow_nan=False) | st.text(max_size=3)
NESTED = st.recursive(ANY, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2))


def likely(*values):
    """The values that an answer has there, or anything else."""
    return st.sampled_from(values) | NESTED


def fields(**known):
    """A dict with some of its fields, or anything else."""
    return st.fixed_dictionaries({}, optional=known) | st.fixed_dictionaries(known) | NESTED


COUNTS = {f"{part}_tokens": likely(0, 7, 2**40, -1, 7.0, "7") for part in ("prompt", "completion", "total")}
CACHED_COUNTS = likely(0, 3, 8, None)
USAGE = fields(
    **COUNTS, prompt_tokens_details=fields(cached_tokens=CACHED_COUNTS), prompt_cache_hit_tokens=CACHED_COUNTS,
    cached_tokens=CACHED_COUNTS, num_cached_tokens=CACHED_COUNTS,
)  # fmt: skip
MESSAGE = fields(
    content=likely("Hi", "", [{"type": "text", "text": "Hi"}], {"a": 1}), reasoning_content=likely("so"), reasoning=likely("so"),
    role=likely("assistant"), refusal=likely("no"), tool_calls=likely([], [{"id": "1"}]),
)  # fmt: skip
REASONS = likely("stop", "length", "error", "MAX_TOKENS", "sensitive", "")
CHOICE = fields(
    message=MESSAGE, finish_reason=REASONS, native_finish_reason=REASONS, logprobs=likely(None, {"content": []}),
    error=likely({"code": 502}, {}),
)  # fmt: skip
ANSWER = fields(
    choices=st.lists(CHOICE, max_size=2) | NESTED, usage=USAGE, model=likely("m"), error=likely({}, {"code": 402}, ""),
    base_resp=fields(status_code=likely(0, 1008)),
)  # fmt: skip


def read(how, value):
    try:
        return how(value)
    except Unreadable as problem:
        return str(problem)


@settings(max_examples=500, deadline=None)
@given(ANSWER)
def test_both_ways_of_reading_an_answer_bring_the_same(value):
    body = orjson.dumps(value)
    assert read(decode, body) == read(decode_tolerantly, orjson.loads(body))


def test_the_usual_answer_goes_the_straight_way(monkeypatch):
    """With what OpenAI, DeepSeek and vLLM add to it."""
    monkeypatch.setattr("tsn_frames.api.completion.decode_tolerantly", None)
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, "prompt_tokens_details": {"cached_tokens": 4}}
    message = {"role": "assistant", "content": "Hi", "reasoning_content": "so", "refusal": None}
    body = {"id": "1", "model": "m", "choices": [{"message": message, "finish_reason": "stop", "logprobs": None}], "usage": usage}
    assert decode(orjson.dumps(body)) == ("Hi", "stop", "m", 9, 2, 11, 4, "so", None, None, None)


USUAL = b'{"id":%b,"model":"m","choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":%b}'
COUNTED = b'{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}'


@pytest.mark.parametrize(
    ("odd", "counts"),
    [
        (b'"\xff\xfe"', COUNTED),  # bytes that aren't UTF-8, in a field that is not read
        (b'"\\ud83d"', COUNTED),
        (b"NaN", COUNTED),
        (b"1e999", COUNTED),
        (b"9" * 500, COUNTED),
        (b"[" * 900 + b"]" * 900, COUNTED),
        (b"1", COUNTED.replace(b"9,", b"8,", 1).replace(b"{", b'{"prompt_tokens":9,', 1)),  # twice: the last one counts
        (b"1", COUNTED.replace(b"9", b"9.0")),
        (b"1", COUNTED.replace(b"11", b"true")),
        (b"1", COUNTED.replace(b"2,", b"99999999999999999999999,")),
    ],
)
def test_what_is_odd_in_the_bytes_loses_no_answer_and_makes_no_count(odd, counts):
    for start in (b"", b"\xef\xbb\xbf"):
        answer = decode(start + USUAL % (odd, counts))
        assert answer[:3] == ("Hi", "stop", "m")
        assert answer.prompt_tokens == (8 if b"8" in counts else 9)
        assert answer.completion_tokens == (None if b"9999" in counts else 2)


@pytest.mark.parametrize("bad", [b"", b"{", b'{"a":1}x', b"[" * 10**6, b"\x00", USUAL % (b"1", COUNTED) + b"}"])
def test_what_is_not_json_is_not_an_answer(bad):
    with pytest.raises(Unreadable):
        decode(bad)


def answer(message, reason, **more):
    choice = {"index": 0, "finish_reason": reason} | ({} if message is None else {"message": message})
    return orjson.dumps({"model": "m", "choices": [choice], "usage": {"prompt_tokens": 9, "total_tokens": 9}} | more)


@pytest.mark.parametrize("message", [{"content": ""}, {"content": None}, {}, None, {"content": "", "reasoning_content": "Hm"}])
@pytest.mark.parametrize("reason", ["OTHER", "LANGUAGE", "load", "unknown", "finish_reason_unspecified", "unload"])
def test_an_empty_answer_with_an_unknown_end_is_not_an_answer(message, reason):
    with pytest.raises(EmptyAnswer, match=reason) as problem:
        decode(answer(message, reason))
    assert problem.value.billed == "yes" and problem.value.usage.prompt_tokens == 9


def test_an_end_mark_after_an_answer_in_one_piece_is_not_part_of_it():
    assert decode(answer({"content": "Hi"}, "stop") + b"\n\ndata: [DONE]\n\n").content == "Hi"


def test_a_text_with_an_unknown_end_is_an_answer():
    assert decode(answer({"content": "Hi"}, "OTHER")).content == "Hi"


@pytest.mark.parametrize(
    "reason", ["stop", "STOP", "end_turn", "eos", "length", "MAX_TOKENS", "<|eot_id|>", "FINISH_REASON_STOP", "finished"]
)
def test_an_empty_answer_that_ended_well_is_an_answer(reason):
    assert decode(answer({"content": ""}, reason)).content == ""


@pytest.mark.parametrize("content", ["", None])
def test_an_empty_answer_without_a_token_is_not_an_answer(content):
    zero = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    with pytest.raises(EmptyAnswer, match="no tokens") as problem:
        decode(answer({"content": content}, "stop", usage=zero))
    assert problem.value.billed == "no"
    assert decode(answer({"content": content, "reasoning": "Hm"}, "stop", usage=zero)).reasoning == "Hm"
    assert decode(answer({"content": content}, "stop", usage={})).content == content


@pytest.mark.parametrize("message", [{"content": ""}, None])
def test_a_filtered_answer_needs_no_message(message):
    assert decode(answer(message, "content_filter: PROHIBITED_CONTENT")).content is None


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"code": 401}, 401), ({"code": "429"}, 429), ({"code": "402", "message": "no"}, 402), ({"code": 1113, "msg": "no"}, 402),
        ({"code": "InvalidApiKey", "message": "no"}, 401), ({"status": 503, "message": "busy"}, 503), ({"detail": "no"}, 500),
    ],
)  # fmt: skip
def test_an_error_beside_no_choices_is_not_an_empty_answer(more, status):
    body = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}} | more
    with pytest.raises(ErrorAnswer) as problem:
        decode(orjson.dumps(body))
    assert problem.value.error.status_under_200() == status
