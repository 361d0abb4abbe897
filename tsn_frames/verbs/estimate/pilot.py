"""Pilot: send a sample of a call's requests and estimate the rest from their answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd

from ...engine.ledger import earlier_runs
from ...engine.outcomes import Outcome, Outcomes
from ...engine.run.executor import RunExecutor
from ...errors import ParameterError
from ...frames import output_columns
from ...text import plural, quoted
from ..run.plan import Plan
from ..run.prepare import PreparedCall
from ..run.run_handle import Run
from .calculation import bounds, calculate, unanswered
from .explain_cache_misses import explain_misses
from .request_tokens_and_prices import RequestTable, cached_answers
from .result import Estimate
from .survey_sampling import MIN_SAMPLE, Array, Range, Sample, draw
from .usage_samples import UsageSample, known_usage

SUGGESTED_PILOT = 30


def check_pilot(number: object, seed: object, cache: object, refresh: object) -> None:
    """Refuse a pilot that is too small for an interval, or whose answers would not be cached."""
    if not pd.api.types.is_integer(number) or number < MIN_SAMPLE:
        raise ParameterError(f"pilot must be a number of requests of at least {MIN_SAMPLE}, got {quoted(number)}")
    if not pd.api.types.is_integer(seed) or seed < 0:
        raise ParameterError(f"random_state must be a whole number of 0 or more, got {quoted(seed)}")
    if cache != "use" or refresh is not None:
        raise ParameterError("pilot= goes with cache='use' and without refresh=: else its answers would be paid for again")


def estimate_with_pilot(
    df: pd.DataFrame, call: PreparedCall, table: RequestTable, number: int, seed: int, *, progress: bool | None
) -> Estimate:
    """Return the estimate of a call by a pilot of ``number`` requests; those without a cached answer are sent."""
    answers = cached_answers(call)
    before = calculate(call, table, answers)
    if not before.to_send:
        why = "every request is cached" if before.requests else "there is nothing to send"
        return _with_paid(replace(before, notes=(f"{why}: no pilot was needed",)), call)
    population = _population(call, answers)
    drawn = draw(table.sizes[population], number, seed)
    positions = population[drawn.positions]
    if to_send := [at for at in positions.tolist() if answers.completions[at] is None]:
        _send(df, call, answers, to_send, progress=progress)
    others = len(population) - len(positions)  # of them, other pilots have sent some
    share = len(unanswered(answers)) / others if others else 0.0
    found = calculate(call, table, answers, _usage_of(call, table, answers, Sample(positions, drawn.weights * share)))
    notes = explain_misses(call, before, " before the pilot")
    if found.to_send and not found.sampled:
        notes.append(f"fewer than {MIN_SAMPLE} requests of the pilot have an answer with its usage: they are too few")
    some = Outcomes(len(positions))
    _copy(answers, positions.tolist(), some, range(len(some)))
    return _with_paid(replace(found, notes=tuple(notes), answers=_answered_rows(df, call, some, positions)), call)


def suggest_pilot(call: PreparedCall, table: RequestTable, answers: Outcomes, found: Estimate) -> Estimate:
    """Return an estimate with what the suggested pilot, drawn at the default seed, would cost."""
    population = _population(call, answers)
    drawn = population[draw(table.sizes[population], SUGGESTED_PILOT, 0).positions]
    unpaid = np.array([at for at in drawn.tolist() if answers.completions[at] is None], dtype=np.int64)
    basis = f"a pilot of {SUGGESTED_PILOT}: {found.basis['completion_tokens']}"
    return replace(found, pilot_cost=bounds(table, unpaid)[2], basis={**found.basis, "pilot_cost": basis})


def _with_paid(found: Estimate, call: PreparedCall) -> Estimate:
    """Return an estimate with what the pilots of its call have cost; it is unknown without prices."""
    attempts, cost, known = earlier_runs.pilot_spending(call.client.ledger, call.work.about.hashes["keys"])
    if not attempts or not (cost or known):
        return found
    paid = Range(float(cost), float(cost), float(cost)) if known else Range(float(cost), None, None)
    basis = f"paid for {plural(attempts, 'request')} of the pilot, by the ledger"
    return replace(found, pilot_cost=paid, basis={**found.basis, "pilot_cost": basis})


def _population(call: PreparedCall, answers: Outcomes) -> Array:
    """Return the requests without an answer, and those that an earlier pilot of the same frame has sent.

    Other cached answers are left out: they may be those of another department, unlike the rest.
    """
    piloted = earlier_runs.piloted_keys(call.client.ledger, call.work.about.hashes["keys"])
    keys = enumerate(call.work.requests.index)
    return np.array([at for at, key in keys if answers.completions[at] is None or key in piloted], dtype=np.int64)


def _usage_of(call: PreparedCall, table: RequestTable, answers: Outcomes, sample: Sample) -> UsageSample:
    """Return the usage of a drawn sample; what is known represents what isn't."""
    known, tokens, costs = known_usage(table, answers, sample.positions, call.client.prices)
    weights = sample.weights[np.isin(sample.positions, known)] * len(sample.positions) / max(1, len(known))
    return UsageSample(table.sizes[known], tokens, costs, weights, f"a 95 % interval from the {len(known)} requests of the pilot")


def _send(df: pd.DataFrame, call: PreparedCall, answers: Outcomes, positions: list[int], *, progress: bool | None) -> None:
    """Send some of a call's requests through the ordinary run, and add their outcomes to ``answers``."""
    work, requests = call.work, call.work.requests.take(positions)
    hashes = {name: value for name, value in work.about.hashes.items() if name not in ("rows", "keys")}
    hashes["frame"] = work.about.hashes["keys"]  # lets the next pilot of the same frame find this one
    tags = [work.tags[at] for at in positions] if work.tags else ()
    spec = replace(work, requests=requests, copies=[1] * len(positions), fresh=frozenset(), tags=tags, other_tags={},
                   about=work.about._replace(hashes=hashes))  # fmt: skip
    executor, plan = RunExecutor(call.client, spec), Plan(requests, np.arange(len(positions)), {})
    run: Run[pd.DataFrame] = Run(
        executor, plan, lambda now: _answered_rows(df, call, now.answers, np.array(positions)), "coerce", "error"
    )
    run.result(progress=progress)
    _copy(executor.answers, range(len(positions)), answers, positions)


def _answered_rows(df: pd.DataFrame, call: PreparedCall, answers: Outcomes, positions: Array) -> pd.DataFrame:
    """Return the first row of each of some requests, with the columns of its answer."""
    firsts = output_columns.first_rows(call.made.inverse, len(call.made.requests))
    rows = positions if firsts is None else firsts[positions]
    wanted, requests = output_columns.layout(None, usage=True, include=()), call.made.requests.take(positions.tolist())
    columns = output_columns.build(answers, requests, np.arange(len(positions)), {}, wanted)
    return output_columns.assign(df.iloc[rows], columns)


def _copy(source: Outcomes, origins: Iterable[int], target: Outcomes, positions: Iterable[int]) -> None:
    for origin, at in zip(origins, positions, strict=True):
        error, cost = source.errors.get(origin), source.costs.get(origin, Decimal(0))
        target.set(at, Outcome(source.completions[origin], error, source.times[origin], cost))
        target.cached[at] = source.cached[origin]
