"""The faults: their probabilities, their order, and which are billed."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .seeded_random import random_fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How likely each fault is for a request that was let in; each a probability from 0 to 1.

    Whether a fault happens depends on the seed, its name, the prompt (model and messages) and the attempt
    number of that prompt only, never on time or order; requests refused by the key, the balance, a rule of
    the API, a limit or an outage are not attempts. If several faults hit, the first in the order below
    happens.

    Not billed, since no model ran: `error_500`, `error_503`, `error_502` (an HTML body, as gateways send),
    `error_other` (status `other_status`), `error_429` (a lone one, no limit was reached), `echo_key` (400,
    its message repeats the key that was sent), `redirect` (307 to `redirect_to`), `html` (200 with a login
    page), `reset_before` (connection reset before any byte).

    Billed in full, since the model did its work, whether or not the client can see it: `hang` (never answers;
    the connection is reset after `hang_seconds`), `half_open` (half of the body, then silence for
    `hang_seconds`), `reset` (half of the body, then a TCP reset), `truncate` (half of the body, then an
    orderly close: Content-Length or chunked framing is not fulfilled), `drip` (one byte of the body every
    `drip_seconds`), `cut_json` (valid HTTP, JSON cut in the middle), `malformed` (not JSON), `empty_body`
    (200, no body), `wrong_type` (a good answer as text/plain), `huge` (30 MB of good JSON), `gzip_bomb` (a
    small gzip body that inflates to over 100 MB), `no_choices` (choices is empty), `null_content` (content is
    null), `filtered` (null, finish_reason content_filter), `no_usage`, `absurd_usage` (negative, a string,
    1e30).

    Billed for what was sent: `stream_error` (an error event in the middle of a stream; only for streams).

    Parameters
    ----------
    first_attempt_only
        Faults hit only the first attempt of a prompt, so that one retry always succeeds.
    hang_seconds
        Seconds of silence of `hang` and `half_open`.
    drip_seconds
        Seconds between two bytes of `drip`.
    other_status
        HTTP status of `error_other`.
    redirect_to
        Target of `redirect`; a path is one of this server.

    Raises
    ------
    ValueError
        If a probability is not from 0 to 1, or a time is not positive.

    Examples
    --------
    >>> Faults(error_500=0.1, first_attempt_only=True).active()
    ('error_500',)
    >>> Faults(reset=2)
    Traceback (most recent call last):
    ValueError: reset is a probability from 0 to 1, not 2
    """

    error_500: float = 0.0
    error_503: float = 0.0
    error_502: float = 0.0
    error_other: float = 0.0
    error_429: float = 0.0
    echo_key: float = 0.0
    redirect: float = 0.0
    html: float = 0.0
    reset_before: float = 0.0
    hang: float = 0.0
    half_open: float = 0.0
    reset: float = 0.0
    truncate: float = 0.0
    drip: float = 0.0
    cut_json: float = 0.0
    malformed: float = 0.0
    empty_body: float = 0.0
    wrong_type: float = 0.0
    huge: float = 0.0
    gzip_bomb: float = 0.0
    no_choices: float = 0.0
    null_content: float = 0.0
    filtered: float = 0.0
    no_usage: float = 0.0
    absurd_usage: float = 0.0
    stream_error: float = 0.0
    first_attempt_only: bool = False
    hang_seconds: float = 600.0
    drip_seconds: float = 0.05
    other_status: int = 529
    redirect_to: str = "/v1/redirected"

    def __post_init__(self) -> None:
        for name in NAMES:
            value: float = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is a probability from 0 to 1, not {value!r}")
        for name in ("hang_seconds", "drip_seconds"):
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"{name} must be a positive number of seconds, not {value!r}")
        if not 400 <= self.other_status <= 599:
            raise ValueError(f"other_status must be from 400 to 599, not {self.other_status!r}")

    def active(self) -> tuple[str, ...]:
        """Return the names of the faults that can happen."""
        return tuple(name for name in NAMES if getattr(self, name) > 0)


_SETTINGS = {"first_attempt_only", "hang_seconds", "drip_seconds", "other_status", "redirect_to"}
NAMES: tuple[str, ...] = tuple(item.name for item in fields(Faults) if item.name not in _SETTINGS)
"""Every fault, in the order of precedence."""

UNBILLED = frozenset(NAMES[: NAMES.index("hang")])
"""Faults of requests that never reached a model."""


def pick(
    faults: Faults,
    active: tuple[str, ...],
    seed: int,
    attempt: tuple[str, int],
    *,
    streamed: bool,
) -> str:
    """Name the fault of this attempt, or give the empty string; `active` is `faults.active()`, found once."""
    if faults.first_attempt_only and attempt[1] > 1:
        return ""
    for name in active:
        hit = random_fraction("fault", seed, name, *attempt) < getattr(faults, name)
        if hit and (streamed or name != "stream_error"):
            return name
    return ""
