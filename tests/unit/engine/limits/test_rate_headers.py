"""How long a refusal asks to wait: every spelling that services use, and texts that are none."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn_frames.engine.limits.rate_headers import RateLimitState, RetryAfter, allowances, duration, retry_after

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("45s", 45),
        ("1m30s", 90),
        ("6m0s", 360),
        ("1h2m", 3720),
        ("1d", 86400),
        ("7", 7),
        (" 1.5 ", 1.5),
        ("0", 0),
        ("2S", 2),
    ],
)
def test_a_duration_is_read_in_every_spelling(text, seconds):
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-1", "1x", "s", "1m 30s", "1e3", "nan", "inf", "5s!", "٣s", "1,5s"])
def test_what_is_no_duration_is_none(text):
    assert duration(text) is None


@given(st.integers(0, 10**7))
def test_a_duration_survives_the_round_trip_through_its_longest_spelling(milliseconds):
    seconds, ms = divmod(milliseconds, 1000)
    minutes, s = divmod(seconds, 60)
    hours, m = divmod(minutes, 60)
    assert duration(f"{hours}h{m}m{s}s{ms}ms") == pytest.approx(milliseconds / 1000)


@given(st.text(max_size=20))
def test_no_text_makes_a_duration_raise_or_turn_negative(text):
    assert (duration(text) or 0.0) >= 0.0


@pytest.mark.parametrize(
    ("headers", "seconds", "exact"),
    [
        ({"retry-after-ms": "150"}, 0.15, True),
        ({"retry-after-ms": "150", "retry-after": "1"}, 0.15, True),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0, False),
        ({"retry-after": "7"}, 7.0, False),
        ({"retry-after": "1", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "8ms"}, 0.008, True),
        ({"retry-after": "9", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "8ms"}, 9.0, False),
        ({"retry-after": "0.5"}, 0.5, False),
        ({"retry-after": "45s"}, 45.0, False),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30.0, False),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, 0.0, False),
        ({"retry-after": "never"}, None, False),
        ({"retry-after": "Mon, 99 Foo 2024 00:00:00 GMT"}, None, False),
        ({"retry-after": "Fri, 31 Dec 100000 23:59:59 GMT"}, None, False),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "250ms"}, 0.25, True),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "250ms"}, None, False),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s",
          "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 360.0, True),
        ({}, None, False),
    ],
)  # fmt: skip
def test_the_first_header_that_can_be_read_sets_the_wait(headers, seconds, exact):
    wait = retry_after(headers, "", wall=lambda: NOW)
    assert wait.seconds == (seconds if seconds is None else pytest.approx(seconds))
    assert wait.exact is exact


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit exceeded. Retry after 3 seconds.", 3.0),
        ("Please try again in 250ms", 0.25),
        ("please wait 2 minutes", 120.0),
        ("Retry after: 1.5s", 1.5),
        ("Slow down", None),
        ("Limit 60 requests per 2 seconds", None),
    ],
)
def test_a_message_is_kept_apart_from_the_headers(message, seconds):
    assert retry_after({}, message) == RetryAfter(None, seconds)


def test_the_allowance_of_each_dimension_is_read_and_garbage_is_left_out():
    requests, tokens = allowances(
        {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1m30s",
         "x-ratelimit-limit-tokens": "many", "x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "soon"}
    )  # fmt: skip
    assert requests == RateLimitState(60, 59, 90)
    assert tokens == RateLimitState(None, None, None)
