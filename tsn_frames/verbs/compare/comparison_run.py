"""A running comparison: one model after the other, within one budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import pandas as pd

from ...errors import BudgetExceeded, ModelError, RateLimitError, RunError, ServerError
from ...frames.labels.gold_sampling_design import draw_of
from ...text import money, plural
from ..run.background_run import OnRun, labelled_warnings
from ..run.run_handle import stopped_error
from . import metrics
from .asked_rows import AskedRows
from .metrics import ModelRun
from .model_calls import ModelCall
from .result import Comparison

_ALONE = (ModelError, RateLimitError, ServerError)  # these may concern one model only, the others concern the account


@dataclass(frozen=True)
class ComparisonRun:
    """State of a running comparison: the rows, their gold, and the finished models."""

    asked: AskedRows
    margin: float  # by how much the cheapest model may be worse than the best one
    max_cost: Decimal | None  # of all models together
    on_run: OnRun  # called with each model's run
    parts: dict[str, ModelRun] = field(default_factory=dict)

    def result(self, calls: Mapping[str, ModelCall], progress: bool | None, warned: set[str]) -> Comparison:
        """Run all models, one after the other, and return the comparison."""
        try:
            for label, call in calls.items():
                with labelled_warnings(label, warned):
                    self.run(label, call, progress)
            self.check()
            return self.comparison()
        except BaseException as end:  # Ctrl-C, too: what was paid for is cached, and what is there can be looked at
            end.partial = self.comparison() if self.parts else None  # type: ignore[attr-defined]
            if isinstance(end, KeyboardInterrupt):
                end.add_note("compare(..., cache='only') shows the comparison so far, without sending anything")
            raise

    def run(self, label: str, call: ModelCall, progress: bool | None) -> None:
        """Run one model within the rest of ``max_cost``."""
        last = next(reversed(self.parts.values()), None)
        stop = stopped_error(last.run, more=True) if last is not None and last.end is None else None
        if stop is not None:
            raise stop  # stopped between two models
        left = None if self.max_cost is None else self.max_cost - sum(one.run.cost_upper_bound for one in self.parts.values())
        currency = call.client.prices.currency if call.client.prices else None
        used_up = f"max_cost={money(self.max_cost or 0, 3, currency=currency)} is used up"
        over = BudgetExceeded(used_up) if left is not None and left <= 0 else None
        run = call.run(None if over else left, cached_only=over is not None)
        run._label = label
        self.on_run(run)
        end: RunError | str | None = "stopped"
        try:
            run.result(progress=progress)
            stop = stopped_error(run)
            end = over if stop is None else end
        except RunError as failure:
            stop = stopped_error(run, more=True) if run.stopped else None
            end = failure if stop is None else end
        finally:
            self.parts[label] = ModelRun(call, run, run.frame, end)
        if stop is not None:
            raise stop

    def check(self) -> None:
        """Raise the error that ended all models' runs, or concerns the account."""
        failures = [part.end for part in self.parts.values() if isinstance(part.end, RunError)]
        fatal = [failure for failure in failures if not isinstance(failure, _ALONE)]
        if fatal or len(failures) == len(self.parts):
            raise (fatal or failures)[0]

    def comparison(self) -> Comparison:
        """Return the comparison of the models so far."""
        answers = {label: part.call.answers(part.frame) for label, part in self.parts.items()}
        compared = {label: part.call.comparable_answers(part.frame) for label, part in self.parts.items()}
        truth, rows = self.asked.truth, self.asked.rows
        table, cheapest, conclusion = metrics.table(self.parts, compared, self.asked.right, self.margin)
        added = answers if truth is None or truth.name in rows else {"gold": truth, **answers}
        wide = rows.copy().assign(**{label: column.array for label, column in added.items()})
        return Comparison(
            table=table,
            agreement=metrics.pairs(compared, self.asked.right),
            answers=wide,
            frames={label: part.frame for label, part in self.parts.items()},
            cheapest=cheapest,
            conclusion=conclusion,
            notes=self._notes(table),
        )

    def _notes(self, table: pd.DataFrame) -> tuple[str, ...]:
        out = [f"{label}: {error}" for label, error in table["error"].items() if error is not pd.NA]
        if table["answered"].any() and not table["billed"].fillna(1).any():
            out.append("billed 0: every answer came from the cache")
        out += self.asked.notes
        if gaps := sum(value is None for value in self.asked.right or ()):
            out.append(f"gold is missing or blank in {plural(gaps, 'row')}: they were asked, and are not judged")
        if len(set(table["answered"])) > 1:
            out.append("the models have not answered the same rows: .agreement compares them on rows that both answered")
        if not table["cost_known"].all():
            out.append("some costs are unknown (no price, or no usage): they are left out of the sums")
        draw = draw_of(self.asked.rows, self.asked.truth.name) if self.asked.truth is not None else None
        if len(table) > 1 and draw is not None and draw.test.any():
            out.append(f"{len(table)} models are judged by the test part: the best of them looks better here than it is")
        return tuple(out)
