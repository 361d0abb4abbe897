"""Real texts with the labels of a real model of 135 million parameters, which is asked once: its labels are kept in ``build``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pandas as pd

import tsn_frames as tsn

from . import real_model_server as real
from .real_texts import real_sample

KEPT = Path(__file__).resolve().parents[2] / "build" / "real_labels"


class Task(NamedTuple):
    """A file of real texts: how many of its rows are labelled, their right labels, and the labels that the model is shown."""

    rows: int
    truth: Callable[[pd.DataFrame], pd.Series]
    labels: Any


SCOPE = {
    "in": "about banking, cards, travel, food, home, cars, utilities, work, the assistant itself, or small talk",
    "out": "about anything else",
}
TASKS = {
    "snips.csv": Task(
        700,
        lambda df: df["intent"],
        ["AddToPlaylist", "BookRestaurant", "GetWeather", "PlayMusic", "RateBook", "SearchCreativeWork", "SearchScreeningEvent"],
    ),
    "clinc150.csv": Task(600, lambda df: df["intent"].eq("oos").map({True: "out", False: "in"}), SCOPE),
    "immigration.csv": Task(
        800, lambda df: df["immigration"], {"immigration": "about immigration or asylum", "other": "about anything else"}
    ),
}


def labelled_by_model(name: str, rows: int | None = None) -> pd.DataFrame:
    """Return real texts with the columns ``truth`` and ``said``; the model labels them where it has not done so before.

    Parameters
    ----------
    name : str
        A file of real texts.
    rows : int, optional
        How many of its rows, drawn at random. Default: as many as the task has.
    """
    task = TASKS[name]
    df = real_sample(name, rows or task.rows)
    df = df[["text"]].assign(truth=task.truth(df))
    digest = hashlib.sha256(repr((df["text"].tolist(), task.labels)).encode()).hexdigest()[:12]
    kept = KEPT / f"{name.removesuffix('.csv')}-{real.NAME}-{digest}.txt"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        said = _ask(df, task)
        kept.write_text("\n".join(said), encoding="utf-8")
    said = pd.Series(kept.read_text(encoding="utf-8").split("\n"), df.index)
    return df.assign(said=pd.Categorical(said.where(said.ne("")), list(task.labels)))


def _ask(df: pd.DataFrame, task: Task) -> list[str]:
    with TemporaryDirectory() as made, real.RealModel(Path(made), context=1024) as server:
        folder = Path(made)
        client = tsn.Client(
            server.url, model=real.NAME, limits=tsn.Limits(real.SLOTS, max_wait=120), timeout=300,
            cache=folder / "cache", ledger=folder / "ledger.db",
        )  # fmt: skip
        out = df.tsn.label("text", task.labels, client=client, max_tokens=24, progress=False)
    said: list[str] = out["label"].astype(object).where(out["label"].notna(), "").tolist()
    return said
