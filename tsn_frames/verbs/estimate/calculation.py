"""How an estimate is reckoned: what is cached, what the prompts come to, and what a pilot or answers of the past tell."""

from __future__ import annotations

import math
import sqlite3
import time
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from ..._gc import gc_paused
from ...api import Requests, Usage
from ...engine.budget.worst_case import longest, worst_case
from ...engine.cache.store import lookup
from ...engine.ledger import queries
from ...engine.ledger.queries import PastUsage
from ...engine.outcomes import Outcomes
from ...pricing.prices import Prices
from ..run.prepare import PreparedCall
from .duration import minutes
from .result import UNKNOWN, Estimate
from .survey_sampling import MIN_SAMPLE, Array, Range, Sample, total
from .token_ratios import DEFAULTS, Prompts, Tokenizer, counted, fit_lines, measured, tokens_of, total_of

NEVER_BILLED = frozenset({"bad_request", "model"})
MILLION = 1_000_000
NOTHING = Range(0.0, 0.0, 0.0)


Pilot = tuple[Sample, int]  # what was drawn, and from how many


class UsageSample(NamedTuple):
    """Requests whose usage is known, and how they stand for the others: arrays, a position each.

    ``known`` are the two lengths of :class:`Frame`, ``values`` are prompt tokens, completion tokens and cost; without a pilot that
    of the completion alone.
    """

    known: Array
    values: Array
    weights: Array
    words: str
    rates: Array | None = None  # the price of a completion's token
    paid: float = 1.0  # of a prompt's full price, for services that give a discount on what they have cached


class RequestTable(NamedTuple):
    """What is known of a call's requests before any is sent.

    ``tokens`` are those of the prompts (low, expected, high), ``lengths`` two columns, up to a factor: how long a prompt is
    and what it costs, which differ where models do, ``rates``
    the prices of a prompt's and a completion's token; NaN where unknown.
    """

    requests: Requests
    tokens: Array
    lengths: Array
    rates: Array
    basis: str
    history: list[PastUsage]


def request_table(asked: PreparedCall, tokenizer: Tokenizer | None) -> RequestTable:
    """Return what is known of a call's requests: their prompts' tokens and prices."""
    requests, prices = asked.made.requests, asked.client.prices
    prompts = measured(requests)
    history = queries.recent_usage(asked.client.ledger, {model for model, _ in prompts.names})
    table, basis = counted(requests, tokenizer) if tokenizer else tokens_of(prompts, fit_lines(history))
    stable = table if tokenizer else tokens_of(prompts, {})[0]  # what is learned meanwhile must not draw another sample
    rates = rates_of(prompts, prices)
    priced = rates[:, 0] if len(rates) and np.isfinite(rates[:, 0]).all() and rates[:, 0].any() else np.ones(len(rates))
    weight = priced / (priced.mean() if len(priced) else 1)
    return RequestTable(
        requests, table, stable[:, [1, 1]] * np.column_stack([np.ones_like(weight), weight]), rates, basis, history
    )


def rates_of(prompts: Prompts, prices: Prices | None) -> Array:
    """Return the price of a prompt's token and of a completion's, a row a request; NaN where unknown."""
    known = []
    for model, _ in prompts.names:
        pair = [prices.cost(model, Usage(p, c, p + c)) if prices else None for p, c in ((MILLION, 0), (0, MILLION))]
        known.append([np.nan if one is None else float(one) / MILLION for one in pair])
    return np.array(known).reshape(-1, 2)[prompts.kinds]


def cached_answers(asked: PreparedCall) -> Outcomes:
    """Return what the cache has of a call's requests."""
    work, answers = asked.work, Outcomes(len(asked.made.requests))
    if work.mode in ("use", "only"):
        index = work.requests.index
        wanted = {key: at for key, at in index.items() if at not in work.fresh} if work.fresh else index
        try:
            with gc_paused():
                lookup(asked.client.cache.file, wanted, answers.add_cached)
        except (OSError, sqlite3.Error):  # an unreadable cache has no answers, as in a run; one that isn't ours is told
            return Outcomes(len(work.requests))
    return answers


def usage_of(frame: RequestTable, answers: Outcomes, positions: Array, prices: Prices | None) -> tuple[Array, Array]:
    """Return which of some requests have a known usage, and that: prompt tokens, completion tokens, cost."""
    usable, values = [], []
    for at in positions.tolist():
        answer, error = answers.completions[at], answers.errors.get(at)
        if answer is not None and answer.prompt_tokens is not None and answer.completion_tokens is not None:
            cost = prices.cost(frame.requests[at].model, answer.usage) if prices else None
            values.append([answer.prompt_tokens, answer.completion_tokens, np.nan if cost is None else float(cost)])
            usable.append(True)
        elif error is not None and error.code in NEVER_BILLED:  # it would fail, and cost nothing, in the whole run too
            values.append([0, 0, 0.0 if prices else np.nan])
            usable.append(True)
        else:
            usable.append(False)
    return np.array(usable, dtype=bool), np.array(values, dtype=float).reshape(-1, 3)


def from_pilot(frame: RequestTable, answers: Outcomes, pilot: Pilot, rest: int, prices: Prices | None) -> UsageSample:
    """Return what a pilot's answers tell of the ``rest``."""
    sample, among = pilot
    usable, values = usage_of(frame, answers, sample.positions, prices)
    others = among - len(sample.positions)
    share = rest / others if others else 0.0  # what another pilot has tried needs no one to stand for it
    share *= len(usable) / max(1, usable.sum())
    at = sample.positions[usable]
    return UsageSample(frame.lengths[at], values, sample.weights[usable] * share,
                    f"a 95 % interval from the {len(at)} requests of the pilot", frame.rates[at, 1])  # fmt: skip


def from_cache(frame: RequestTable, answers: Outcomes, rest: Array, prices: Prices | None) -> UsageSample | None:
    """Return what the cached answers of the same frame tell, if the others are like them; None if those ask other models."""
    models, completions = frame.requests.models, answers.completions
    wanted = {models[at] for at in rest.tolist()}
    there = [at for at, answer in enumerate(completions) if answer is not None and models[at] in wanted]
    if {models[at] for at in there} != wanted:
        return None
    usable, values = usage_of(frame, answers, at := np.array(there, dtype=np.int64), prices)
    known, words = frame.lengths[at[usable]], f"if the others are like the {usable.sum():,} that are cached"
    full = values[:, :2] * frame.rates[at[usable]]
    paid = (values[:, 2] - full[:, 1]).sum() / full[:, 0].sum() if full[:, 0].sum() > 0 else 1.0
    values[:, 2] = full[:, 1]
    return _alike(known, values, len(rest), words)._replace(paid=float(paid))


def from_earlier_runs(asked: PreparedCall, frame: RequestTable, rest: int) -> UsageSample | None:
    """Return what the newest runs with the same prompt, system prompt and model tell; None where there was none."""
    mine, models = asked.work.about.hashes, set(frame.requests.models)
    alike = [card for card, hashes in queries.run_records(asked.client.ledger)
             if all(hashes.get(name) == mine.get(name) for name in ("template", "system", "model"))][:20]  # fmt: skip
    if not alike or len(models) != 1 or not len(frame.rates):
        return None
    lines = queries.recent_usage(asked.client.ledger, models, [card.run for card in alike])
    known = [line.prompt_chars * DEFAULTS[line.language].expected for line in lines]
    values = np.array([(line.prompt_tokens, line.completion_tokens) for line in lines], dtype=float).reshape(-1, 2)
    costs = values[:, 1] * frame.rates[0, 1]
    day = time.strftime("%Y-%m-%d", time.gmtime(alike[0].began))
    lengths = np.column_stack([known, known])
    return _alike(lengths, np.column_stack([values, costs]), rest, f"if these rows are like those of the run of {day}")


def predict(evidence: UsageSample, rest: Array) -> tuple[Range, Range, Range]:
    """Return the prompt tokens, completion tokens and cost of those requests whose lengths are ``rest``."""
    found = []
    for column, by in zip(evidence.values.T, (0, 0, 1), strict=True):  # tokens go by length, money by price
        if np.isfinite(column).all():
            found.append(total(evidence.known[:, by], column, evidence.weights, rest[:, by]))
        else:
            found.append(UNKNOWN)
    return found[0], found[1], found[2]


def lower_bound(evidence: UsageSample, frame: RequestTable, rest: Array) -> float:
    """Return the least that some requests cost, as a pilot sees it: their prompts, and an answer of one token each."""
    completions = evidence.values[:, 1]
    prompts = evidence.values[:, 2] - np.where(completions > 0, completions * evidence.rates, 0.0)
    if not np.isfinite(prompts).all():
        return 0.0
    found = total(evidence.known[:, 1], prompts, evidence.weights, frame.lengths[rest, 1])
    return (found.low or 0.0) + (float(frame.rates[rest, 1].sum()) if completions.all() else 0.0)


def bounds(frame: RequestTable, rest: Array) -> tuple[Range, Range, Range]:
    """Return what is known of those requests without any answer: completions have from 1 token to ``max_tokens``."""
    if not len(rest):
        return NOTHING, NOTHING, NOTHING
    most = [longest(frame.requests[at]) for at in rest.tolist()]
    bounded = None not in most
    most_tokens = np.array([one or 1 for one in most], dtype=float)
    completion = Range(float(len(rest)), None, float(most_tokens.sum()) if bounded else None)
    rates, tokens = frame.rates[rest], frame.tokens[rest]
    if not np.isfinite(rates).all():
        return total_of(tokens), completion, UNKNOWN
    low = float((tokens[:, 0] * rates[:, 0] + rates[:, 1]).sum())
    high = float((tokens[:, 2] * rates[:, 0] + most_tokens * rates[:, 1]).sum()) if bounded else None
    return total_of(tokens), completion, Range(low, None, high)


def cost_upper_bound(frame: RequestTable, rest: Array, prices: Prices | None) -> float | None:
    """Return the sum of the worst cases; None where one of them has no bound."""
    whole = Decimal(0)
    for at in rest.tolist():
        if (worst := worst_case(prices, frame.requests[at])) is None:
            return None
        whole += worst
    return float(whole)


def calculate(asked: PreparedCall, frame: RequestTable, answers: Outcomes, pilot: Pilot | None = None) -> Estimate:
    """Return the estimate of a call; ``answers`` has what is cached, and what a pilot has brought."""
    client, made, work = asked
    prices, problems = client.prices, made.problems.values()
    missing = [at for at, answer in enumerate(answers.completions) if answer is None]  # one that failed is sent again
    rest = np.array([] if work.mode == "only" else missing, dtype=np.int64)
    evidence = _evidence(asked, frame, answers, pilot, rest)
    most = cost_upper_bound(frame, rest, prices)
    prompt, completion, cost = bounds(frame, rest)
    basis = {"prompt_tokens": frame.basis, "completion_tokens": _bound_words(completion), "cost": _bound_words(completion)}
    if evidence is not None:
        found = predict(evidence, frame.lengths[rest])
        completion = _within(found[1], completion)
        if pilot is None:
            cost = _within(_with_prompts(found[2], frame, rest, evidence.paid), Range(None, None, most))
        else:
            prompt = _within(found[0], Range(float(len(rest)), None, None))
            cost = _within(found[2], Range(lower_bound(evidence, frame, rest), None, most))
        basis |= {"completion_tokens": evidence.words, "cost": evidence.words}
        basis |= {"prompt_tokens": evidence.words} if pilot is not None else {}
    basis |= {"cost": "a price is missing"} if cost == UNKNOWN else {}
    speed, why = minutes(client, len(rest), (prompt.expected or 0.0) + (completion.expected or 0.0), frame.history)
    paid = _known_cost(frame, answers, prices) if pilot is not None else None
    return Estimate(
        rows=len(made.inverse), missing=sum(one.code == "missing" for one in problems),
        invalid=sum(one.code != "missing" for one in problems), requests=len(made.requests),
        cached=len(made.requests) - len(missing), to_send=len(rest),
        sampled=len(evidence.known) if evidence is not None and pilot is not None else 0,
        currency=prices.currency if prices else None, prompt_tokens=prompt, completion_tokens=completion, cost=cost, cost_upper_bound=most,
        total_cost=UNKNOWN if paid is None else Range(*(None if one is None else one + paid for one in cost)), minutes=speed,
        basis=basis | {"cost_upper_bound": "every request at its worst", "minutes": why, "total_cost": "with the answers that are there"},
    )  # fmt: skip


def _evidence(
    asked: PreparedCall, frame: RequestTable, answers: Outcomes, pilot: Pilot | None, rest: Array
) -> UsageSample | None:
    """Return the best of what is known of completions: the pilot, else this frame's answers, else those of earlier runs."""
    if not len(rest):
        return None
    prices = asked.client.prices
    found = from_cache(frame, answers, rest, prices) if pilot is None else from_pilot(frame, answers, pilot, len(rest), prices)
    if pilot is None and (found is None or len(found.known) < MIN_SAMPLE):
        found = from_earlier_runs(asked, frame, len(rest))
    return found if found is not None and len(found.known) >= MIN_SAMPLE else None


def _alike(known: Array, values: Array, rest: int, words: str) -> UsageSample:
    number = max(1, len(known))
    return UsageSample(known, values, np.full(len(known), rest / number), words)


def _with_prompts(completions: Range, frame: RequestTable, rest: Array, paid: float) -> Range:
    """Return what completions cost, with their prompts, whose tokens are guessed by what the ledger has learned."""
    prompts = ((frame.tokens[rest] * frame.rates[rest, :1]).sum(axis=0) * [paid, paid, 1.0]).tolist()
    return Range(*(None if one is None else one + more for one, more in zip(completions, prompts, strict=True)))


def _within(found: Range, bound: Range) -> Range:
    """Return a range that does not pass what is possible. A guess is no bound: it would cut the truth off."""
    low, high = bound.low or 0.0, math.inf if bound.high is None else bound.high
    return Range(*(None if one is None else min(max(one, low), high) for one in found))


def _known_cost(frame: RequestTable, answers: Outcomes, prices: Prices | None) -> float | None:
    there = np.array([at for at, answer in enumerate(answers.completions) if answer is not None], dtype=np.int64)
    usable, values = usage_of(frame, answers, there, prices)
    return float(values[:, 2].sum()) if usable.all() and np.isfinite(values[:, 2]).all() else None


def _bound_words(completion: Range) -> str:
    return "every answer from 1 token to max_tokens" if completion.high is not None else "no max_tokens bounds an answer"
