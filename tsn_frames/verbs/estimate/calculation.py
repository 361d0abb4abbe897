"""Calculate an estimate: bounds from prompts and prices, predictions from a sample of known usage, minutes from the limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np

from ...engine.budget.worst_case import longest, worst_case
from ...engine.ledger.earlier_runs import PastUsage
from ...engine.outcomes import Outcomes
from ...engine.runtime.client import Client
from ...engine.runtime.process import process_state
from ...errors import ConfigError
from ...pricing.price_table import Prices
from ..run.prepare import PreparedCall
from .request_tokens_and_prices import RequestTable
from .result import UNKNOWN, Estimate, EstimatedCall, sum_amounts, sum_ranges
from .survey_sampling import MIN_SAMPLE, Array, Range
from .usage_samples import UsageSample, known_usage, sample_without_pilot


def calculate(call: PreparedCall, table: RequestTable, answers: Outcomes, pilot: UsageSample | None = None) -> Estimate:
    """Return the estimate of a call; ``answers`` holds the cached ones and those of the pilot."""
    client, made, work = call
    prices, problems = client.prices, [problem.code for problem in made.problems.values()]
    rest = np.array(unanswered(answers) if work.mode != "only" else [], dtype=np.int64)
    sample = pilot if pilot is not None else sample_without_pilot(call, table, answers, rest)
    most = sum_amounts(worst_case(prices, table.requests[at]) for at in rest.tolist())
    prompt, completion, cost = bounds(table, rest)
    bound = "every answer from 1 token to max_tokens" if completion.high is not None else "no max_tokens bounds an answer"
    basis = {"prompt_tokens": table.basis, "completion_tokens": bound, "cost": bound, "total_cost": "with the answers that are there",
             "cost_upper_bound": "every request at its worst"}  # fmt: skip
    useful = sample is not None and len(sample.sizes) >= MIN_SAMPLE and len(rest) > 0
    if sample is not None and useful:
        completion = _clip(sample.predict(sample.tokens[:, 1], table.sizes[rest]), completion)
        basis |= {"completion_tokens": sample.basis, "cost": sample.basis}
        if pilot is None:
            cost = _clip(_cost_without_pilot(sample, table, rest), Range(None, None, most))
        else:
            prompt = _clip(sample.predict(sample.tokens[:, 0], table.sizes[rest]), Range(float(len(rest)), None, None))
            cost = sample.predict(sample.costs.sum(axis=1), table.sizes[rest])
            cost = _clip(cost, Range(_least_cost(sample, table, rest), None, most))
            basis["prompt_tokens"] = sample.basis
    if cost == UNKNOWN:
        basis["cost"] = "a price is missing"
    duration, basis["minutes"] = _minutes(
        client, len(rest), (prompt.expected or 0.0) + (completion.expected or 0.0), table.history
    )
    return Estimate(
        rows=len(made.inverse), missing=problems.count("missing"), invalid=len(problems) - problems.count("missing"),
        requests=len(made.requests), cached=len(made.requests) - len(unanswered(answers)), to_send=len(rest),
        sampled=len(pilot.sizes) if pilot is not None and useful else 0, currency=prices.currency if prices else None,
        prompt_tokens=prompt, completion_tokens=completion, cost=cost, cost_upper_bound=most,
        total_cost=UNKNOWN if pilot is None else sum_ranges([cost, _cost_of_answers(table, answers, prices)]),
        minutes=duration, basis=basis, _call=EstimatedCall(client.ledger, work.about.hashes["keys"]),
    )  # fmt: skip


def unanswered(answers: Outcomes) -> list[int]:
    """Return the positions of requests without an answer; one that failed is sent again."""
    return [at for at, answer in enumerate(answers.completions) if answer is None]


def bounds(table: RequestTable, rest: Array) -> tuple[Range, Range, Range]:
    """Return prompt tokens, completion tokens and cost without any answer: completions have from 1 token to ``max_tokens``."""
    longest_answers = [longest(table.requests[at]) for at in rest.tolist()]
    bounded = None not in longest_answers
    most = np.array([one or 1 for one in longest_answers], dtype=float)
    expected = None if len(rest) else 0.0
    completion = Range(float(len(rest)), expected, float(most.sum()) if bounded else None)
    rates, tokens = table.rates[rest], table.tokens[rest]
    prompt = Range(*tokens.sum(axis=0).tolist())
    if not np.isfinite(rates).all():
        return prompt, completion, UNKNOWN
    low = float((tokens[:, 0] * rates[:, 0] + rates[:, 1]).sum())
    high = float((tokens[:, 2] * rates[:, 0] + most * rates[:, 1]).sum()) if bounded else None
    return prompt, completion, Range(low, expected, high)


def _cost_without_pilot(sample: UsageSample, table: RequestTable, rest: Array) -> Range:
    """Return the sample's prediction for the completions, plus the prompts by their own tokens, at the sample's discount."""
    prompts = (table.tokens[rest] * table.rates[rest, :1]).sum(axis=0)
    full = (sample.tokens[:, 0] * table.rates[rest[0], 0]).sum()
    discount = sample.costs[:, 0].sum() / full if full > 0 else 1.0
    completions = sample.predict(sample.costs[:, 1], table.sizes[rest])
    return sum_ranges([completions, Range(*(prompts * [discount, discount, 1.0]).tolist())])


def _least_cost(sample: UsageSample, table: RequestTable, rest: Array) -> float | None:
    """Return the lower end of what the prompts cost, plus one token for each answer."""
    low = sample.predict(sample.costs[:, 0], table.sizes[rest]).low
    return low if low is None or not sample.tokens[:, 1].all() else low + float(table.rates[rest, 1].sum())


def _cost_of_answers(table: RequestTable, answers: Outcomes, prices: Prices | None) -> Range:
    """Return what the answers that are there cost when they were bought."""
    there = [at for at, answer in enumerate(answers.completions) if answer is not None]
    known, _, costs = known_usage(table, answers, np.array(there, dtype=np.int64), prices)
    return Range(*[float(costs.sum())] * 3) if len(known) == len(there) and np.isfinite(costs).all() else UNKNOWN


def _clip(found: Range, bound: Range) -> Range:
    """Return a range within the bounds of what is possible."""
    low, high = bound.low or 0.0, math.inf if bound.high is None else bound.high
    return Range(*(None if one is None else min(max(one, low), high) for one in found))


def _minutes(client: Client, requests: int, tokens: float, history: Sequence[PastUsage]) -> tuple[float | None, str]:
    """Return the minutes that requests with so many tokens take, and what limits them; None where nothing is known."""
    if not requests:
        return 0.0, ""
    limits = list(_by_limits(client, requests, tokens))
    if history:
        seconds = median(one.seconds for one in history)
        reason = f"{min(client.concurrency, requests)} at once, {seconds:.2g} s each as the ledger has it"
        reason += "" if limits else "; no limit is known"
        limits.append((requests * seconds / client.concurrency / 60, reason))
    return max(limits, default=(None, "no limit and no earlier answer is known"))


def _by_limits(client: Client, requests: int, tokens: float) -> Iterator[tuple[float, str]]:
    """Yield minutes by each limit that the user has set, or that the service has stated in the last run of this process."""
    known = [(client.limits.requests_per_minute, client.limits.tokens_per_minute, "as Limits says")]
    try:
        account = process_state.accounts.get((client.base_url, client.key()))
    except ConfigError:  # no key yet
        account = None
    if account is not None:
        known.append((*account.limiter.known_limits(), "as the service has stated"))
    for per_minute, tokens_per_minute, source in known:
        for needed, limit, unit in ((requests, per_minute, "requests"), (tokens, tokens_per_minute, "tokens")):
            if limit and limit < float("inf"):
                yield needed / limit, f"{limit:,.10g} {unit} a minute, {source}"
