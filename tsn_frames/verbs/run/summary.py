"""The summary of a run, and its warnings."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter

from ...api.dialects.response_tables import ending
from ...engine.progress.counts import Counts
from ...engine.run.executor import RunExecutor
from ...engine.runtime.simulator_detection import MARK
from ...notebook.table_html import lines_html
from ...text import money, plural
from .plan import Errors, Plan


@dataclass(frozen=True, repr=False)
class Summary:
    """The summary of a run.

    Rows: ``rows = answered + failed + missing + not_sent``; of the answered, ``cached`` came from the cache and
    ``deduplicated`` took the answer of an equal row's request. Requests: ``requests`` were sent, ``refused`` of them by the service's
    limits, ``retried`` were failures tried again, ``unknown`` may have been billed without an answer that was seen.
    ``waited`` is seconds by the limit that was waited for, ``cost`` the currency of the prices: the least that it can be
    where ``cost_known`` is false, None without prices. ``simulated`` says that the service is the simulator on this machine.
    """

    rows: int
    answered: int
    cached: int
    deduplicated: int
    failed: int
    missing: int
    not_sent: int
    requests: int
    refused: int
    retried: int
    pauses: int
    unknown: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    cost_known: bool
    seconds: float
    host: str
    waited: dict[str, float]
    currency: str | None
    simulated: bool

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"

    def _repr_html_(self) -> str:
        return lines_html(str(self).split("; "))

    def __str__(self) -> str:
        rows = {name: getattr(self, name) for name in ("cached", "deduplicated", "failed", "missing", "not_sent")}
        detail = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in rows.items() if n)
        sent = [(self.refused, "refused"), (self.retried, "retried"), (self.unknown, "possibly billed without an answer")]
        trouble = "".join(f", {n:,} {what}" for n, what in sent if n)
        waits = {rule: s for rule, s in self.waited.items() if s >= 1 and rule != "concurrency"}
        slow = f"; waited {', '.join(f'{s:,.0f} s for {rule}' for rule, s in waits.items())}" if waits else ""
        cost = f", cost {'' if self.cost_known else 'at least '}{money(self.cost, currency=self.currency)}" if self.cost else ""
        return (
            f"{self.answered:,} of {plural(self.rows, 'row')} answered{f' ({detail})' if detail else ''}; "
            f"{plural(self.requests, 'request')} to {self.host}{f' ({MARK})' if self.simulated else ''}{trouble}; "
            f"{self.prompt_tokens:,} + {self.completion_tokens:,} tokens{cost}; {self.seconds:.1f} s{slow}"
        )


def summarise(engine: RunExecutor, seconds: float) -> Summary:
    """Return the summary of a run."""
    counts, priced = engine.counts, engine.client.prices is not None
    names = [field for field in Counts.__slots__ if field in Summary.__dataclass_fields__ and field not in ("cost", "cost_known")]
    return Summary(
        **{name: getattr(counts, name) for name in names},
        missing=counts.skipped,
        pauses=engine.pauses,
        cost=float(counts.cost) if priced else None,
        cost_known=priced and counts.cost_known,
        seconds=seconds,
        host=engine.client.host,
        waited=dict(engine.waited),
    )


def total_summary(parts: Sequence[Summary], counts: Counts, seconds: float) -> Summary:
    """Return the summary of several runs, at least one; ``counts`` are those of all of them."""
    last, waited = parts[-1], Counter[str]()
    for part in parts:
        waited.update(part.waited)
    sums = {name: sum(getattr(part, name) for part in parts) for name, value in vars(last).items() if type(value) is int}
    cost = None if last.cost is None else float(counts.cost)
    known = all(part.cost_known for part in parts)
    simulated = all(part.simulated for part in parts)
    return replace(last, **sums, cost=cost, cost_known=known, seconds=seconds, waited=dict(waited), simulated=simulated)


def added(one: Counts, other: Counts) -> Counts:
    """Return the counts of two runs together, with the rows of the first."""
    summed = [field.name for field in fields(Counts) if field.name not in ("rows", "cost_known", "currency", "simulated")]
    sums = {name: getattr(one, name) + getattr(other, name) for name in summed}
    known, simulated = one.cost_known and other.cost_known, other.simulated and (one.simulated or not one.done)
    return replace(one, **sums, cost_known=known, currency=other.currency, simulated=simulated)


def warnings_of(engine: RunExecutor, made: Plan, errors: Errors, column: str, *, rows: bool = True) -> list[str]:
    """Return the warnings of a finished run; ``column`` is the column of its errors, ``rows`` whether to warn of its rows."""
    out = _row_warnings(engine, made, errors, column) if rows else []
    if engine.client.prices is not None and not engine.counts.cost_known:
        unseen = engine.counts.unknown  # also the first attempt of a retried row
        lost = f"{plural(unseen, 'request')} may be billed, and their usage is unknown; the ledger lists them with the outcome 'unknown'"
        why = engine.client.prices.hint(engine.work.requests.models) or (lost if unseen else "answers without usage")
        out.append(f"the cost of some answers is unknown ({why}): totals are 'at least'")
    unavailable = {
        "cache": "the cache can't be used ({}): this run's answers are in its frame only",
        "ledger": "the ledger can't be written ({}): this run's spending is not on record",
    }
    return out + _models(engine) + [unavailable[what].format(problem) for what, problem in engine.problems.items()]


def _row_warnings(engine: RunExecutor, made: Plan, errors: Errors, column: str) -> list[str]:
    counts, out = engine.counts, []
    rows = plural(counts.rows, "row")
    if counts.failed and errors == "coerce" and engine.end is None:
        why = f"the column {column!r} says why (first: {first_error(engine, made)})"
        out.append(
            f"{counts.failed:,} of {rows} {'has' if counts.failed == 1 else 'have'} no answer; {why}. {remedy(engine, made, column)}"
        )
    if counts.not_sent and engine.end is None:
        out.append(
            f"{counts.not_sent:,} of {rows} {'was' if counts.not_sent == 1 else 'were'} not sent, since the run was stopped; run again to go on"
        )
    return out + _incomplete(engine)


def _incomplete(engine: RunExecutor) -> list[str]:
    """Return sentences on answers that are there but were cut off, filtered or empty."""
    answers = list(filter(None, engine.answers.completions))
    if all(map(attrgetter("content"), answers)) and set(map(attrgetter("finish_reason"), answers)) <= {"stop"}:  # the usual case
        return []
    counts = Counter[str]()
    for answer, copies in zip(engine.answers.completions, engine.work.copies, strict=True):
        if answer is None or (answer.finish_reason == "stop" and answer.content):
            continue
        if answer.content == "":
            counts["empty"] += copies
        if (reason := ending(answer.finish_reason)) == "cut_off" or (reason and answer.content):
            counts[reason] += copies
    sentences = {
        "cut_off": "cut off by max_tokens (finish_reason 'length' or its like); give a larger max_tokens= and run again",
        "filtered": "broken off by the service's content filter; the column finish_reason says which",
        "empty": "with an empty text; a reasoning model may have used up max_tokens=",
    }
    return [f"{plural(counts[kind], 'answer')} {sentence}" for kind, sentence in sentences.items() if counts[kind]]


def first_error(engine: RunExecutor, made: Plan) -> str:
    """Return the error of the first failed row."""
    before = (problem for problem in made.problems.values() if problem.code != "missing")
    after = (error for _, error in sorted(engine.answers.errors.items()) if error.code != "not_sent")
    return next((str(error) for error in (*before, *after)), "")


def remedy(engine: RunExecutor, made: Plan, column: str) -> str:
    """Return how to get answers for the failed rows, by their error codes."""
    codes = {error.code for found in (engine.answers.errors, made.problems) for error in found.values()}
    if codes & {"filtered", "empty"}:  # their answers are cached: only refresh= asks again
        return f"refresh=tsn.last_run().frame[{column!r}].notna() asks those again"
    if codes & {"server", "connection", "timeout", "unreadable"}:
        return "Run again to pay only for those"
    if "not_cached" in codes:
        return engine.client.cache.miss_remedy
    return "Repair what the column names and run again: only those are sent"


def _models(engine: RunExecutor) -> list[str]:
    """Return a warning where several models answered for one, with rows and dates."""
    answers, copies, asked = engine.answers, engine.work.copies, engine.work.requests.models
    if len(set(map(attrgetter("model"), filter(None, answers.completions))) - {None}) < 2:
        return []
    names = [answer.model if answer else None for answer in answers.completions]
    found: dict[tuple[str, str], tuple[int, float, float]] = {}
    for model, name, when, rows in zip(asked, names, answers.times, copies, strict=True):
        if name:
            count, first, last = found.get((model, name), (0, when, when))
            found[model, name] = (count + rows, min(first, when), max(last, when))
    several = Counter(model for model, _ in found)
    lines = [
        f"{name!r} x {count:,} ({_day(first)} to {_day(last)})"
        for (model, name), (count, first, last) in found.items()
        if several[model] > 1
    ]
    models = f"the answers come from several models: {', '.join(lines)}; include=('model', 'answered_at') shows which"
    return [models] if lines else []


def _day(when: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(when))
