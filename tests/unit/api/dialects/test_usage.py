"""The tokens of an answer are read under every name, merged over the chunks of a stream, and never invented."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn_frames.api import decode
from tsn_frames.api.dialects.response_tables import BESIDE_PROMPT, CACHED, COMPLETION, PROMPT
from tsn_frames.api.dialects.response_tables import USAGE as PLACES
from tsn_frames.api.dialects.usage import count, find_usage, merge_usage, read_usage
from tsn_frames.api.streaming.stream_parser import StreamedReply

READ = {"input_tokens": 10, "output_tokens": 20, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 2}


def camel(name):
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def put(path, value):
    """Put a value at a path of dicts and lists of one item."""
    for step in reversed(path):
        value = [value] if step == 0 else {step: value}
    return value


@pytest.mark.parametrize("write", [str, camel])
@pytest.mark.parametrize("path", CACHED)
def test_cached_tokens_are_found_in_snake_and_in_camel_case(path, write):
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120} | put([*map(write, path)], 64)
    assert read_usage(usage) == (100, 20, 120, 64)


@pytest.mark.parametrize("write", [str, camel])
@pytest.mark.parametrize(("prompt", "completed"), [(p, c) for p in PROMPT for c in COMPLETION])
def test_counts_are_read_in_snake_and_in_camel_case(prompt, completed, write):
    assert read_usage({write(prompt): 100, write(completed): 20}) == (100, 20, 120, None)


@pytest.mark.parametrize("path", PLACES)
def test_a_usage_that_counts_nothing_hides_no_other(path):
    usage = {"prompt_tokens": 100, "completion_tokens": 20}
    chunk = {"usage": {"prompt_tokens": 0}} if path != ("usage",) else {"x_groq": {"usage": {"prompt_tokens": 0}}}
    assert find_usage(chunk | put(path, usage)) == usage


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 0, "input_tokens": 10, "completion_tokens": 0, "output_tokens": 7}, (10, 7, 17, None)),
        ({"completion_tokens": 20, "total_tokens": 120}, (100, 20, 120, None)),
        ({"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 1033}, (9, 1024, 1033, None)),
        # Gemini counts thoughts beside the candidates, or leaves the candidates out
        ({"promptTokenCount": 9, "candidatesTokenCount": 2, "thoughtsTokenCount": 30, "totalTokenCount": 41}, (9, 32, 41, None)),
        ({"promptTokenCount": 9, "thoughtsTokenCount": 30, "totalTokenCount": 39}, (9, 30, 39, None)),
        ({"promptTokenCount": 9, "candidatesTokenCount": 32, "thoughtsTokenCount": 30, "totalTokenCount": 41}, (9, 32, 41, None)),
        # Anthropic counts what was cached beside the prompt
        (READ, (20, 20, 40, 8)),
        ({"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 130, "cache_read_input_tokens": 100}, (110, 20, 130, 100)),
        ({"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30, "cache_read_input_tokens": 100}, (110, 20, 130, 100)),
        ({"prompt_tokens": 0, "completion_tokens": 20, "total_tokens": 20, "cache_read_input_tokens": 50}, (50, 20, 70, 50)),
        # others count it in the prompt
        ({"prompt_tokens": 110, "completion_tokens": 20, "total_tokens": 130, "cache_read_input_tokens": 100}, (110, 20, 130, 100)),
        (READ | {"total_tokens": 30}, (10, 20, 30, 8)),
        ({"prompt_tokens": 110, "completion_tokens": 20, "cache_creation_input_tokens": 100}, (110, 20, 130, None)),
    ],
    ids=str,
)  # fmt: skip
def test_each_count_is_in_the_bill_once(usage, counts):
    assert read_usage(usage, has_text=True) == counts
    body = {"model": "m", "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "usage": usage}
    assert decode(json.dumps(body).encode()).usage == counts


def test_names_beside_the_prompt_are_names_of_cached_tokens_or_of_a_write():
    assert set(BESIDE_PROMPT) == {"cache_read_input_tokens", "cache_creation_input_tokens"}


def streamed(*chunks, after=()):
    reply = StreamedReply()
    for chunk in chunks:
        reply.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    reply.feed(b"data: [DONE]\n\n" + b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in after))
    reply.close()
    return decode(reply.body)


TEXT = {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("first", "last", "counts"),
    [
        ({"input_tokens": 25, "output_tokens": 1}, {"output_tokens": 15}, (25, 15, 40, None)),
        ({"input_tokens": 25, "output_tokens": 1}, {"input_tokens": 0, "output_tokens": 15}, (25, 15, 40, None)),
        ({"prompt_tokens": 25, "total_tokens": 25}, {"completion_tokens": 15}, (25, 15, 40, None)),
        ({"prompt_tokens": 25, "completion_tokens": 0, "total_tokens": 25}, {"output_tokens": 15}, (25, 15, 40, None)),
        ({"prompt_tokens": 25, "completion_tokens": 1, "total_tokens": 26}, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (25, 1, 26, None)),
        (READ | {"output_tokens": 1}, {"output_tokens": 15}, (20, 15, 35, 8)),
    ],
)  # fmt: skip
def test_a_usage_in_parts_is_merged(first, last, counts):
    assert streamed({"choices": [], "usage": first}, TEXT, {"choices": [], "usage": last}).usage == counts


def test_a_usage_is_read_in_anthropic_s_first_event_and_after_the_end_mark():
    begun = {"type": "message_start", "message": {"usage": {"input_tokens": 25, "output_tokens": 1}}}
    assert streamed(begun, TEXT, {"usage": {"output_tokens": 15}}).usage == (25, 15, 40, None)
    assert streamed(TEXT, after=[{"choices": [], "usage": {"prompt_tokens": 25, "completion_tokens": 15}}]).total_tokens == 40


PARTS = st.dictionaries(
    st.sampled_from([*PROMPT, *COMPLETION, "total_tokens", "x"]), st.none() | st.integers(-2, 9) | st.text(max_size=2)
)


@given(PARTS, PARTS)
def test_a_merge_loses_no_count(first, last):
    merged = read_usage(merge_usage(first, last))
    assert bool(merged.prompt_tokens) >= any(count(part.get(name)) for part in (first, last) for name in PROMPT)
    assert bool(merged.completion_tokens) >= any(count(part.get(name)) for part in (first, last) for name in COMPLETION)
