"""What a usage costs: prices and where they come from, with unknown never taken for 0."""

import json

import pytest

from tsn_frames.wire import Usage, decode


def answered(**usage):
    return decode(json.dumps({"choices": [{"message": {"content": "x"}}], "usage": usage}).encode())


@pytest.mark.parametrize(
    ("details", "cached"),
    [({"cached_tokens": 7}, 7), ({"cached_tokens": 0}, 0), ({}, None), (None, None), ({"cached_tokens": "7"}, None),
     ({"cached_tokens": -1}, None), ({"cached_tokens": 11}, None), ({"cached_tokens": True}, None), ([7], None)],
)  # fmt: skip
def test_the_cached_part_of_a_prompt_is_read_where_it_is_told(details, cached):
    """A count that can't be one is none: more than the prompt has would make a cost negative."""
    answer = answered(prompt_tokens=10, completion_tokens=2, prompt_tokens_details=details)
    assert answer.usage == Usage(10, 2, 12, cached) and answer.cached_tokens == cached
