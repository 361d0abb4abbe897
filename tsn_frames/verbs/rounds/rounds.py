"""Rounds of requests over the rows of a frame: votes, and one repair of each answer that can't be used. ``complete`` sends them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Generic

import numpy as np
import pandas as pd

from ..._gc_pause import gc_paused
from ...api.dialects.tables import ending
from ...engine.budget.budget import amount
from ...engine.runtime.client import Client
from ...engine.runtime.session import SharedSession
from ...errors import BudgetExceeded, ModelError, RowError
from ...frames.columns import Layout, layout
from ...text import money, plural, warn
from ..complete import run_of
from ..run.background import OnRun
from ..run.run import stopped_error
from .feature_detection import Features, next_features
from .json_answer import is_complete_json
from .requests import RoundRequests
from .row_texts import Texts
from .task import Message, R, Task, Vote
from .usage import UsageTotals

PROBES = 3  # rows that may find out a model's features before the defaults are taken
_CUT_OFF = "the answer was cut off by max_tokens (finish_reason 'length'): give a larger max_tokens= and run again"


@dataclass
class Rounds(Generic[R]):
    """The state of a call: the votes of each row so far, and what its requests used.

    Parameters
    ----------
    verb : str
        The verb that the user called.
    df : DataFrame
        The rows.
    task : Task
        What the model is asked to do.
    texts : Texts
        The text of each row.
    options : mapping
        The options of the verb.
    least, most : int
        Least and most votes of a row.
    wants_more : callable
        Whether a row with these votes is to be asked again.
    sampling : mapping
        The API's parameters that the verb sets where the user doesn't: ``temperature``, ``logprobs``.
    on_run : callable, optional
        Called with each run before it starts.
    """

    verb: str
    df: pd.DataFrame
    task: Task[R]
    texts: Texts
    options: Mapping[str, Any]
    least: int
    most: int
    wants_more: Callable[[Sequence[Vote[R]]], bool]
    sampling: Mapping[str, Any] = field(default_factory=dict)
    on_run: OnRun | None = None

    def __post_init__(self) -> None:
        self.requests = RoundRequests(self.verb, self.df, self.task, self.texts, self.options, self.sampling)
        self.client: Client = self.requests.client
        self.ballots: dict[int, tuple[Vote[R], ...]] = dict.fromkeys(
            (at for at, one in enumerate(self.texts.texts) if one is not None), ()
        )
        self.totals = UsageTotals(len(self.df))
        self.max_cost = amount("max_cost", self.options.get("max_cost"))
        self.round, self.waiting, self.spent = "", len(self.ballots), Decimal(0)
        self._round_rows = len(self.ballots)
        self._features: dict[Any, Features] = {}
        self._probes = dict.fromkeys(self.requests.models, PROBES)
        self._known: dict[tuple[Any, Any, Any], Vote[R]] = {}
        self._shared: SharedSession | None = None
        self._answered = self._has_logprobs = False
        first = list(self.ballots)[
            :1
        ]  # prepared now, so that whatever is wrong with the options is raised before anything is sent
        self.requests.prepare(np.array(first, dtype=int), next(iter(self.groups(first)), Features()), 0, {})

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
        if self.sampling.get("logprobs") and self._answered and not self._has_logprobs:
            warn("the service gives no log-probabilities, so there are no probabilities; several votes show how sure a label is")

    def open_rows(self) -> list[int]:
        """Return the rows that want one more vote; rows with the same votes are asked about once."""
        known: dict[tuple[int, ...], bool] = {}
        rows = []
        for at, cast in self.ballots.items():
            votes = tuple(map(id, cast))
            if votes not in known:
                known[votes] = self.wants_more(cast)
            if known[votes]:
                rows.append(at)
        return rows

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
            if self.requests.models[at] not in self._features:
                self._first_vote(at, turn, votes)
        self._send([at for at in rows if at not in votes], turn, {}, votes)

    def _first_vote(self, at: int, turn: int, votes: dict[int, Vote[R]]) -> None:
        model = self.requests.models[at]
        store, fixed = self.requests.store(model), self._fixed
        features: Features | None = self.requests.expected_features(model)
        while features is not None:
            self._features[model] = features
            failure = self._attempt(at, turn, votes)
            if failure is None:
                store.keep(features, fixed=fixed)
                return
            features = next_features(features, failure, self.requests.parameters_set, fixed=fixed)
        self._probes[model] -= 1  # no form was accepted, so the fault is the row's own
        self._features[model] = self.requests.expected_features(model)
        if failure is not None and failure.startswith("bad_request:") and self._probes[model]:
            del self._features[model]

    @property
    def _fixed(self) -> bool:
        """Whether the user has fixed the form of answers."""
        return bool(self.options["structured"] != "auto")

    def _attempt(self, at: int, turn: int, votes: dict[int, Vote[R]]) -> str | None:
        """Ask for one vote of a row, and return its failure; a service may refuse a parameter as it refuses a model."""
        try:
            self._send([at], turn, {}, votes)
        except ModelError as error:
            features, refusal = self._features[self.requests.models[at]], f"model: {error}"
            if next_features(features, refusal, self.requests.parameters_set, fixed=self._fixed) is None:
                raise
            return refusal
        return votes[at].failure

    def groups(self, rows: Iterable[int]) -> dict[Features, list[int]]:
        """Return rows by the features of their services: each group is a run of its own."""
        by_model = dict[Any, list[int]]()
        if len(self._probes) == 1:
            by_model = {model: list(rows) for model in self._probes}
        else:
            for at in rows:
                by_model.setdefault(self.requests.models[at], []).append(at)
        found = dict[Features, list[int]]()
        for model, some in by_model.items():
            features = self._features.get(model) or self.requests.expected_features(model)
            found[features] = sorted([*found[features], *some]) if features in found else some
        return {features: some for features, some in found.items() if some}

    def _send(self, rows: Sequence[int], turn: int, repairs: Mapping[int, Sequence[Message]], votes: dict[int, Vote[R]]) -> None:
        """Send a request for each row and add the votes to ``votes``."""
        for features, some in self.groups(rows).items():
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
        self.spent += run.cost_upper_bound
        self.totals.add(positions, frame)
        votes |= self.read(rows, frame)
        stop = end or stopped_error(run, more=True)
        if stop is not None:
            raise stop

    @property
    def layout(self) -> Layout:
        """The columns that each run returns."""
        return layout(None, usage=True, include=("logprobs",) if self.sampling.get("logprobs") else ())

    def _left(self) -> Decimal | None:
        """Return what is left of ``max_cost``."""
        most = self.client.budget.with_run(self.max_cost).run
        if most is not None and most <= self.spent:
            raise BudgetExceeded(f"max_cost={money(most)} is used up; {BudgetExceeded.remedy}")
        return None if most is None else most - self.spent

    def read(self, rows: Sequence[int], frame: pd.DataFrame) -> dict[int, Vote[R]]:
        """Return the votes of an answered frame; rows that were not sent have none."""
        probable = frame["logprobs"].tolist() if "logprobs" in frame else [None] * len(rows)
        columns = (frame[name].tolist() for name in ("content", "error", "finish_reason"))
        found: dict[int, Vote[R]] = {}
        with gc_paused():
            for at, content, error, finish, logprobs in zip(rows, *columns, probable, strict=True):
                if error is pd.NA or not error.startswith("not_sent:"):
                    vote = self._known.get((content, error, finish)) if logprobs is None else None
                    found[at] = vote or self._read(content, error, finish, logprobs)
        return found

    def _read(self, content: Any, error: Any, finish: Any, logprobs: Any) -> Vote[R]:
        text = None if content is pd.NA else str(content)
        self._answered |= text is not None
        self._has_logprobs |= bool(isinstance(logprobs, Mapping) and logprobs.get("content"))
        if finish is not pd.NA and ending(finish) == "cut_off" and not is_complete_json(text):
            return Vote(self.task.read(None), text, failure=str(RowError("invalid", _CUT_OFF)))
        if error is not pd.NA and not error.startswith("empty:"):
            return Vote(self.task.read(None), text, failure=str(error))
        if text and finish is not pd.NA and ending(finish) in ("filtered", "failed"):
            failure = RowError("invalid", f"the answer was broken off (finish_reason {finish!r}), so its text may not be whole")
            return Vote(self.task.read(None), text, failure=str(failure))
        vote = Vote(self.task.read(text, logprobs), text)
        if logprobs is None:
            self._known[content, error, finish] = vote  # equal answers share a vote
        return vote

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
        return last.failure or str(RowError("invalid", last.reading.problem + ", also when asked again" * last.repaired))
