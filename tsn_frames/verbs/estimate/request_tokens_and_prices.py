"""Table of a call's requests before any is sent: prompt tokens, prices, cached answers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...api import Requests
from ...engine.ledger import earlier_runs
from ...engine.ledger.earlier_runs import PastUsage
from ...engine.outcomes import Outcomes
from ...engine.run.cache_lookup import look_up
from ...pricing.price_table import Prices
from ..run.prepare import PreparedCall
from .survey_sampling import Array
from .token_ratios import Prompts, Tokenizer, counted, fit_lines, measured, tokens_of


class RequestTable(NamedTuple):
    """Known facts of a call's requests: ``tokens`` (low, expected, high) and ``rates`` have a row per request.

    ``sizes`` are what a sample is drawn by: prompt tokens times their price, up to a factor. ``rates`` are the prices of a prompt
    token and of a completion token, NaN where unknown; ``basis`` is what the tokens are based on; ``history`` are earlier
    answers of the same models.
    """

    requests: Requests
    tokens: Array
    sizes: Array
    rates: Array
    basis: str
    history: list[PastUsage]


def request_table(call: PreparedCall, tokenizer: Tokenizer | None) -> RequestTable:
    """Return the table of a call's requests."""
    requests = call.made.requests
    prompts = measured(requests)
    history = earlier_runs.recent_usage(call.client.ledger, {model for model, _ in prompts.names})
    tokens, basis = counted(requests, tokenizer) if tokenizer else tokens_of(prompts, fit_lines(history))
    stable = tokens if tokenizer else tokens_of(prompts, {})[0]  # a pilot that is run again must draw the same sample
    rates = _rates(prompts, call.client.prices)
    priced = np.isfinite(rates[:, 0]).all() and rates[:, 0].any()
    sizes = stable[:, 1] * (rates[:, 0] / rates[:, 0].mean() if priced else 1.0)
    return RequestTable(requests, tokens, sizes, rates, basis, history)


def _rates(prompts: Prompts, prices: Prices | None) -> Array:
    """Return the prices of a prompt token and of a completion token for each request; NaN where unknown."""
    found = [prices.price(model) if prices else None for model, _ in prompts.names]
    rates = [(np.nan, np.nan) if price is None else (float(price.prompt), float(price.completion)) for price in found]
    by_kind: Array = np.array(rates).reshape(-1, 2) / 1e6  # prices are per million tokens
    return by_kind[prompts.kinds]


def cached_answers(call: PreparedCall) -> Outcomes:
    """Return the cached answers of a call's requests."""
    answers = Outcomes(len(call.made.requests))
    if call.work.mode != "refresh":
        look_up(call.client, call.work, answers)
    return answers
