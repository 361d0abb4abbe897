"""The verb that estimates what a call would send, use and cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Unpack

import pandas as pd

from ...errors import ParameterError
from ...frames.prompt import Prompt
from ...keyword_options import spelled_out
from ...text import quoted
from ..run.prepare import PreparedCall, check_columns, prepare
from ..run.verb_options import DEFAULTS, CompleteOptions, SeriesOptions
from .calculation import calculate
from .explain_cache_misses import explain_misses
from .pilot import SUGGESTED_PILOT, check_pilot, estimate_with_pilot, suggest_pilot
from .request_tokens_and_prices import cached_answers, request_table
from .result import Estimate, over_budget
from .token_ratios import Tokenizer


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
    """Estimate what a call of :func:`complete` with the same parameters would send, use and cost.

    Nothing is sent without ``pilot``.

    Parameters
    ----------
    df : DataFrame
        The rows. It is not changed.
    prompt : str or callable
        As for :func:`complete`, and so are all parameters that aren't named here.
    pilot : int, optional
        Send so many requests, drawn at random, long prompts more often, and estimate the rest from their answers. They are
        cached, so the call itself does not pay for them again.
    random_state : int, default 0
        Seed of the sample: running a cell again with the same one sends nothing.
    tokenizer : callable, optional
        From a text to its tokens, or their number. Default: a fit to the tokens of earlier answers, by model and script.
    max_cost, tag, progress : optional
        As for :func:`complete`, of the pilot.

    Returns
    -------
    Estimate
        Rows, distinct requests, cached requests, tokens, money in the currency of the prices, minutes; ranges with their
        basis. A pilot's ranges are 95 % intervals. ``pilot_cost`` is what a pilot of 30 would cost, and after it what it did.

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
    >>> found = df.tsn.estimate("Summarise: {text}", max_tokens=100)
    >>> found.rows, found.to_send, found.cost.high < found.cost_upper_bound, sim.stats().requests
    (154, 142, True, 0)
    >>> df.tsn.estimate("Summarise: {text}", max_tokens=100, pilot=30, progress=False).sampled, sim.stats().requests
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
    check_pilot(pilot, random_state, words["cache"], words.get("refresh"))
    table = request_table(call, tokenizer)
    return estimate_with_pilot(df, call, table, int(pilot), int(random_state), progress=words.get("progress"))


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

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> sim, df = tsn.simulate(latency=0.0), pd.DataFrame({"text": ["Where is it?", "Thanks!"]})
    >>> df["text"].tsn.estimate("Which tone? {text}", max_tokens=10).to_send
    2
    >>> sim.close()
    """
    return estimate(
        df, prompt, pilot=pilot, random_state=random_state, tokenizer=tokenizer, **options, usage=False, overwrite=True
    )


def estimate_call(call: PreparedCall, tokenizer: Tokenizer | None = None) -> Estimate:
    """Return the estimate of a call, sending nothing."""
    table, answers = request_table(call, tokenizer), cached_answers(call)
    found = calculate(call, table, answers)
    notes = explain_misses(call, found)
    if call.work.mode == "only" and (missed := found.requests - found.cached):
        notes.append(f"cache='only' sends nothing: {missed:,} requests have no answer")
    if found.to_send > SUGGESTED_PILOT and found.completion_tokens.expected is None:
        found = suggest_pilot(call, table, answers, found)
        notes.append(
            f"estimate(..., pilot={SUGGESTED_PILOT}) sends {SUGGESTED_PILOT} of them and gives a 95 % interval; their answers are kept"
        )
    if found.to_send and found.cost.low is None:
        prices, models = call.client.prices, call.made.requests.models
        why = "the client has no prices=" if prices is None else prices.hint(models)
        notes.append(f"the cost is unknown: {why}")
    notes += over_budget(found.cost, call.client.budget.with_run(call.work.max_cost).run, found.currency)
    return replace(found, notes=tuple(notes))
