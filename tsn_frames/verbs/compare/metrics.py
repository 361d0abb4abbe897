"""Metrics of a comparison: cost, time and agreement with gold of each model, and agreement of each pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ...api import Usage
from ...engine.ledger.ledger import Ledger
from ...errors import ConfigError
from ...stats import Array
from ...stats.amount_per_success import amount_per_success
from ...stats.paired_proportions import discordant, mcnemar
from ...stats.proportions import wilson
from ..run.run_handle import PaidAnswer, Run
from .answer_equality import same
from .cheapest import Cost, Judged, best_of, choose, differences
from .model_calls import ModelCall

MILLION = 1_000_000

_COUNTS = ("rows", "answered", "failed", "skipped", "not_sent")
_TOKENS = ("prompt_tokens", "completion_tokens")
_WHOLE = (*_COUNTS, "prompt_tokens", "completion_tokens", "judged", "correct", "agree", "only_left", "only_right")
_FLAGS = ("cost_known", "billed_known")
_TEXTS = ("currency", "error", "left", "right")


@dataclass(frozen=True)
class ModelRun:
    """One model's call and run in a comparison, its frame, and why it ended early."""

    call: ModelCall
    run: Run[Any]
    frame: pd.DataFrame
    end: Exception | str | None = None


def table(
    parts: Mapping[str, ModelRun], answers: Mapping[str, Sequence[Any]], gold: Sequence[Any] | None, margin: float
) -> tuple[pd.DataFrame, str | None, str]:
    """Return a row per model, the cheapest model that is good enough, and a sentence on it; none of one model or without gold.

    ``answers`` and ``gold`` are in comparable form, None where there is no value.
    """
    paid = {label: list(part.call.paid_answers(part.run)) for label, part in parts.items()}
    seconds = _seconds(parts, paid)
    rows = dict[str, dict[str, Any]]()
    for label, part in parts.items():
        counts = {name: getattr(part.run.progress, name) for name in _COUNTS}
        rows[label] = counts | _usage(part, paid[label], seconds[part.run.client.ledger])
    judged = {} if gold is None else {label: Judged(*same(answers[label], gold)) for label in parts}
    for label, one in judged.items():
        number, correct = int(one.rows.sum()), int(one.right.sum())
        rows[label] |= {"judged": number, "correct": correct} | _share(correct, number)
        rows[label] |= _cost_per_correct(rows[label], parts[label], one)
    costs = {label: Cost(_cost_per_answer(row), row["currency"]) for label, row in rows.items()}
    best = best_of(judged, costs)
    worse = differences(judged, best)
    for label, difference in worse.items():
        rows[label] |= zip(("worse_by", "worse_by_low", "worse_by_high"), difference, strict=True)
    for label, part in parts.items():
        rows[label]["error"] = f"{type(part.end).__name__}: {part.end}" if isinstance(part.end, Exception) else part.end
    cheapest, conclusion = choose(best, judged, worse, costs, margin) if best is not None and len(parts) > 1 else (None, "")
    return _typed(list(rows.values()), pd.Index(parts, name="model")), cheapest, conclusion


def pairs(answers: Mapping[str, Sequence[Any]], gold: Sequence[Any] | None) -> pd.DataFrame:
    """Return a row per pair of models, over the rows that both have answered."""
    rows = [_pair(left, right, answers, gold) for left, right in combinations(answers, 2)]
    names = ["left", "right", "rows", "agree", "agreement", "agreement_low", "agreement_high"]
    return _typed(rows, None, names + (["only_left", "only_right", "p"] if gold is not None else []))


def _usage(part: ModelRun, there: Sequence[PaidAnswer], seconds: Mapping[bytes, float]) -> dict[str, Any]:
    """Return tokens, money and seconds of the distinct answers, and what this run was billed."""
    prices, summary = part.run.client.prices, part.run.summary
    costs = [prices.cost(one.model, one.usage, one.time) if prices else None for one in there]
    known = [cost for cost in costs if cost is not None]
    timed = [seconds[one.key] for one in there if one.key in seconds]
    return {
        "prompt_tokens": sum(one.usage.prompt_tokens or 0 for one in there),
        "completion_tokens": sum(one.usage.completion_tokens or 0 for one in there),
        "cost": float(sum(known)) if known or not there else None,
        "currency": prices.currency if prices else None,
        "cost_known": len(known) == len(there),
        "billed": summary.cost,
        "billed_known": summary.cost_known,
        "seconds": float(np.median(timed)) if timed else None,
        "seconds_total": sum(timed) if timed and len(timed) == len(there) else None,
    }


def _seconds(parts: Mapping[str, ModelRun], paid: Mapping[str, Sequence[PaidAnswer]]) -> dict[Ledger, dict[bytes, float]]:
    """Return the seconds of each answer by its newest line in the ledger; each ledger is read once.

    A ledger that can't be read gives none, since the answers are paid for and must not be lost for their seconds.
    """
    wanted: dict[Ledger, set[bytes]] = {}
    for label, part in parts.items():
        wanted.setdefault(part.run.client.ledger, set()).update(one.key for one in paid[label])
    found = {ledger: dict[bytes, float]() for ledger in wanted}
    for ledger, keys in wanted.items():
        with suppress(ConfigError):
            entries = (entry for entry in ledger.entries() if entry.outcome == "answered" and entry.request_key in keys)
            found[ledger] = {entry.request_key: entry.seconds for entry in entries}
    return found


def _cost_per_answer(row: Mapping[str, Any]) -> float:
    """Return the mean cost of an answered row, nan where it is unknown."""
    return row["cost"] / row["answered"] if row["cost"] is not None and row["cost_known"] and row["answered"] else np.nan


def _cost_per_correct(row: Mapping[str, Any], part: ModelRun, judged: Judged) -> dict[str, float | None]:
    """Return the cost of all answers per right one, and its interval, which is that of the judged rows."""
    right = int(judged.right.sum())
    if not right or row["cost"] is None:
        return {"cost_per_correct": None, "cost_per_correct_low": None, "cost_per_correct_high": None}
    value = row["cost"] / right
    mean, low, high = amount_per_success(_weights(part)[judged.rows], judged.right[judged.rows])
    ends = (value * low / mean, value * high / mean) if mean and row["cost_known"] else (np.nan, np.nan)
    return {"cost_per_correct": value, "cost_per_correct_low": ends[0], "cost_per_correct_high": ends[1]}


def _weights(part: ModelRun) -> Array:
    """Return what each row's tokens cost at the model's price of today, also of rows that share or reuse an answer; nan if unknown."""
    prices, models = part.run.client.prices, {one.model for one in part.call.paid_answers(part.run)}
    tokens = [part.frame[f"{part.call.tokens}{name}"].to_numpy(dtype=float, na_value=np.nan) for name in _TOKENS]
    if prices is None or len(models) != 1:
        return np.full(len(part.frame), np.nan)
    model = models.pop()
    units = [prices.cost(model, Usage(*counts, MILLION)) for counts in ((MILLION, 0), (0, MILLION))]
    return np.asarray(sum(np.nan if unit is None else float(unit) * counts for unit, counts in zip(units, tokens, strict=True)))


def _share(successes: int, trials: int) -> dict[str, float]:
    low, high = wilson(successes, trials)
    return {"agreement": successes / trials if trials else np.nan, "agreement_low": low, "agreement_high": high}


def _pair(left: str, right: str, answers: Mapping[str, Sequence[Any]], gold: Sequence[Any] | None) -> dict[str, Any]:
    both, equal = same(answers[left], answers[right])
    row = {"left": left, "right": right, "rows": int(both.sum()), "agree": int(equal.sum())} | _share(
        int(equal.sum()), int(both.sum())
    )
    if gold is None:
        return row
    judged, left_right = same(answers[left], gold)
    right_right = same(answers[right], gold)[1]
    only = discordant(both & left_right, both & right_right)
    return row | {"only_left": only[0], "only_right": only[1], "p": mcnemar(*only) if (both & judged).any() else np.nan}


def _typed(rows: list[dict[str, Any]], index: pd.Index[Any] | None, names: Sequence[str] = ()) -> pd.DataFrame:
    frame = pd.DataFrame(rows, index=index, columns=pd.Index([*(names or rows[0])]))
    kinds = dict.fromkeys(_WHOLE, "Int64") | dict.fromkeys(_FLAGS, "boolean") | dict.fromkeys(_TEXTS, "string")
    return frame.astype({name: kinds.get(name, "Float64") for name in frame.columns})
