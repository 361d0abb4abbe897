"""The verb that asks several models about the same rows and compares answers, cost and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Unpack

import pandas as pd

from ...errors import BudgetExceeded, ModelError, RateLimitError, RunError, ServerError
from ...frames.columns import layout
from ...frames.prompt import Prompt, check_frame
from ...text import money, plural
from ..complete import run_of
from ..estimate.estimate import estimate_call
from ..estimate.result import Estimate
from ..estimate.total_estimate import total_estimate
from ..paying_verb import Call, paying_verb
from ..run.background import BackgroundRun, OnRun, labelled_warnings
from ..run.options import DEFAULTS, CompareOptions
from ..run.prepare import PER_ROW, PreparedCall, prepare
from ..run.run import stopped_error
from . import metrics
from .agreement import Normalise, comparable, normaliser
from .inputs import check_labels, check_money, comparable_gold, gold_of, models_of, positions_of, sampled
from .metrics import ModelRun
from .result import Comparison

FACTS = ("model", "answered_at", "request_key")
_ALONE = (ModelError, RateLimitError, ServerError)  # these may concern one model only, the others concern the account


@paying_verb(CompareOptions)
def compare(
    df: pd.DataFrame,
    prompt: Prompt | None = None,
    *,
    models: Sequence[str] | Mapping[str, str | Mapping[str, Any]],
    gold: Any = None,
    normalise: Normalise = "casefold",
    sample: float | None = None,
    random_state: Any = 0,
    **options: Unpack[CompareOptions],
) -> Call[Comparison]:
    """Ask several models about the same rows, and compare their answers, tokens, money and time.

    The models are asked one after the other, so that their seconds can be compared. Every answer is cached: a comparison
    that is run again pays only for what has no answer yet.

    Parameters
    ----------
    df : DataFrame
        The rows. It is not changed.
    prompt : str or callable
        As for :func:`complete`.
    models : list of str, or dict of str to str or dict
        The models' names. A dict gives each a label, and parameters of its own where it needs them:
        ``{"cold": {"model": "sim-small", "temperature": 0}, "large": "sim-large"}``. A model may have its own
        ``model``, ``prompt``, ``system``, ``temperature`` and so on to ``extra_body``, ``repeat`` and ``client``.
    gold : column label, Series or callable, optional
        The right answers. Rows where it is missing or blank are asked, but not judged.
    normalise : {"casefold"}, callable or None, default "casefold"
        How answers and gold are made comparable: ``text.strip().casefold()``; a function of the text; or not at all. An
        answer at which the function raises agrees with nothing.
    sample : int or float, optional
        Take a random sample: an int is a number of rows, a float a share. Default: all rows.
    random_state : optional
        What ``DataFrame.sample`` takes. The default draws the same rows each time, so that they are paid for once.
    max_cost : number, optional
        The most that the whole comparison may cost. What the first models leave of it is for the next ones.
    system, messages, temperature, top_p, max_tokens, stop, frequency_penalty, presence_penalty, response_format, seed, \
extra_body, stream, missing, cache, repeat, tag, progress, client : optional
        As for :func:`complete`, for all models without their own. ``cache="only"`` compares what is cached and sends nothing.

    Returns
    -------
    Comparison
        ``.table`` has a row per model, ``.answers`` the sample and a column per model, ``.agreement`` a row per pair
        of models, ``.frames`` what :func:`complete` returns for each model.

    Raises
    ------
    PromptError, ParameterError, ColumnError, ConfigError
        Before anything is sent.
    RunError
        If the key was refused, the balance is empty, ``max_cost`` is used up, a run was stopped, or no model could be
        asked. A model that fails alone (there is no such model, its server is down) has its reason in the table's column
        ``error``. ``.partial`` is the comparison so far, also at Ctrl-C.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> sim = tsn.simulate(latency=0.0)
    >>> df = pd.DataFrame({"text": ["Where is my parcel?", "Thanks!"], "topic": ["delivery", "praise"]})
    >>> found = compare(df, "One of: delivery, praise. {text}", models=["sim-small", "sim-large"], gold="topic")
    >>> found.table["judged"].tolist()
    [2, 2]
    >>> sim.close()
    """
    check_frame(df)
    words: dict[str, Any] = {**DEFAULTS, **options, "prompt": prompt}
    varied, positions = models_of(models), positions_of(df, sample, random_state)
    normaliser(normalise)
    rows, truth = df.iloc[positions], None if gold is None else gold_of(df, gold).iloc[positions]
    check_labels(rows, varied, truth)
    right = None if truth is None else comparable_gold(truth, normalise)
    warned, calls = set[str](), {}
    for label, own in varied.items():
        given = {**words, **own}
        shared = {name: sampled(df, positions, name, given.get(name)) for name in (*PER_ROW, "messages", "tag")}
        with labelled_warnings(label, warned):  # all before the first one is sent: a mistake in the last one costs nothing
            calls[label] = prepare("compare", rows, given["prompt"], {**given, **shared})
    check_money(calls.values())

    def result(progress: bool | None, on_run: OnRun | None = None) -> Comparison:
        comparison_run = _ComparisonRun(df, rows, truth, right, normalise, on_run)
        try:
            for label, call in calls.items():
                with labelled_warnings(label, warned):
                    comparison_run.run(label, call, progress)
            comparison_run.check()
            return comparison_run.comparison()
        except BaseException as end:  # Ctrl-C, too: what was paid for is cached, and what is there can be looked at
            end.partial = comparison_run.comparison() if comparison_run.parts else None  # type: ignore[attr-defined]
            if isinstance(end, KeyboardInterrupt):
                end.add_note("compare(..., cache='only') shows the comparison so far, without sending anything")
            raise

    first = next(iter(calls.values()))
    return Call(
        lambda: result(words.get("progress")),
        lambda: BackgroundRun(first.client, len(rows) * len(calls), lambda on_run: result(False, on_run)),
        lambda: _estimate(calls),
    )


def _estimate(calls: Mapping[str, PreparedCall]) -> Estimate:
    found = {label: estimate_call(call) for label, call in calls.items()}
    most = next(iter(calls.values())).work.max_cost
    return total_estimate(list(found.values()), most, f"a sum over {plural(len(found), 'model')}: .parts has each", found)


@dataclass(frozen=True)
class _ComparisonRun:
    """State of a running comparison: the rows, their gold, and the finished models."""

    df: pd.DataFrame
    rows: pd.DataFrame
    truth: pd.Series | None
    right: list[Any] | None
    normalise: Normalise
    on_run: OnRun | None = None
    parts: dict[str, ModelRun] = field(default_factory=dict)

    def run(self, label: str, call: PreparedCall, progress: bool | None) -> None:
        """Run one model within the rest of ``max_cost``."""
        work, over = call.work, None
        if work.max_cost is not None:
            left = work.max_cost - sum(part.run.cost_upper_bound for part in self.parts.values())
            over = BudgetExceeded(f"max_cost={money(work.max_cost, 3)} is used up") if left <= 0 else None
            work = replace(work, max_cost=None, mode="only") if over else replace(work, max_cost=left)
        end: RunError | str | None = "stopped"
        last = next(reversed(self.parts.values()), None)
        stop = stopped_error(last.run, more=True) if last is not None and last.end is None else None
        if stop is not None:
            raise stop  # stopped between two models
        run = run_of(self.rows, call._replace(work=work), layout(None, usage=True, include=FACTS), "coerce")
        run._label = label
        if self.on_run is not None:
            self.on_run(run)
        try:
            run.result(progress=progress)
            stop = stopped_error(run)
            end = over if stop is None else end
        except RunError as failure:
            end = failure
        finally:
            self.parts[label] = ModelRun(run, run.frame, end)
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
        answers = {label: part.frame["content"].where(part.frame["error"].isna()) for label, part in self.parts.items()}
        compared = {label: comparable(column, self.normalise) for label, column in answers.items()}
        table = metrics.table(self.parts, compared, self.right)
        added = answers if self.truth is None or self.truth.name in self.rows else {"gold": self.truth, **answers}
        wide = self.rows.copy().assign(**{label: column.array for label, column in added.items()})
        frames = {label: part.frame for label, part in self.parts.items()}
        return Comparison(table, metrics.pairs(compared, self.right), wide, frames, self._notes(table))

    def _notes(self, table: pd.DataFrame) -> tuple[str, ...]:
        """Return remarks on the numbers."""
        out = [f"{label}: {error}" for label, error in table["error"].items() if error is not pd.NA]
        if table["answered"].any() and not table["billed"].fillna(1).any():
            out.append("billed 0: every answer came from the cache")
        if len(self.rows) < len(self.df):
            out.append(f"a sample of {len(self.rows):,} of {plural(len(self.df), 'row')}")
        if gaps := sum(value is None for value in self.right or ()):
            out.append(f"gold is missing or blank in {plural(gaps, 'row')}: they were asked, and are not judged")
        if len(set(table["answered"])) > 1:
            out.append("the models have not answered the same rows: .agreement compares them on rows that both answered")
        if not table["cost_known"].all():
            out.append("some costs are unknown (no price, or no usage): they are left out of the sums")
        return tuple(out)
