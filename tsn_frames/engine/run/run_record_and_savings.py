"""A run's lines in the ledger beside its attempts: the run's record, and its savings."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from decimal import Decimal
from itertools import compress
from typing import NamedTuple, TypeAlias

from ...api import Completion, Usage
from ...errors import ConfigError
from ...secret import Secret, masked
from ..ledger.earlier_runs import accounted_keys
from ..ledger.ledger import Ledger
from ..ledger.ledger_file import Line
from ..ledger.run_record import KeySet, RunRecord, RunSettings, Saving, distinct_json
from ..outcomes import Outcomes
from ..progress.counts import Counts
from ..runtime.client import Client
from .spec import RunSpec

log = logging.getLogger("tsn_frames")
_OWN = ("rows", "cost", "cost_known", "currency")
AccountedKeys: TypeAlias = AbstractSet[bytes] | None
_COUNTED = [field for field in Counts.__slots__ if field in RunRecord._fields and field not in _OWN]


class RunAccounting:
    """A run's own lines in the ledger: its record at the start and at the end, and what it did not have to pay.

    ``accounted`` are :func:`accounted_hits`.
    """

    def __init__(
        self, run: str, client: Client, work: RunSpec, counts: Counts, key: Secret | ConfigError, *, accounted: AccountedKeys
    ) -> None:
        self._client, self._work, self._counts, self._accounted, about = client, work, counts, accounted, work.about
        tags = (*work.tags, *(tag for tags in work.other_tags.values() for tag in tags))
        self.record = RunRecord(
            run=run,
            began=time.time(),
            ended=None,
            verb=about.verb,
            host=client.host,
            models=distinct_json(work.requests.models),
            tags=distinct_json(tags),
            hashes=json.dumps(about.hashes),
            texts=None if about.texts is None else json.dumps(masked(about.texts, None if isinstance(key, ConfigError) else key)),
            rows=counts.rows,
            distinct_requests=len(work.requests),
        )

    def ended(self, answers: Outcomes, end: str) -> list[Line]:
        """Return the finished record, the savings, the settings, and the keys of a run that didn't buy all answers itself."""
        now, counts, prices = time.time(), self._counts, self._client.prices
        savings = list(self._savings(answers, now))
        known = [Decimal(saving.cost) for saving in savings if saving.cost is not None]
        record = self.record._replace(
            ended=now,
            end=end,
            cost=str(counts.cost) if prices else None,
            cost_known=prices is not None and counts.cost_known,
            currency=prices.currency if prices else None,
            saved=str(sum(known, Decimal(0))) if known or not savings else None,
            copied=counts.deduplicated,
            **{name: getattr(counts, name) for name in _COUNTED},
        )
        return [record, *savings, *self._details(answers)]

    def _details(self, answers: Outcomes) -> Iterator[RunSettings | KeySet]:
        about = self._work.about
        if about.settings:
            yield RunSettings(self.record.run, json.dumps(about.settings))
        if "keys" in about.hashes and (answers.shared or 1 in answers.cached):
            yield KeySet(about.hashes["keys"], b"".join(self._work.requests.index))

    def _savings(self, answers: Outcomes, now: float) -> Iterator[Saving]:
        """Yield the sums of rows that cost nothing, by kind (cached or equal to another row), model and tag."""
        prices = self._client.prices
        for kind, free in self._free(answers):
            for (model, tag), group in self._grouped(free).items():
                price = prices.price(model, now) if prices else None
                for known in (True, False):
                    rows, usage = _sums(answers.completions, group, known=known)
                    if not rows:
                        continue
                    cost = price.cost(usage) if price and known else None
                    yield Saving(
                        time=now,
                        run=self.record.run,
                        host=self.record.host,
                        model=model,
                        tag=tag,
                        kind=kind,
                        rows=rows,
                        prompt_tokens=usage.prompt_tokens or 0,
                        completion_tokens=usage.completion_tokens or 0,
                        cost=None if cost is None else str(cost),
                        currency=price.currency if price else None,
                        price_source=price.note if price else None,
                    )
                    if rows == sum(group.rows):
                        break  # the usual case: there are no others

    def _free(self, answers: Outcomes) -> Iterator[tuple[str, _Free]]:
        """Yield for each kind the answers that rows got without paying."""
        copies, cached, shared, accounted = self._work.copies, answers.cached, answers.shared, self._accounted
        if accounted is not None:
            keys = self._work.requests.index
            rows = [all_rows - (key in accounted) for all_rows, key in zip(copies, keys, strict=True)] if accounted else copies
            hits = [at for at in compress(range(len(rows)), cached) if rows[at]]
            yield "cached", _Free(hits, [rows[at] for at in hits])
        if shared or sum(copies) > len(copies):
            free = {at: rows - (at not in shared) for at, rows in enumerate(copies) if not cached[at]}
            free = {at: rows for at, rows in free.items() if rows}
            yield "copied", _Free(list(free), list(free.values()))

    def _grouped(self, free: _Free) -> dict[tuple[str, str | None], _Free]:
        """Group them by model and tag; of equal rows the first one has paid, so the tags of the others count."""
        tags, others, models = self._work.tags, self._work.other_tags, self._work.requests.models
        if not tags and len(set(models)) == 1:  # the usual case: a million rows are one group
            return {(models[0], None): free}
        groups: dict[tuple[str, str | None], _Free] = {}
        for at, rows in zip(*free, strict=True):
            mine = Tally(others[at][-rows:]) if at in others else {tags[at] if tags else None: rows}
            for tag, number in mine.items():
                group = groups.setdefault((models[at], tag), _Free([], []))
                group.positions.append(at)
                group.rows.append(number)
        return groups


def accounted_hits(ledger: Ledger, work: RunSpec, cached: bytearray) -> AccountedKeys:
    """Return the requests of a run whose cached answers save nothing; None for all, as a call that is run again saves nothing more."""
    call = work.about.hashes.get("keys")
    if call is None or 1 not in cached:
        return frozenset()
    try:
        return accounted_keys(ledger, call)
    except ConfigError as error:  # savings are no reason for a run not to begin
        log.info("the ledger can't be read: %s", error)
        return frozenset()


class _Free(NamedTuple):
    """Positions of answers, and how many rows got each without paying: two lists, since there may be a million."""

    positions: list[int]
    rows: list[int]


def _sums(completions: Sequence[Completion | None], free: _Free, *, known: bool) -> tuple[int, Usage]:
    """Return the rows and the tokens of answers whose usage is known, or of the others, which have no price."""
    rows = prompt = completion = cached = total = 0
    for at, number in zip(*free, strict=True):
        answer = completions[at]
        if answer is None or known is (answer.prompt_tokens is None or answer.completion_tokens is None):
            continue
        asked, written = answer.prompt_tokens or 0, answer.completion_tokens or 0
        rows += number
        prompt += number * asked
        completion += number * written
        cached += number * (answer.cached_tokens or 0)
        total += number * max(answer.total_tokens or 0, asked + written)  # some services count reasoning there only
    return rows, Usage(prompt, completion, total, cached)


def write_or_log(ledger: Ledger, lines: Sequence[Line]) -> None:
    """Write the lines of a run that sent nothing; it spent nothing, so a ledger that can't be written is not a loss."""
    try:
        with closing(ledger.open()) as file:
            file.write(lines)
    except Exception as error:  # noqa: BLE001 - see above
        log.info("the ledger can't be written: %s", type(error).__name__)
