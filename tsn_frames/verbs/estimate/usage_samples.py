"""Samples of known usage, from the cache or earlier runs, and what they predict for other requests."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from ...engine.ledger import earlier_runs
from ...engine.outcomes import Outcomes
from ...pricing.price_table import Prices
from ..run.prepare import PreparedCall
from .request_tokens_and_prices import RequestTable
from .result import UNKNOWN
from .survey_sampling import MIN_SAMPLE, Array, Range, total
from .token_ratios import DEFAULTS

NEVER_BILLED = frozenset({"bad_request", "model"})  # row errors that would come, unbilled, in the whole run, too
MAX_RUNS = 20


class UsageSample(NamedTuple):
    """Requests of known usage.

    ``tokens`` and ``costs`` have a row per request, for prompt and completion. ``weights`` say how many of the requests to be sent
    each one represents, ``basis`` where they come from.
    """

    sizes: Array
    tokens: Array
    costs: Array
    weights: Array
    basis: str

    def predict(self, values: Array, sizes: Array) -> Range:
        """Return the total of some values of the sample over the requests of some sizes."""
        return total(self.sizes, values, self.weights, sizes) if np.isfinite(values).all() else UNKNOWN


def known_usage(table: RequestTable, answers: Outcomes, positions: Array, prices: Prices | None) -> tuple[Array, Array, Array]:
    """Return those positions whose usage is known, with their tokens and costs as in :class:`UsageSample`."""
    known: dict[int, tuple[float, float, float]] = {}
    for at in positions.tolist():
        answer, error = answers.completions[at], answers.errors.get(at)
        if answer is not None and answer.prompt_tokens is not None and answer.completion_tokens is not None:
            cost = prices.cost(table.requests[at].model, answer.usage) if prices else None
            known[at] = answer.prompt_tokens, answer.completion_tokens, np.nan if cost is None else float(cost)
        elif error is not None and error.code in NEVER_BILLED:
            known[at] = 0, 0, 0.0 if prices else np.nan
    found, values = np.array(list(known), dtype=np.int64), np.array(list(known.values()), dtype=float).reshape(-1, 3)
    completions = np.where(values[:, 1] > 0, values[:, 1] * table.rates[found, 1], 0.0)
    return found, values[:, :2], np.column_stack([values[:, 2] - completions, completions])


def sample_without_pilot(call: PreparedCall, table: RequestTable, answers: Outcomes, rest: Array) -> UsageSample | None:
    """Return the cached answers of the same frame, or if they are too few, answers of earlier runs."""
    if not len(rest):
        return None
    cached = _from_cache(call, table, answers, rest)
    return cached if cached is not None and len(cached.sizes) >= MIN_SAMPLE else _from_earlier_runs(call, table, len(rest))


def _from_cache(call: PreparedCall, table: RequestTable, answers: Outcomes, rest: Array) -> UsageSample | None:
    """Return the cached answers of the same frame; None if they are of other models."""
    models = table.requests.models
    wanted = {models[at] for at in rest.tolist()}
    there = [at for at, answer in enumerate(answers.completions) if answer is not None and models[at] in wanted]
    if {models[at] for at in there} != wanted:
        return None
    known, tokens, costs = known_usage(table, answers, np.array(there, dtype=np.int64), call.client.prices)
    weights = np.full(len(known), len(rest) / max(1, len(known)))
    return UsageSample(table.sizes[known], tokens, costs, weights, f"if the others are like the {len(known):,} that are cached")


def _from_earlier_runs(call: PreparedCall, table: RequestTable, rest: int) -> UsageSample | None:
    """Return the answers of the newest runs with the same prompt, system prompt and model."""
    mine, models = call.work.about.hashes, set(table.requests.models)
    same = ("template", "system", "model")
    found = earlier_runs.run_records(call.client.ledger)
    records = [record for record, hashes in found if all(hashes.get(name) == mine.get(name) for name in same)][:MAX_RUNS]
    if not records or len(models) != 1:
        return None
    lines = earlier_runs.recent_usage(call.client.ledger, models, [record.run for record in records])
    sizes = np.array([line.prompt_chars * DEFAULTS[line.language].expected for line in lines])
    tokens = np.array([(line.prompt_tokens, line.completion_tokens) for line in lines], dtype=float).reshape(-1, 2)
    day = time.strftime("%Y-%m-%d", time.gmtime(records[0].began))
    weights = np.full(len(lines), rest / max(1, len(lines)))
    return UsageSample(sizes, tokens, tokens * table.rates[0], weights, f"if these rows are like those of the run of {day}")
