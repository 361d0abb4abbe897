"""The columns of a labelled frame."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from ..rounds.options import USAGE
from ..rounds.rounds import Rounds
from ..rounds.row_texts import quoted_flags
from ..rounds.task import Vote
from .codebook import Codebook, Label
from .label_task import LabelTask
from .reading import How, Reading
from .voting import decide

HOWS = ("exact", "snapped", "repaired", "tied", "none")
_AFFIRMED = Codebook((0, 1))  # of each label's decision with ``multiple``


class Row(NamedTuple):
    """What a row's votes decide."""

    labels: tuple[Label | None, ...]  # the label, or with ``multiple`` the decision on each label; None where the votes tie
    how: How
    error: str | None = None
    agreement: float | None = None
    reading: Reading = Reading()  # the answer of the first vote for the label


def label_columns(rounds: Rounds[Reading], task: LabelTask, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the columns of a labelled frame; ``names`` has what each is called, and ``""`` is the label."""
    rows = _rows(rounds, task)
    ballots = [rounds.ballots.get(at, ()) for at in range(len(rows))]
    explanations = [row.reading.explanation for row in rows]
    labelled = (decisions if task.multiple else categories)([row.labels for row in rows], task.codebook)
    makers: dict[str, Callable[[], Any]] = {
        "how": lambda: pd.Categorical([row.how for row in rows], categories=list(HOWS)),
        "agreement": lambda: pd.array([row.agreement for row in rows], dtype="Float64"),
        "votes": lambda: pd.array([len(cast) or None for cast in ballots], dtype="Int64"),
        "probability": lambda: pd.array([row.reading.probability for row in rows], dtype="Float64"),
        "reason": lambda: pd.array(explanations, dtype="string"),
        "quote": lambda: pd.array(explanations, dtype="string"),
        "quoted": lambda: quoted_flags(explanations, rounds.texts.texts),
        "raw": lambda: pd.array([raw(cast) for cast in ballots], dtype="string"),
        "error": lambda: pd.array([row.error for row in rows], dtype="string"),
    }
    known = {**rounds.totals.columns(), **labelled}  # a label may be called like a column that is not asked for
    return {label: known[name] if name in known else makers[name]() for name, label in names.items()}


def wanted_columns(task: LabelTask, options: Mapping[str, Any], *, several: bool) -> list[str]:
    """Return the names of the columns that a call adds, in their order; ``several`` is whether a row has several votes."""
    names = [*map(str, task.codebook.labels)] if task.multiple else [""]
    names += ["group"] if task.codebook.groups and not task.multiple else []
    names += ["how"]
    names += ["agreement", "votes"] if several else []
    names += ["probability"] if options["probability"] and not task.multiple else []
    names += {"reason": ["reason"], "quote": ["quote", "quoted"], None: []}[task.explain]
    return [*names, *(USAGE if options["usage"] else ())]


def stale_columns(df: pd.DataFrame, name: str, task: LabelTask, wanted: Sequence[str]) -> list[str]:
    """Return the columns of an earlier labelling under this name that a call with other options doesn't replace."""
    how = df.get(f"{name}_how")
    if not isinstance(how, pd.Series) or not set(how.dropna().astype(str)) <= set(HOWS):
        return []
    optional = ["group", "agreement", "votes", "probability", "reason", "quote", "quoted", "raw", *USAGE]
    suffixes = [*optional, *map(str, task.codebook.labels)]
    single = [name] if "" not in wanted and isinstance(getattr(df.get(name), "dtype", None), pd.CategoricalDtype) else []
    return single + [one for suffix in suffixes if suffix not in wanted and (one := f"{name}_{suffix}") in df.columns]


def categories(labels: Sequence[tuple[Label | None, ...]], book: Codebook) -> dict[str, Any]:
    """Return the Categorical of the labels, and that of their groups."""
    single = [row[0] if row else None for row in labels]
    groups = [None if label is None else book.groups.get(label) for label in single]
    return {
        "": pd.Categorical(single, categories=list(book.labels), ordered=book.ordered),
        "group": pd.Categorical(groups, categories=list(dict.fromkeys(book.groups.values()))),
    }


def decisions(labels: Sequence[tuple[Label | None, ...]], book: Codebook) -> dict[str, Any]:
    """Return a boolean column for each label; a row has one decision for each, or none."""
    values: dict[str, list[Any]] = {
        str(label): [row[at] if row else None for row in labels] for at, label in enumerate(book.labels)
    }
    return {name: pd.array(column, dtype="boolean") for name, column in values.items()}


def affirmed(reading: Reading, book: Codebook) -> tuple[Label | None, ...]:
    """Return the decision on each label, 1 or 0; nothing where the answer is not valid."""
    return tuple(int(label in reading.labels) for label in book.labels) if reading.valid else ()


def raw(votes: Sequence[Vote[Any]]) -> str | None:
    """Return the answer of a row, or a JSON list of the answers to several votes."""
    if len(votes) < 2:
        return votes[0].content if votes else None
    return json.dumps([vote.content for vote in votes], ensure_ascii=False)


def votes_by_question(votes: Sequence[Vote[Reading]], task: LabelTask) -> list[list[Label | None]]:
    """Return a row's votes on its label, or with ``multiple`` those on each label, 1 or 0; None is an answer that is not valid."""
    if not task.multiple:
        return [[vote.reading.labels[0] if vote.valid else None for vote in votes]]
    return [[int(label in vote.reading.labels) if vote.valid else None for vote in votes] for label in task.codebook.labels]


def _rows(rounds: Rounds[Reading], task: LabelTask) -> list[Row]:
    """Return what each row's votes decide."""
    decided = rounds.decided(lambda votes: _row(votes, task) if any(vote.valid for vote in votes) else None)
    return [decided.get(at) or Row((), "none", rounds.error_of(at)) for at in range(len(rounds.df))]


def _row(votes: Sequence[Vote[Reading]], task: LabelTask) -> Row:
    cast = votes_by_question(votes, task)
    return _several(votes, cast, task.codebook) if task.multiple else _single(votes, cast[0], task.codebook)


def _single(votes: Sequence[Vote[Reading]], cast: Sequence[Label | None], codebook: Codebook) -> Row:
    made = decide(cast, codebook)
    if made.label is None:
        return Row((), "tied", made.problem, made.agreement)
    deciding = [vote for vote in votes if vote.valid and vote.reading.labels == (made.label,)]
    return Row((made.label,), _how(deciding), None, made.agreement, deciding[0].reading)


def _several(votes: Sequence[Vote[Reading]], cast: Sequence[Sequence[Label | None]], codebook: Codebook) -> Row:
    made = [decide(one, _AFFIRMED) for one in cast]
    tied = [str(label) for label, one in zip(codebook.labels, made, strict=True) if one.label is None]
    agreement = min(one.agreement or 0.0 for one in made)
    valid = [vote for vote in votes if vote.valid]
    error = f"tie: {', '.join(tied)}" if tied else None
    return Row(tuple(one.label for one in made), "tied" if tied else _how(valid), error, agreement, valid[0].reading)


def _how(votes: Sequence[Vote[Reading]]) -> How:
    if any(vote.repaired for vote in votes):
        return "repaired"
    return "exact" if all(vote.reading.how == "exact" for vote in votes) else "snapped"
