"""The verb that judges a model's labels by gold."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd

from ...errors import ParameterError
from ...frames import values
from ...frames.labels.gold_sampling_design import DEV, TEST, draw_of, multiplied_rows
from ...frames.labels.groups import groups_of
from ...frames.labels.label_codes import LabelCodes, code_columns
from ...stats import Array
from ...stats.paired_proportions import discordant, mcnemar, paired_difference
from ...text import check_choice, plural, quoted
from .metrics import Judged, by_confidence_of, confusion_of, labels_of, metrics_of
from .raters import agreement_table, majority
from .result import Evaluation

Split = Literal["test", "dev"]
_CONFIDENCES = ("probability", "agreement")


def evaluate(
    df: pd.DataFrame,
    label: Hashable | Sequence[Hashable],
    *,
    gold: Hashable | Sequence[Hashable],
    by: Hashable | list[Hashable] | None = None,
    split: Split | None = "test",
) -> Evaluation:
    """Judge a model's labels by the right ones, with 95 % intervals.

    Nothing is sent.

    Parameters
    ----------
    df : DataFrame
        The rows. It is not changed.
    label : column or list of columns
        The model's labels; several columns, such as of two prompts or two models, are compared with each other.
    gold : column or list of columns
        The right labels. Several are raters: the majority counts, rows without one are left out.
    by : column or list of columns, optional
        Give the metrics for each of these groups.
    split : {"test", "dev", None}, default "test"
        Which rows of :func:`gold_sample` to judge. None: every row that has gold, as where it wasn't drawn.

    Returns
    -------
    Evaluation
        Metrics, figures per label, the confusion matrix, the errors, raters, confidence, and notes.

    Raises
    ------
    ParameterError
        If there is no gold to judge by, gold has a label outside the set, or there is no draw and ``split`` isn't None.

    Notes
    -----
    A proportion has Wilson's interval, an F1 the one of its share of hits; kappa (quadratic weights where the labels are
    ordered), alpha and macro F1 have a bootstrap percentile interval, balanced accuracy the method of variance estimates
    recovery. Intervals that can't be trusted are NA, with a note.

    Examples
    --------
    >>> import tsn_frames as tsn
    >>> df = tsn.sample_messages().query("topic != ''")
    >>> df["said"] = df["topic"].mask(df["topic"].eq("account"), "billing")
    >>> found = df.tsn.evaluate("said", gold="topic", split=None)
    >>> found.table.loc["accuracy", ["value", "low", "high"]].round(3).tolist()
    [0.916, 0.861, 0.95]
    >>> found.labels.loc["billing", ["precision", "recall"]].round(3).tolist()
    [0.606, 1.0]
    """
    columns, raters = _listed("label", label), _listed("gold", gold)
    if both := [name for name in columns if name in raters]:
        raise ParameterError(f"{both[0]!r} is given as label and as gold: gold must be another column")
    coded, (groups, index), part = code_columns(df, columns, raters), groups_of(df, by), _part(df, raters[0], split)
    ratings = np.column_stack([coded.columns[name] for name in raters])
    truth = ratings[:, 0] if len(raters) == 1 else majority(ratings, len(coded.labels))
    rows = (truth >= 0) & part
    if not rows.any():
        where = "every row" if split is None else f"every row of the part {split!r}"
        tie = ", or its raters are divided," if len(raters) > 1 else ""
        raise ParameterError(f"gold ({', '.join(map(str, raters))}) is missing{tie} in {where}: there is nothing to judge by")
    notes = _notes_on_rows(part & (ratings >= 0).any(axis=1), truth, part, split)
    notes += [*_notes_on_gold(df, raters[0], truth >= 0, split), *_notes_on_texts(df[rows], (*columns, *raters))]
    notes += filter(None, [coded.remark()])
    if len(only := np.unique(truth[rows])) == 1:
        notes.append(f"gold has one label only, {coded.labels[only[0]]!r}")
    work = {
        name: Judged(truth, coded.columns[name], ratings, _confidence(df, name), coded.labels, coded.ordered).only(rows)
        for name in columns
    }
    if len(columns) > 1 and split == TEST:
        notes.append(f"{len(columns)} columns are judged by the test part: the best of them looks better here than it is")
    return Evaluation(
        table=_stacked(work, lambda judged: _metrics(judged, groups[rows], index, notes)),
        labels=_stacked(work, labels_of),
        confusion=_stacked(work, confusion_of),
        errors=df[rows & np.any([coded.columns[name] != truth for name in columns], axis=0)],
        raters=agreement_table(_coded(coded, raters, part), _coded(coded, columns, part), coded.labels, ordered=coded.ordered),
        by_confidence=_stacked(work, by_confidence_of),
        pairs=_pairs(work),
        notes=tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _confidence(df: pd.DataFrame, name: Hashable) -> Array | None:
    """Return the confidence in each label of a column; None where the frame has none."""
    there = next((column for kind in _CONFIDENCES if (column := f"{name}_{kind}") in df.columns), None)
    found = None if there is None else pd.to_numeric(values.column(df, there), errors="coerce")
    return None if found is None else found.to_numpy(dtype="float64", na_value=np.nan)


def _metrics(judged: Judged, groups: Array, index: pd.Index[Any] | None, notes: list[str]) -> pd.DataFrame:
    """Return the metrics, of each group that has gold where there are groups."""
    if index is None:
        return metrics_of(judged, notes)
    tables, groups_with_gold = [], []
    for code, group in enumerate(index):
        rows, own = groups == code, list[str]()
        if rows.any():
            tables.append(metrics_of(judged.only(rows), own))
            groups_with_gold.append(code)
        else:
            own.append("there is no gold")
        notes += [f"{group}: {note}" for note in own]
    return pd.concat(tables, keys=index[groups_with_gold], names=index.names)


def _listed(word: str, given: Any) -> list[Hashable]:
    names = list(given) if isinstance(given, (list, tuple)) else [given]
    if not names or len(set(map(str, names))) < len(names):
        raise ParameterError(f"{word} must be a column, or a list of different columns, got {quoted(given)}")
    return names


def _part(df: pd.DataFrame, gold: Hashable, split: Any) -> Array:
    """Return which rows belong to the part that is judged."""
    if split is None:
        return np.full(len(df), fill_value=True)
    check_choice("split", split, Split)
    draw = draw_of(df, gold)
    if draw is None:
        raise ParameterError(
            "the frame has no 'gold_split', so no gold was drawn at random: draw it with df.tsn.gold_sample(...), or say "
            "split=None to judge by every row that has gold"
        )
    return draw.dev if split == DEV else draw.test


def _notes_on_rows(rated: Array, truth: Array, part: Array, split: Any) -> list[str]:
    """Return which rows are left out."""
    notes = []
    if split is not None and (unread := int((part & ~rated).sum())):
        notes.append(f"{plural(unread, 'row')} of the part {split!r} have no gold and are left out")
    if divided := int((rated & (truth < 0)).sum()):
        notes.append(f"{plural(divided, 'row')} without a majority of the raters are left out")
    return notes


def _notes_on_gold(df: pd.DataFrame, gold: Hashable, known: Array, split: Any) -> list[str]:
    """Return how many rows have gold though they weren't drawn, and whether drawn rows were multiplied."""
    draw = None if split is None else draw_of(df, gold)
    if draw is None:
        return []
    outside = int((known & ~draw.test & ~draw.dev).sum())
    notes = [f"{plural(outside, 'row')} have gold and were not drawn: they are not judged"] if outside else []
    return notes + list(filter(None, [multiplied_rows(df, draw)]))


def _notes_on_texts(judged: pd.DataFrame, used: tuple[Hashable, ...]) -> list[str]:
    """Return how many judged rows share their text with another one.

    The text is the column with the longest values, of those whose values differ in most rows.
    """
    made = tuple(f"{name}_" for name in used)
    others = [name for name in judged.columns.unique() if name not in used and not str(name).startswith(made)]
    texts = {name: column for name in others if _is_text(column := values.column(judged, name))}
    name = max(texts, key=lambda name: float(texts[name].str.len().mean()), default=None)
    twice = 0 if name is None else int(texts[name].duplicated(keep=False).sum())
    return [f"{twice:,} of the judged rows have a text in {name!r} that another one has, too: each counts"] if twice else []


def _is_text(column: pd.Series) -> bool:
    return pd.api.types.infer_dtype(column, skipna=True) == "string" and column.nunique() > len(column) / 2


def _coded(coded: LabelCodes, names: list[Hashable], part: Array) -> dict[Hashable, Array]:
    return {name: coded.columns[name][part] for name in names}


def _stacked(work: Mapping[Hashable, Judged], table: Callable[[Judged], pd.DataFrame]) -> pd.DataFrame:
    """Return the table of a single column as it is, those of several below each other."""
    tables = {name: table(judged) for name, judged in work.items()}
    return next(iter(tables.values())) if len(tables) == 1 else pd.concat(tables, names=["column"])


def _pairs(work: Mapping[Hashable, Judged]) -> pd.DataFrame:
    """Return a row per pair of columns: which of them is right more often."""
    rows = []
    for left, right in combinations(work, 2):
        only, number = discordant(work[left].right, work[right].right), len(work[left].gold)
        rows.append([str(left), str(right), number, *only, *paired_difference(*only, number), mcnemar(*only)])
    kinds = dict.fromkeys(("left", "right"), "string") | dict.fromkeys(("rows", "only_left", "only_right"), "Int64")
    kinds |= dict.fromkeys(("difference", "low", "high", "p"), "Float64")
    return pd.DataFrame(rows, columns=list(kinds)).astype(kinds)
