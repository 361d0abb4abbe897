"""What a run came to, in numbers and in sentences."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..engine.progress import money
from ..engine.run import Engine
from ..errors import number
from .plan import Errors, Plan


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Rows: ``rows = answered + failed + skipped + not_sent``; of the answered, ``cached`` came from the cache and
    ``copied`` shared an equal row's request. Requests: ``requests`` were sent, ``refused`` of them by the service's
    limits, ``retried`` were failures tried again, ``unknown`` may have been billed without an answer that was seen.
    ``waited`` is seconds by the limit that was waited for, ``cost`` the currency of the prices.
    """

    rows: int
    answered: int
    cached: int
    copied: int
    failed: int
    skipped: int
    not_sent: int
    requests: int
    refused: int
    retried: int
    pauses: int
    unknown: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    seconds: float
    host: str
    waited: dict[str, float]

    def __str__(self) -> str:
        rows = [
            (self.cached, "cached"),
            (self.copied, "shared"),
            (self.failed, "failed"),
            (self.skipped, "skipped"),
            (self.not_sent, "not sent"),
        ]
        detail = ", ".join(f"{n:,} {what}" for n, what in rows if n)
        sent = [(self.refused, "refused"), (self.retried, "retried"), (self.unknown, "possibly billed without an answer")]
        trouble = "".join(f", {n:,} {what}" for n, what in sent if n)
        waits = {rule: s for rule, s in self.waited.items() if s >= 1 and rule != "concurrency"}
        slow = f"; waited {', '.join(f'{s:,.0f} s for {rule}' for rule, s in waits.items())}" if waits else ""
        cost = f", cost {money(self.cost)}" if self.cost else ""
        return (
            f"{self.answered:,} of {number(self.rows, 'row')} answered{f' ({detail})' if detail else ''}; "
            f"{number(self.requests, 'request')} to {self.host}{trouble}; "
            f"{self.prompt_tokens:,} + {self.completion_tokens:,} tokens{cost}; {self.seconds:.1f} s{slow}"
        )


def warnings_of(engine: Engine, made: Plan, errors: Errors) -> list[str]:
    """Return what a user should know after a run, one sentence each."""
    counts, out = engine.counts, []
    answers = [o.completion for o in engine.outcomes if o and o.completion]
    if counts.failed and errors == "coerce" and engine.end is None:
        why = f"the column 'error' says why (first: {first_error(engine, made)})"
        out.append(f"{counts.failed:,} of {number(counts.rows, 'row')} have no answer; {why}. {mend(engine)}")
    cut = sum(
        n for o, n in zip(engine.outcomes, engine.work.copies) if o and o.completion and o.completion.finish_reason == "length"
    )
    if cut:
        out.append(
            f"{number(cut, 'answer')} cut off by max_tokens (finish_reason 'length'); give a larger max_tokens= and run again"
        )
    if engine.client.prices is not None and not counts.cost_known:
        out.append("the cost of some answers is unknown (a model without a price, or no usage): totals are 'at least'")
    out += (
        [_told_models(engine)]
        if len({a.model for a in answers if a.model}) > len({r.model for r in engine.work.requests})
        else []
    )
    for what, problem in engine.problems.items():
        out.append(f"the {what} can't be used ({problem}): this run's answers are in its frame only" if what == "cache"
                   else f"the {what} can't be written ({problem}): this run's spending is not on record")  # fmt: skip
    return out


def first_error(engine: Engine, made: Plan) -> str:
    """Return the first reason of a row that failed."""
    before = (problem for problem in made.problems.values() if problem.code != "missing")
    after = (o.error for o in engine.outcomes if o and o.error and o.error.code != "not_sent")
    return next((str(error) for error in (*before, *after)), "")


def mend(engine: Engine) -> str:
    """Return how to try failed rows again: those whose answer is there, but without text, are asked anew only on request."""
    kept = any(o and o.completion and o.error for o in engine.outcomes)
    return "refresh=out['error'].notna() asks those again" if kept else "Run again to pay only for those"


def _told_models(engine: Engine) -> str:
    found: dict[str, list[float]] = {}
    for outcome in engine.outcomes:
        if outcome and outcome.completion and outcome.completion.model and outcome.answered_at:
            found.setdefault(outcome.completion.model, []).append(outcome.answered_at)
    lines = [f"{model!r} x {len(times):,} ({_day(min(times))} to {_day(max(times))})" for model, times in found.items()]
    return f"the answers come from several models: {', '.join(lines)}; include=('model', 'answered_at') shows which"


def _day(when: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(when))
