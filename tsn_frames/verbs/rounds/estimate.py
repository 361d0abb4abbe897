"""The estimate of a verb of several rounds: at least its first votes, at most all votes with a repair of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from ...frames.output_columns import build
from ...text import plural
from ..estimate.estimate import estimate_call
from ..estimate.request_tokens_and_prices import cached_answers
from ..estimate.result import RANGES, Estimate, over_budget, total_estimate
from ..run.prepare import PreparedCall
from .features import Features
from .rounds import Rounds
from .task import Message, Vote

LONGEST_WORDS = 500  # characters that the message of a repair may have beyond that of an unreadable answer


def estimate_rounds(rounds: Rounds[Any]) -> Estimate:
    """Return what a call would send. Cached votes are read, so that rows which are decided already count as such."""
    found = _RoundsEstimate(rounds)
    for turn in range(rounds.most):
        found.add_round(turn)
    return found.total()


@dataclass
class _RoundsEstimate:
    """The estimates of the requests that are sent for sure, and of those that may follow."""

    rounds: Rounds[Any]  # the rounds, whose votes so far are those of the cache
    sure: list[Estimate] = field(default_factory=list)  # of the requests that are sent for sure
    possible: list[Estimate] = field(default_factory=list)  # of those that may follow
    unknown: set[int] = field(default_factory=set)  # rows with a vote that is not cached

    def add_round(self, turn: int) -> None:
        """Add the requests of one vote of each row that wants it, or may want it."""
        rounds, open_rows = self.rounds, sorted(self.unknown)
        known = [at for at in rounds.open_rows() if at not in self.unknown]
        votes = self._add(known, turn, {}, self.sure)
        self._add(open_rows, turn, {}, self.sure if turn < rounds.least else self.possible)
        repairs = rounds.repairs(votes)
        again = self._add(list(repairs), turn, repairs, self.sure)
        votes |= {at: rounds.merged(votes[at], vote) for at, vote in again.items()}
        worst = dict.fromkeys(set(open_rows) | (self.unknown - set(repairs)), _longest_repair(rounds))
        self._add(sorted(worst), turn, worst, self.possible)
        rounds.cast(votes)

    def _add(
        self, rows: Sequence[int], turn: int, repairs: Mapping[int, Sequence[Message]], found: list[Estimate]
    ) -> dict[int, Vote[Any]]:
        """Add the estimate of some rows' requests and return the votes that are cached."""
        votes: dict[int, Vote[Any]] = {}
        for features, some in self.rounds.features.groups(rows).items():
            call = self.rounds.requests.prepare(np.array(some, dtype=int), features, turn, repairs)
            found.append(estimate_call(call))
            votes |= self._cached(some, call)
        self.unknown |= set(rows) - set(votes)
        return votes

    def _cached(self, rows: Sequence[int], call: PreparedCall) -> dict[int, Vote[Any]]:
        made = call.made
        frame = pd.DataFrame(build(cached_answers(call), made.requests, made.inverse, made.problems, self.rounds.layout))
        finished = frame["cached"].notna().to_numpy()
        return self.rounds.reader.read(np.array(rows, dtype=int)[finished].tolist(), frame[finished])

    def total(self) -> Estimate:
        """Return the estimate of the whole call."""
        rounds = self.rounds
        if not self.sure:
            self.sure.append(estimate_call(rounds.requests.prepare(np.array([], dtype=int), Features(), 0, {})))
        least, most = total_estimate(self.sure, None, None), total_estimate([*self.sure, *self.possible], None, None)
        return replace(
            least,
            rows=len(rounds.df),
            missing=len(rounds.texts.problems),
            cost_upper_bound=most.cost_upper_bound,
            notes=(*least.notes, *self._notes(most)),
            **{name: getattr(least, name)._replace(high=getattr(most, name).high) for name in RANGES},
        )

    def _notes(self, most: Estimate) -> list[str]:
        further = sum(part.to_send for part in self.possible)
        notes = [f"at most {plural(further, 'further request')}: more votes, and one repair of each answer that can't be used"]
        notes += over_budget(most.cost, self.rounds.client.budget.with_run(self.rounds.max_cost).run, most.currency)
        return notes if further else []


def _longest_repair(rounds: Rounds[Any]) -> list[Message]:
    """Return the longest turns that can ask once more after an answer."""
    answer = "\x01" * rounds.task.longest_repaired  # six bytes each in JSON
    words = rounds.task.repair(rounds.task.read(answer)) + " " * LONGEST_WORDS
    return [{"role": "assistant", "content": answer}, {"role": "user", "content": words}]
