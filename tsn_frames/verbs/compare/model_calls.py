"""The call of one model of a comparison, prepared: by a prompt as ``complete`` does, or with labels as ``label`` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from ...engine.runtime.client import Client
from ...frames.output_columns import layout
from ..complete import run_of
from ..estimate.estimate import estimate_call
from ..estimate.result import Estimate
from ..label.label import LABEL_DEFAULTS
from ..label.label import prepare as prepare_labels
from ..rounds.estimate import estimate_rounds
from ..rounds.rounds_run import RoundsCall, RoundsRun
from ..run.prepare import PreparedCall
from ..run.run_handle import PaidAnswer, Run
from .answer_equality import UNREADABLE, Normalise, comparable

FACTS = ("model", "answered_at", "request_key")
LABEL = "label"
_WRONG = ("invalid", "tie", "filtered", "empty")  # why a row has no label though the model answered


@dataclass(frozen=True)
class PromptCall:
    """A model that answers a prompt."""

    rows: pd.DataFrame
    call: PreparedCall
    normalise: Normalise
    tokens: str = ""

    @property
    def client(self) -> Client:
        """The client of the call."""
        return self.call.client

    def requests(self) -> Iterator[PreparedCall]:
        """Yield all requests."""
        yield self.call

    def run(self, max_cost: Decimal | None, *, cached_only: bool) -> Run[pd.DataFrame]:
        """Return the run; it is not started."""
        work = replace(self.call.work, max_cost=max_cost)
        work = replace(work, mode="only") if cached_only else work
        return run_of(self.rows, self.call._replace(work=work), layout(None, usage=True, include=FACTS), "coerce")

    def paid_answers(self, run: Run[Any]) -> Iterator[PaidAnswer]:
        """Yield each distinct answer of the run."""
        return run.answers()

    def answers(self, frame: pd.DataFrame) -> pd.Series:
        """Return the texts of the answers."""
        return frame["content"].where(frame["error"].isna())

    def comparable_answers(self, frame: pd.DataFrame) -> list[Any]:
        """Return the texts in comparable form; a row that failed has none."""
        return comparable(self.answers(frame), self.normalise)

    def estimate(self) -> Estimate:
        """Return what the call would send."""
        return estimate_call(self.call)


@dataclass(frozen=True)
class LabelCall:
    """A model that labels. Its rounds hold votes, so they are prepared again for each run and estimate."""

    prepare: Callable[[Mapping[str, Any]], RoundsCall]
    prepared: RoundsCall
    runs: list[Run[Any]] = field(default_factory=list)
    tokens: str = f"{LABEL}_"

    @classmethod
    def of(cls, rows: pd.DataFrame, labels: Any, given: Mapping[str, Any]) -> LabelCall:
        """Return the call with the options of ``compare`` for one model, checked."""
        words = {**LABEL_DEFAULTS, **given, "name": LABEL, "overwrite": True}
        text = words.pop("prompt")

        def prepare(changes: Mapping[str, Any]) -> RoundsCall:
            return prepare_labels(rows, text, labels, {**words, **changes}, "compare")

        return cls(prepare, prepare({}))

    @property
    def labels(self) -> tuple[Any, ...]:
        """The closed set."""
        found: tuple[Any, ...] = self.prepared.rounds.task.codebook.labels  # type: ignore[attr-defined]
        return found

    @property
    def client(self) -> Client:
        """The client of the call."""
        return self.prepared.rounds.client

    def requests(self) -> Iterator[PreparedCall]:
        """Yield the requests of the first vote; those of further votes have the same bounds."""
        rounds = self.prepared.rounds
        for features, rows in rounds.features.groups(rounds.ballots).items():
            yield rounds.requests.prepare(np.array(rows, dtype=int), features, 0, {})

    def run(self, max_cost: Decimal | None, *, cached_only: bool) -> Run[pd.DataFrame]:
        """Start the rounds and return their run."""
        self.runs.clear()
        changes = {"cache": "only", "max_cost": None} if cached_only else {"max_cost": max_cost}
        return RoundsRun(self.prepare(changes), self.runs.append)

    def paid_answers(self, run: Run[Any]) -> Iterator[PaidAnswer]:  # noqa: ARG002 - each of its rounds is a separate run
        """Yield each distinct answer of all rounds."""
        yield from {one.key: one for part in self.runs for one in part.answers()}.values()

    def answers(self, frame: pd.DataFrame) -> pd.Series:
        """Return the labels."""
        return frame[LABEL]

    def comparable_answers(self, frame: pd.DataFrame) -> list[Any]:
        """Return the labels as texts; a row whose answer is not a label has one that equals nothing."""
        codes = frame[f"{LABEL}_error"].str.partition(":")[0]
        found = comparable(frame[LABEL], None)
        return [UNREADABLE if one is None and code in _WRONG else one for one, code in zip(found, codes.fillna(""), strict=True)]

    def estimate(self) -> Estimate:
        """Return what the call would send."""
        return estimate_rounds(self.prepare({}).rounds)


ModelCall: TypeAlias = PromptCall | LabelCall
