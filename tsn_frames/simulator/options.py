"""The options of a simulator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

from .seeded_random import random_fraction

if TYPE_CHECKING:
    from .dialects import DialectName
    from .quota import Quota
    from .rate_limit_headers import RetryHint

Latency = float | tuple[float, float]
StreamUsage = Literal["send", "reject", "ignore"]
AnswerFunction = Callable[[dict[str, Any]], str | None]

MODELS = ("sim-small", "sim-large", "sim-reasoner")
"""Served by default; a model with "reasoner" in its name thinks before it answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `Simulator`, checked; see there for what they mean."""

    seed: int
    latency: Latency
    keys: tuple[str, ...] | None
    echo_key: bool
    balance: int | None
    quota: Quota | None
    retry_hint: RetryHint
    lying_headers: bool
    models: tuple[str, ...]
    list_models: bool
    token_rate: float | None
    stream_usage: StreamUsage
    cached_tokens: bool
    replay_idempotent: bool
    bill_abandoned: bool
    keep_log: int
    max_body: int
    answer: AnswerFunction | None
    dialect: DialectName

    def __post_init__(self) -> None:
        numbers = self.latency if isinstance(self.latency, tuple) else (self.latency, 0.0)
        if not all(0 <= number < math.inf for number in numbers):
            raise ValueError(f"latency is seconds or (median, sigma), none below 0, not {self.latency!r}")
        if self.token_rate is not None and not self.token_rate > 0:
            raise ValueError(f"token_rate is a positive number of tokens a second, not {self.token_rate!r}")
        if self.balance is not None and self.balance < 0:
            raise ValueError(f"balance must be a number of answers, not {self.balance!r}")
        if isinstance(self.keys, str) or isinstance(self.models, str):
            raise TypeError("keys and models are tuples of strings, not one string")


def wait_of(settings: Options, prompt: str, attempt: int) -> float:
    """Return the seconds until the answer begins; lognormal around the median if there is a sigma."""
    if not isinstance(settings.latency, tuple):
        return settings.latency
    median, sigma = settings.latency
    chance = max(random_fraction("latency", settings.seed, prompt, attempt), 1e-12)
    return median * math.exp(sigma * NormalDist().inv_cdf(chance))
