"""The verb that tells the price before it is paid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Unpack
from zlib import crc32

import numpy as np
import pandas as pd

from ...engine.ledger import queries
from ...engine.outcomes import Outcomes
from ...engine.run.executor import RunExecutor
from ...engine.run.spec import RunSpec
from ...errors import ParameterError
from ...frames import columns as frame_columns
from ...frames.prompt import Prompt
from ...options import spelled_out
from ...text import quoted
from ..run.options import DEFAULTS, CompleteOptions, SeriesOptions
from ..run.plan import Plan
from ..run.prepare import PreparedCall, check_columns, prepare
from ..run.run import Run
from .cache_misses import explained
from .calculation import RequestTable, cached_answers, calculate, request_table
from .result import Estimate
from .survey_sampling import MIN_SAMPLE, Array, draw
from .token_ratios import Tokenizer

PILOT = 30  # what a pilot that is suggested tries


@spelled_out(CompleteOptions, DEFAULTS)
def estimate(
    df: pd.DataFrame,
    prompt: Prompt | None = None,
    *,
    pilot: int | None = None,
    random_state: int = 0,
    tokenizer: Tokenizer | None = None,
    **options: Unpack[CompleteOptions],
) -> Estimate:
    """Tell what a call of :func:`complete` with the same words would send, use and cost. Nothing is sent without ``pilot``.

    Parameters
    ----------
    df : DataFrame
        The rows. It is not changed.
    prompt : str or callable
        As for :func:`complete`, and so are all words that aren't named here.
    pilot : int, optional
        Send so many requests, drawn at random, long prompts more often, and judge by their answers. They are cached, so the
        call itself does not pay for them again.
    random_state : int, default 0
        Another one draws another sample. The same one draws the same: running a cell again sends nothing.
    tokenizer : callable, optional
        From a text to its tokens, or their number. Default: the ratio of characters to tokens of earlier answers, by model
        and kind of writing.
    max_cost : number, optional
        The most that the pilot may cost.
    tag : str or Series, optional
        What the ledger notes beside the pilot's spending.
    progress : bool, optional
        Whether to show a bar for the pilot; default: in a notebook and on a terminal.

    Returns
    -------
    Estimate
        Rows, distinct requests, those that are cached, tokens, money in the currency of the prices, minutes; ranges with what
        they rest on. A pilot's ranges are 95 % intervals.

    Raises
    ------
    PromptError, ParameterError, ConfigError
        If the call itself would raise it before anything is sent, or ``pilot`` is too small.
    RunError
        If the pilot ended early.

    Notes
    -----
    The pilot is a systematic sample with probability proportional to size (Madow 1949), its estimator the regression on the
    known lengths (Särndal, Swensson and Wretman 1992), its interval Hall's (1992), which allows for skewness.

    Examples
    --------
    >>> import tsn_frames as tsn
    >>> sim, df = tsn.simulate(latency=0.0), tsn.sample_messages().query("text.str.strip() != ''")
    >>> found = estimate(df, "Summarise: {text}", max_tokens=100)
    >>> found.rows, found.to_send, found.cost.high < found.cost_upper_bound, sim.stats().requests
    (154, 142, True, 0)
    >>> estimate(df, "Summarise: {text}", max_tokens=100, pilot=30, progress=False).sampled, sim.stats().requests
    (30, 30)
    >>> sim.close()
    """
    words = {**DEFAULTS, **options}
    check_columns(df, words)
    call = prepare("estimate", df, prompt, words)
    if tokenizer is not None and not callable(tokenizer):
        raise ParameterError(f"tokenizer must be a function from a text to its tokens or their number, got {quoted(tokenizer)}")
    if pilot is None:
        return estimate_call(call, tokenizer)
    _check(pilot, random_state, words["cache"], words.get("refresh"))
    return _with_pilot(df, call, request_table(call, tokenizer), int(pilot), int(random_state), progress=words.get("progress"))


@spelled_out(SeriesOptions, DEFAULTS)
def estimate_values(
    df: pd.DataFrame,
    prompt: Prompt | None = None,
    *,
    pilot: int | None = None,
    random_state: int = 0,
    tokenizer: Tokenizer | None = None,
    **options: Unpack[SeriesOptions],
) -> Estimate:
    """Estimate what :func:`complete` of a Series with the same parameters would send, use and cost.

    The parameters are those of :func:`estimate`.
    """
    return estimate(
        df, prompt, pilot=pilot, random_state=random_state, tokenizer=tokenizer, **options, usage=False, overwrite=True
    )


def estimate_call(call: PreparedCall, tokenizer: Tokenizer | None = None) -> Estimate:
    """Return the estimate of a call, sending nothing."""
    found = calculate(call, request_table(call, tokenizer), cached_answers(call))
    notes = explained(call, found)
    if call.work.mode == "only" and (open_ := found.requests - found.cached):
        notes.append(f"cache='only' sends nothing: {open_:,} requests have no answer")
    if found.to_send > PILOT and found.completion_tokens.expected is None:
        notes.append(f"estimate(..., pilot={PILOT}) sends {PILOT} of them and tells more; their answers are kept")
    if found.to_send and found.cost.low is None:
        prices, models = call.client.prices, call.made.requests.models
        why = "the client has no prices=" if prices is None else prices.hint(models)
        notes.append(f"the cost is unknown: {why}")
    most = call.client.budget.with_run(call.work.max_cost).run
    if most is not None and found.cost.high is not None and found.cost.high > most:
        notes.append(f"it may cost more than the budget of {most} for a run allows, and would end there")
    return replace(found, notes=tuple(notes))


def _with_pilot(
    df: pd.DataFrame, call: PreparedCall, frame: RequestTable, number: int, seed: int, *, progress: bool | None
) -> Estimate:
    answers = cached_answers(call)
    before = calculate(call, frame, answers)
    if not before.to_send:
        why = "every request is cached" if before.requests else "there is nothing to send"
        return replace(before, notes=(f"{why}: no pilot was needed",))
    notes = explained(call, before, " before the pilot")
    among = _population(call, answers)
    asked = map(call.work.requests.__getitem__, among.tolist())  # its words alone: another server draws the same
    keys = np.fromiter((crc32(one.messages, crc32(one.head)) for one in asked), "u8", len(among))
    sample = draw(frame.lengths[among, 1], keys, number, seed)
    sample = replace(sample, positions=among[sample.positions])
    todo = [at for at in sample.positions.tolist() if answers.completions[at] is None]
    if todo:
        _try(df, call, answers, todo, progress=progress)
    found = calculate(call, frame, answers, (sample, len(among)))
    if found.to_send and not found.sampled:
        notes.append(f"fewer than {MIN_SAMPLE} requests of the pilot have an answer with its usage: they tell too little")
    return replace(found, notes=tuple(notes), answers=_rows_of(df, call, answers, sample.positions))


def _population(call: PreparedCall, answers: Outcomes) -> Array:
    """Return the requests that a pilot is drawn from: those without an answer, and those that a pilot of this frame has tried.

    Answers that came in another way say nothing of the rest: they may be those of another department.
    """
    earlier = queries.piloted_keys(call.client.ledger, call.work.about.hashes.get("keys"))
    return np.array(
        [at for at, key in enumerate(call.work.requests.index) if answers.completions[at] is None or key in earlier],
        dtype=np.int64,
    )


def _try(df: pd.DataFrame, call: PreparedCall, answers: Outcomes, todo: list[int], *, progress: bool | None) -> None:
    """Send some of a call's requests, through the ordinary run and into its cache, and take in what came of them."""
    work, requests = call.work, call.work.requests.some(todo)
    hashes = {name: value for name, value in work.about.hashes.items() if name not in ("rows", "keys")}
    hashes["frame"] = work.about.hashes.get("keys", "")  # by which the same frame's next pilot knows this one
    part = RunSpec(requests, [1] * len(todo), tags=[work.tags[at] for at in todo] if work.tags else (),
                about=work.about._replace(hashes=hashes), max_cost=work.max_cost)  # fmt: skip
    engine = RunExecutor(call.client, part)
    made = Plan(requests, np.arange(len(todo)), {})
    run: Run[pd.DataFrame] = Run(engine, made, lambda now: _built(df, call, now.answers, np.array(todo)), "coerce", "error")
    run.result(progress=progress)
    _take(answers, todo, engine.answers, range(len(todo)))


def _rows_of(df: pd.DataFrame, call: PreparedCall, answers: Outcomes, positions: Array) -> pd.DataFrame:
    some = Outcomes(len(positions))
    _take(some, range(len(positions)), answers, positions.tolist())
    return _built(df, call, some, positions)


def _built(df: pd.DataFrame, call: PreparedCall, answers: Outcomes, positions: Array) -> pd.DataFrame:
    """Return the first row of each of some requests, with its answer's columns."""
    firsts = frame_columns.first_rows(call.made.inverse, len(call.made.requests))
    rows = positions if firsts is None else firsts[positions]
    wanted, some = frame_columns.layout(None, usage=True, include=()), call.made.requests.some(positions.tolist())
    built = frame_columns.build(answers, some, np.arange(len(positions)), {}, wanted)
    return frame_columns.add(df.iloc[rows], wanted, built)


def _take(into: Outcomes, at: Iterable[int], given: Outcomes, positions: Iterable[int]) -> None:
    """Copy what came of some requests."""
    for to, origin in zip(at, positions, strict=True):
        into.completions[to], into.times[to] = given.completions[origin], given.times[origin]
        into.cached[to] = given.cached[origin]
        if origin in given.errors:
            into.errors[to] = given.errors[origin]
        if origin in given.costs:
            into.costs[to] = given.costs[origin]


def _check(pilot: object, random_state: object, cache: str, refresh: object) -> None:
    if not pd.api.types.is_integer(pilot) or pilot < MIN_SAMPLE:
        raise ParameterError(f"pilot must be a number of requests of at least {MIN_SAMPLE}, got {quoted(pilot)}")
    if not pd.api.types.is_integer(random_state) or random_state < 0:
        raise ParameterError(f"random_state must be a whole number of 0 or more, got {quoted(random_state)}")
    if cache != "use" or refresh is not None:
        raise ParameterError("pilot= goes with cache='use' and without refresh=: else its answers would be paid for again")
