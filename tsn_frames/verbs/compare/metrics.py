"""Metrics of a comparison: cost, time and agreement with gold of each model, and agreement of each pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ...engine.ledger.ledger import Ledger
from ...errors import ConfigError
from ...stats.proportions import mcnemar, wilson
from ..run.run import Run
from .agreement import same

_COUNTS = ("rows", "answered", "failed", "skipped", "not_sent")
_WHOLE = (*_COUNTS, "prompt_tokens", "completion_tokens", "judged", "correct", "agree", "only_left", "only_right")
_FLAGS = ("cost_known", "billed_known")
_TEXTS = ("currency", "error", "left", "right")


@dataclass(frozen=True)
class ModelRun:
    """One model's run in a comparison, its frame, and why it ended early."""

    run: Run
    frame: pd.DataFrame
    end: Exception | str | None = None


def table(parts: Mapping[str, ModelRun], answers: Mapping[str, Sequence[Any]], gold: Sequence[Any] | None) -> pd.DataFrame:
    """Return a row per model; ``answers`` and ``gold`` are in comparable form, None where there is no value."""
    seconds = _seconds(parts.values())
    rows = []
    for label, part in parts.items():
        counts = {name: getattr(part.run.progress, name) for name in _COUNTS}
        row = counts | _usage(part, seconds[part.run.client.ledger]) | _accuracy(answers[label], gold)
        if gold is not None:
            row["cost_per_correct"] = row["cost"] / row["correct"] if row["correct"] and row["cost"] is not None else None
        row["error"] = f"{type(part.end).__name__}: {part.end}" if isinstance(part.end, Exception) else part.end
        rows.append(row)
    return _typed(rows, pd.Index(parts, name="model"))


def pairs(answers: Mapping[str, Sequence[Any]], gold: Sequence[Any] | None) -> pd.DataFrame:
    """Return a row per pair of models, over the rows that both have answered."""
    rows = [_pair(left, right, answers, gold) for left, right in combinations(answers, 2)]
    names = ["left", "right", "rows", "agree", "agreement", "agreement_low", "agreement_high"]
    return _typed(rows, None, names + (["only_left", "only_right", "p"] if gold is not None else []))


def _usage(part: ModelRun, seconds: Mapping[bytes, float]) -> dict[str, Any]:
    """Return tokens, money and seconds of the distinct answers, and what this run was billed."""
    prices, summary, there = part.run.client.prices, part.run.summary, list(part.run.answers())
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


def _seconds(parts: Iterable[ModelRun]) -> dict[Ledger, dict[bytes, float]]:
    """Return the seconds of each answer by its newest line in the ledger; each ledger is read once.

    A ledger that can't be read gives none, since the answers are paid for and must not be lost for their seconds.
    """
    wanted: dict[Ledger, set[bytes]] = {}
    for part in parts:
        wanted.setdefault(part.run.client.ledger, set()).update(one.key for one in part.run.answers())
    found = {ledger: dict[bytes, float]() for ledger in wanted}
    for ledger, keys in wanted.items():
        with suppress(ConfigError):
            entries = (entry for entry in ledger.entries() if entry.outcome == "answered" and entry.request_key in keys)
            found[ledger] = {entry.request_key: entry.seconds for entry in entries}
    return found


def _accuracy(answers: Sequence[Any], gold: Sequence[Any] | None) -> dict[str, Any]:
    if gold is None:
        return {}
    judged, right = same(answers, gold)
    return {"judged": int(judged.sum()), "correct": int(right.sum())} | _share(int(right.sum()), int(judged.sum()))


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
    only = int((both & left_right & ~right_right).sum()), int((both & right_right & ~left_right).sum())
    return row | {"only_left": only[0], "only_right": only[1], "p": mcnemar(*only) if (both & judged).any() else np.nan}


def _typed(rows: list[dict[str, Any]], index: pd.Index[Any] | None, names: Sequence[str] = ()) -> pd.DataFrame:
    frame = pd.DataFrame(rows, index=index, columns=pd.Index([*(names or rows[0])]))
    kinds = dict.fromkeys(_WHOLE, "Int64") | dict.fromkeys(_FLAGS, "boolean") | dict.fromkeys(_TEXTS, "string")
    typed: pd.DataFrame = frame.astype({name: kinds.get(name, "Float64") for name in frame.columns})
    return typed
