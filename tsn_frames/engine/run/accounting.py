"""What the ledger is told of a run beside its attempts: its card at the start and at the end, and what it did not pay."""

from __future__ import annotations

import json
import time
from collections import Counter as Tally
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from itertools import compress
from typing import NamedTuple

from ...api import Completion, Requests, Usage
from ..ledger.ledger import Ledger
from ..ledger.run_record import RunDescription, RunRecord, Saving, distinct_json
from ..outcomes import Outcomes
from ..runtime.client import Client
from .counts import Counts

_COUNTED = [field for field in Counts.__slots__ if field in RunRecord._fields and field not in ("rows", "cost", "cost_known")]


class RunRequests(NamedTuple):
    """What a run asks for: its distinct requests, how many rows share each, and under which tags.

    ``tags`` has the tag of each request's first row, which pays for it; ``others`` the tags of all rows of those requests
    whose rows differ in it.
    """

    requests: Requests
    copies: Sequence[int]
    tags: Sequence[str | None]
    others: Mapping[int, Sequence[str | None]]


class RunAccounting:
    """The lines of one run that aren't attempts."""

    def __init__(self, run: str, client: Client, asked: RunRequests, counts: Counts, about: RunDescription) -> None:
        self._client, self._asked, self._counts = client, asked, counts
        models = distinct_json(asked.requests.models)
        tags = distinct_json([*asked.tags, *(tag for tags in asked.others.values() for tag in tags)])
        texts = None if about.texts is None else json.dumps(about.texts, default=str)
        self.card = RunRecord(
            run, time.time(), None, about.verb, client.host, models, tags, json.dumps(about.hashes), texts,
            counts.rows, len(asked.requests),
        )  # fmt: skip

    def ended(self, answers: Outcomes, end: str) -> list[RunRecord | Saving]:
        """Return the finished card and what the run's rows did not cost."""
        now, counts, prices = time.time(), self._counts, self._client.prices
        savings = list(self._savings(answers, now))
        known = [Decimal(saving.cost) for saving in savings if saving.cost is not None]
        card = self.card._replace(
            ended=now, end=end, cost=str(counts.cost) if prices else None, cost_known=prices is not None and counts.cost_known,
            currency=prices.currency if prices else None, saved=str(sum(known, Decimal(0))) if known else None, copied=counts.deduplicated, **{name: getattr(counts, name) for name in _COUNTED},
        )  # fmt: skip
        return [card, *savings]

    def _savings(self, answers: Outcomes, now: float) -> Iterator[Saving]:
        prices = self._client.prices
        for kind, model, tag, sums in self._unpaid(answers):
            usage = Usage(sums.prompt, sums.completion, sums.total, sums.cached)
            price = prices.price(model, now) if prices else None
            cost = price.cost(usage) if price and sums.known else None
            yield Saving(
                now, self.card.run, self.card.host, model, tag, kind, sums.rows, sums.prompt, sums.completion,
                None if cost is None else str(cost), price.currency if price else None, price.note if price else None,
            )  # fmt: skip

    def _unpaid(self, answers: Outcomes) -> Iterator[tuple[str, str, str | None, _Sums]]:
        """Yield what came from the cache or from an equal row: kind, model, tag, and rows and tokens."""
        models = self._asked.requests.models
        one = not self._asked.tags and len(set(models)) == 1  # nearly every run: a million rows are one group
        for kind, free in self._free(answers):
            groups = {(models[0], None): free} if one else self._grouped(free, models)
            for (model, tag), some in groups.items():
                for sums in _summed(answers.completions, some):
                    if sums.rows:
                        yield kind, model, tag, sums

    def _free(self, answers: Outcomes) -> Iterator[tuple[str, _Free]]:
        """Yield for each kind the answers that some rows had for nothing."""
        copies, cached, shared = self._asked.copies, answers.cached, answers.shared
        yield "cached", _Free(list(compress(range(len(copies)), cached)), list(compress(copies, cached)))
        if shared or sum(copies) > len(copies):
            free = {at: rows - (at not in shared) for at, rows in enumerate(copies) if not cached[at]}
            free = {at: rows for at, rows in free.items() if rows}
            yield "copied", _Free(list(free), list(free.values()))

    def _grouped(self, free: _Free, models: Sequence[str]) -> dict[_Group, _Free]:
        """Return them by model and tag; of equal rows the first one has paid, so the last ones' tags count."""
        tags, others = self._asked.tags, self._asked.others
        groups: dict[_Group, _Free] = {}
        for at, rows in zip(*free, strict=True):
            mine = Tally(others[at][-rows:]) if at in others else {tags[at] if tags else None: rows}
            for tag, number in mine.items():
                group = groups.setdefault((models[at], tag), _Free([], []))
                group.positions.append(at)
                group.rows.append(number)
        return groups


_Group = tuple[str, str | None]


class _Free(NamedTuple):
    """Answers by position, and how many rows had each for nothing: two lists, since there may be a million."""

    positions: list[int]
    rows: list[int]


class _Sums(NamedTuple):
    rows: int
    prompt: int
    completion: int
    cached: int
    known: bool
    total: int  # with the thoughts that some services count there alone


def _summed(completions: Sequence[Completion | None], free: _Free) -> tuple[_Sums, _Sums]:
    """Return the sums of the answers whose usage is known, and what is known of the others: they have no price."""
    rows = prompt = completion = cached = total = 0
    odd: list[tuple[int, Completion]] = []
    for at, number in zip(*free, strict=True):
        if (answer := completions[at]) is not None:
            if answer.prompt_tokens is None or answer.completion_tokens is None:
                odd.append((number, answer))
                continue
            rows += number
            prompt += number * answer.prompt_tokens
            completion += number * answer.completion_tokens
            cached += number * (answer.cached_tokens or 0)
            total += number * max(answer.total_tokens or 0, answer.prompt_tokens + answer.completion_tokens)
    whole = _Sums(rows, prompt, completion, cached, known=True, total=total)
    if not odd:
        return whole, _NOTHING
    prompt = sum(number * (answer.prompt_tokens or 0) for number, answer in odd)
    completion = sum(number * (answer.completion_tokens or 0) for number, answer in odd)
    return whole, _Sums(sum(number for number, _ in odd), prompt, completion, 0, known=False, total=0)


_NOTHING = _Sums(0, 0, 0, 0, known=False, total=0)


def write(ledger: Ledger, lines: Sequence[RunRecord | Saving]) -> None:
    """Write lines of a run that opened nothing, since all of it was cached."""
    with closing(ledger.open()) as file:
        file.write(lines)
