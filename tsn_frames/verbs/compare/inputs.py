"""Validate the models, the sample and the gold of a comparison before money is spent."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from ...api.parameters import check
from ...engine.budget.worst_case import check_bounded
from ...errors import ColumnError, ParameterError
from ...frames import per_row, values
from ...frames.labels.label_codes import outside_error
from ...text import did_you_mean, plural, quoted
from ..estimate.request_tokens_and_prices import cached_answers
from ..run.prepare import PreparedCall
from .answer_equality import UNREADABLE, Normalise, comparable, equal


def models_of(models: Any, own: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return each model's own parameters by its label; ``own`` are those that a model may have."""
    if isinstance(models, str) or not isinstance(models, Iterable):
        raise ParameterError(f"models must be a list of names, or a dict of label to name or parameters, got {quoted(models)}")
    given = dict(models) if isinstance(models, Mapping) else _by_name(list(models))
    if not given:
        raise ParameterError("models is empty: name at least one")
    out = {label: _own(label, value, own) for label, value in given.items()}
    for (left, a), (right, b) in combinations(out.items(), 2):
        if equal(a, b):
            raise ParameterError(
                f"models {left!r} and {right!r} are the same: give one of them other parameters, such as "
                + ("repeat=1" if "repeat" in own else "votes=3")
            )
    return out


def _by_name(names: list[Any]) -> dict[str, Any]:
    for name in names:
        if names.count(check("model", name)) > 1:
            raise ParameterError(f"models has {name!r} twice; for a second opinion: {{'first': {name!r}, "
                                 f"'second': {{'model': {name!r}, 'repeat': 1}}}}")  # fmt: skip
    return {name: name for name in names}


def _own(label: Any, value: Any, own: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(label, str) or not label:
        raise ParameterError(f"a label of models must be a string, got {quoted(label)}")
    if not isinstance(value, Mapping):
        return {"model": check("model", value)}
    for name in value:
        if name not in own:
            raise ParameterError(
                f"models[{label!r}] has {quoted(name)}, which no model has of its own; {did_you_mean(name, own, most=20)}"
            )
    return dict(value)


def gold_of(df: pd.DataFrame, gold: Any) -> pd.Series:
    """Return the right answers, one per row of the frame."""
    series = per_row.series_of(df, "gold", gold)
    if series is not None and "gold" in df.columns:
        raise ColumnError("the frame has a column 'gold' already: rename it, or say gold='gold' if that is the one you mean")
    if series is not None:
        return series.rename("gold")
    if not isinstance(gold, Hashable) or gold not in df.columns:
        raise ParameterError(f"gold must be a column or a Series, got {quoted(gold)}; {did_you_mean(gold, df.columns)}")
    return values.column(df, gold)


def comparable_gold(truth: pd.Series, normalise: Normalise) -> list[Any]:
    """Return gold in comparable form."""
    right = comparable(truth, normalise)
    if all(value is None for value in right):
        raise ParameterError(f"gold is missing or blank in all {plural(len(truth), 'row')}: there is nothing to judge by")
    bad = [at for at, value in enumerate(right) if value is UNREADABLE]
    if bad:
        first = values.row_name(truth.index, bad[0])
        raise ParameterError(
            f"normalise= raised at the gold of {plural(len(bad), 'row')}, the first is {first}: correct the function or the gold"
        )
    return right


def check_inside(truth: pd.Series | None, right: Sequence[Any] | None, labels: Sequence[Any]) -> None:
    """Refuse gold that isn't one of the labels."""
    if truth is None or right is None:
        return
    known = [str(label) for label in labels]
    first = next((value for value in right if value is not None and value not in known), None)
    if first is not None:
        raise outside_error(truth.name, first, truth.index, [at for at, value in enumerate(right) if value == first], known)


def check_labels(rows: pd.DataFrame, varied: Mapping[str, Any], truth: pd.Series | None) -> None:
    """Refuse labels that are columns already."""
    if truth is not None and truth.name in varied and truth.name not in rows.columns:
        raise ColumnError("a model has the label 'gold', which is the column of the right answers: give it another one")
    values.check_distinct(rows.columns, "the frame")
    if clash := [label for label in varied if label in rows.columns]:
        raise ColumnError(f"the frame has columns {clash} already: give other labels, models={{'label': {clash[0]!r}, ...}}")


def check_money(calls: Iterable[PreparedCall]) -> None:
    """Refuse a budget that has no upper bound of cost for one of the calls."""
    for call in calls:
        if call.client.budget.with_run(call.work.max_cost) and call.work.mode != "only":
            check_bounded(call.client.prices, (call.work.requests[at] for at in cached_answers(call).unfinished()))
