"""Rounds of requests over the rows of a frame: votes, and one repair of each answer that can't be used. ``complete`` sends them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Generic, TypeVar

import numpy as np

from ..._gc_pause import gc_paused
from ...engine.budget.spending_limits import amount
from ...engine.runtime.client import Client
from ...engine.runtime.session import SharedSession
from ...errors import BudgetExceeded, ModelError, RowError
from ...frames.output_columns import Layout, layout
from ...frames.usage_totals import UsageTotals
from ...text import money, plural, warn
from ..complete import run_of
from ..estimate.request_tokens_and_prices import cached_answers
from ..run.background_run import OnRun
from ..run.run_handle import stopped_error
from .features import Features, ModelFeatures
from .requests import RoundRequests
from .task import Message, R, Vote
from .vote_reader import VoteReader

T = TypeVar("T")


@dataclass
class Rounds(Generic[R]):
    """The state of a call: the votes of each row so far, and what its requests used."""

    requests: RoundRequests[R]  # the requests that the options and the task make of the text of each row
    least: int  # votes that each row gets
    most: int  # votes that a row gets at most, as long as it wants more
    wants_more: Callable[[Sequence[Vote[R]]], bool]  # whether a row with these votes is to be asked again
    on_run: OnRun | None = None  # called with each run before it starts

    def __post_init__(self) -> None:
        self.df, self.task, self.texts, self.options = (
            self.requests.df, self.requests.task, self.requests.texts, self.requests.options,
        )  # fmt: skip
        self.client: Client = self.requests.client
        self.ballots: dict[int, tuple[Vote[R], ...]] = dict.fromkeys(
            (at for at, one in enumerate(self.texts.texts) if one is not None), ()
        )
        self.totals = UsageTotals(len(self.df))
        self.max_cost = amount("max_cost", self.options.get("max_cost"))
        self.round, self.waiting, self.spent = "", len(self.ballots), Decimal(0)
        self._round_rows = len(self.ballots)
        self.features = ModelFeatures(self.client, self.requests.models, self.options, self.requests.parameters_set)
        self.reader = VoteReader(self.task)
        self._shared: SharedSession | None = None
        first = list(self.ballots)[:1]  # prepared now: what is wrong with the options is raised before anything is sent
        self.requests.prepare(np.array(first, dtype=int), next(iter(self.features.groups(first)), Features()), 0, {})

    def run(self) -> None:
        """Ask for votes until no row wants more."""
        with SharedSession(self.client) as self._shared:
            if not self.ballots:
                self._send_group([], Features(), 0, {}, {})
            for turn in range(self.most):
                rows = self.open_rows() if turn >= self.least else list(self.ballots)
                if not rows:
                    break
                self._run_round(rows, turn)
        if self.requests.sampling.get("logprobs") and self.reader.answered and not self.reader.logprobs:
            warn("the service gives no log-probabilities, so there are no probabilities; several votes show how sure a label is")

    def open_rows(self) -> list[int]:
        """Return the rows that want one more vote."""
        return [at for at, more in self.decided(self.wants_more).items() if more]

    def decided(self, decide: Callable[[Sequence[Vote[R]]], T]) -> dict[int, T]:
        """Return what a function of each row's votes returns; rows with the same votes share it."""
        known, found = dict[tuple[int, ...], T](), dict[int, T]()
        for at, cast in self.ballots.items():
            votes = tuple(map(id, cast))
            if votes not in known:
                known[votes] = decide(cast)
            found[at] = known[votes]
        return found

    def _run_round(self, rows: Sequence[int], turn: int) -> None:
        """Ask for one vote of each row, and once more for each answer that can't be used; keep what there is if that ends early."""
        votes: dict[int, Vote[R]] = {}
        self._round_rows = len(rows)
        try:
            self.round = f"vote {turn + 1} of up to {self.most}" if self.most > 1 else ""
            self._vote(rows, turn, votes)
            repairs = self.repairs(votes)
            if repairs:
                self.round = f"{plural(len(repairs), 'repair')}{f' of vote {turn + 1}' if self.most > 1 else ''}"
                self._repair(repairs, turn, votes)
        finally:
            self.cast(votes)

    def cast(self, votes: Mapping[int, Vote[R]]) -> None:
        """Add the votes of a round."""
        with gc_paused():
            for at, vote in votes.items():
                self.ballots[at] += (vote,)

    def repairs(self, votes: Mapping[int, Vote[R]]) -> dict[int, list[Message]]:
        """Return the turns that ask once more for each vote whose answer can't be used."""
        distinct = {id(vote): vote for vote in votes.values()}
        if all(vote.valid or vote.failure is not None for vote in distinct.values()):
            return {}
        return {
            at: [
                {"role": "assistant", "content": (vote.content or "(empty)")[: self.task.longest_repaired]},
                {"role": "user", "content": self.task.repair(vote.reading)},
            ]
            for at, vote in votes.items()
            if vote.failure is None and not vote.valid
        }

    def _repair(self, repairs: Mapping[int, Sequence[Message]], turn: int, votes: dict[int, Vote[R]]) -> None:
        again: dict[int, Vote[R]] = {}
        self._round_rows = len(repairs)
        try:
            self._send(list(repairs), turn, repairs, again)
        finally:
            votes |= {at: self.merged(votes[at], vote) for at, vote in again.items()}

    def merged(self, first: Vote[R], again: Vote[R]) -> Vote[R]:
        """Return a vote with its repair; a repair that failed leaves what the first answer said."""
        reading = first.reading if again.failure else self.task.merged(first.reading, again.reading)
        return Vote(reading, again.content or first.content, repaired=True, failure=again.failure)

    def _vote(self, rows: Sequence[int], turn: int, votes: dict[int, Vote[R]]) -> None:
        """Ask for one vote of each row; the first rows of each model find out which features its service has."""
        for at in rows:
            if not self.features.known(at):
                cached = self._is_cached(at, turn)
                self.features.probe(at, (lambda: None) if cached else partial(self._attempt, at, turn, votes))
        self._send([at for at in rows if at not in votes], turn, {}, votes)

    def _is_cached(self, at: int, turn: int) -> bool:
        """Return whether a row's vote is cached: the features that are known of its model were found out by it or one like it."""
        ((features, some),) = self.features.groups([at]).items()
        call = self.requests.prepare(np.array(some, dtype=int), features, turn, {})
        return any(cached_answers(call).cached)

    def _attempt(self, at: int, turn: int, votes: dict[int, Vote[R]]) -> str | None:
        """Ask for one vote of a row, and return its failure; a service may refuse a parameter as it refuses a model."""
        try:
            self._send([at], turn, {}, votes)
        except ModelError as error:
            if not self.features.refuses(at, refusal := f"model: {error}"):
                raise
            return refusal
        return votes[at].failure

    def _send(self, rows: Sequence[int], turn: int, repairs: Mapping[int, Sequence[Message]], votes: dict[int, Vote[R]]) -> None:
        """Send a request for each row and add the votes to ``votes``."""
        for features, some in self.features.groups(rows).items():
            self._send_group(some, features, turn, repairs, votes)

    def _send_group(
        self,
        rows: Sequence[int],
        features: Features,
        turn: int,
        repairs: Mapping[int, Sequence[Message]],
        votes: dict[int, Vote[R]],
    ) -> None:
        positions = np.array(rows, dtype=int)
        call = self.requests.prepare(positions, features, turn, repairs)
        call = call._replace(work=replace(call.work, max_cost=self._left(), shared=self._shared))
        self.waiting = self._round_rows - len(votes)
        run = run_of(self.requests.frame.iloc[positions][[]], call, self.layout, "coerce")
        if self.on_run is not None:
            self.on_run(run)
        end: BaseException | None = None
        try:
            frame = run.result(progress=False)
        except BaseException as error:  # noqa: BLE001 - raised below, when what was answered is kept
            end, frame = error, run.frame
            if isinstance(error, BudgetExceeded) and self.max_cost is not None and self.spent:
                most, spent = (money(one, 3, currency=self._currency) for one in (self.max_cost, self.spent))
                error.add_note(f"max_cost={most} holds over all rounds: {spent} were spent before this one")
        self.spent += run.cost_upper_bound
        self.totals.add(positions, frame)
        votes |= self.reader.read(rows, frame)
        stop = end or stopped_error(run, more=True)
        if stop is not None:
            raise stop

    @property
    def layout(self) -> Layout:
        """The columns that each run returns."""
        return layout(None, usage=True, include=("logprobs",) if self.requests.sampling.get("logprobs") else ())

    def _left(self) -> Decimal | None:
        """Return what is left of ``max_cost``."""
        most = self.client.budget.with_run(self.max_cost).run
        if most is not None and most <= self.spent:
            raise BudgetExceeded(f"max_cost={money(most, currency=self._currency)} is used up; {BudgetExceeded.remedy}")
        return None if most is None else most - self.spent

    @property
    def _currency(self) -> str | None:
        return self.client.prices.currency if self.client.prices else None

    def error_of(self, at: int) -> str | None:
        """Return why a row has no valid vote; None where it has one."""
        votes = self.ballots.get(at)
        if votes is None:
            return str(self.texts.problems.get(at))
        if not votes:
            return str(RowError("not_sent", "the run ended before this row was sent; run again to go on"))
        if any(vote.valid for vote in votes):
            return None
        last = votes[-1]
        if last.failure or last.repaired:
            return last.failure or str(RowError("invalid", f"{last.reading.problem}, also when asked again"))
        return str(RowError("not_sent", f"{last.reading.problem}, and it wasn't asked again; run again to go on"))
