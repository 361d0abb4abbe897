"""How long a refusal asks to wait: every form that services use, and texts that are none."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn_frames.engine.limits.rate_headers import RateLimitState, duration, rate_limits, retry_after, seconds_until

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
        ("500us", 0.0005),
        ("2m59.56s", 179.56),
    ],
)
def test_a_duration_is_read_in_every_spelling(text, seconds):
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-1", "1x", "s", "1m 30s", "1e3", "nan", "inf", "5s!", "٣s", "1,5s"])
def test_what_is_not_a_duration_is_none(text):
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
    ("text", "seconds"),
    [
        ("1m30s", 90.0),
        ("1700000030", 30.0),
        ("1700000030.5", 30.5),
        ("1700000030500", 30.5),
        ("1699999999", 0.0),
        (formatdate(NOW + 30, usegmt=True), 30.0),
        (formatdate(NOW - 30, usegmt=True), 0.0),
        ("Tue, 14 Nov 2023 22:13:50", 30.0),
        ("2023-11-14T22:13:50Z", 30.0),
        ("2023-11-14T23:13:50.250+01:00", 30.25),
        ("2023-11-14T22:13:50", 30.0),
        ("never", None),
        ("", None),
        ("Mon, 99 Foo 2024 00:00:00 GMT", None),
        ("Fri, 31 Dec 100000 23:59:59 GMT", None),
    ],
)
def test_a_wait_is_read_in_every_form(text, seconds):
    assert seconds_until(text, wall=lambda: NOW) == (seconds if seconds is None else pytest.approx(seconds))


@given(st.text(max_size=30))
def test_no_text_makes_a_wait_raise_or_turn_negative(text):
    assert (seconds_until(text, wall=lambda: NOW) or 0.0) >= 0.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "150"}, 0.15),
        ({"retry-after-ms": "150", "retry-after": "1"}, 0.15),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "8ms"}, 0.008),
        ({"retry-after": "9", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "8ms"}, 9.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "45s"}, 45.0),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, 0.0),
        ({"retry-after": "never"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "250ms"}, 0.25),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW + 30) * 1000)}, 30.0),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "250ms"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s",
          "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "30"}, 30.0),
        ({"x-rate-limit-remaining": "0", "x-rate-limit-reset": "1700000030"}, 30.0),
        ({"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "2023-11-14T22:13:50Z",
          "anthropic-ratelimit-requests-remaining": "9", "anthropic-ratelimit-requests-reset": "2023-11-14T23:13:50Z"}, 30.0),
        ({"x-ratelimit-remaining-tokens-minute": "0", "x-ratelimit-reset-tokens-minute": "12.5"}, 12.5),
        ({"x-ratelimit-remaining-tokens-minute": "7", "x-ratelimit-reset-tokens-minute": "12.5"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_the_first_header_that_can_be_read_sets_the_wait(headers, seconds):
    assert retry_after(headers, "", wall=lambda: NOW) == (seconds if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit exceeded. Retry after 3 seconds.", 3.0),
        ("Please try again in 250ms", 0.25),
        ("Please try again in 6m0s.", 360.0),
        ("Please try again in 1.242s. Visit the site", 1.242),
        ("try again in 1 hour 30 minutes", 5400.0),
        ("please wait 2 minutes", 120.0),
        ("Retry after: 1.5s", 1.5),
        ("Slow down", None),
        ("Please retry 3 messages later", None),
        ("Limit 60 requests per 2 seconds", None),
    ],
)
def test_a_wait_in_the_message_counts_where_no_header_states_one(message, seconds):
    assert retry_after({}, message) == (seconds if seconds is None else pytest.approx(seconds))
    assert retry_after({"retry-after": "7"}, message) == 7.0
    room = {"x-ratelimit-remaining-requests": "900", "x-ratelimit-reset-requests": "60s"}
    assert retry_after(room, message) == (seconds if seconds is None else pytest.approx(seconds))


def test_each_dimension_is_read_and_garbage_is_left_out():
    requests, tokens = rate_limits(
        {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1m30s",
         "x-ratelimit-limit-tokens": "many", "x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "soon"}
    )  # fmt: skip
    assert requests == RateLimitState(60, 59, 90)
    assert tokens == RateLimitState()
    assert rate_limits({"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "0"})[0] == RateLimitState()


def test_headers_that_name_no_dimension_are_about_requests():
    headers = {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "3", "x-ratelimit-reset": "1700000030"}
    assert rate_limits(headers, wall=lambda: NOW)[0] == RateLimitState(20, 3, 30.0)
