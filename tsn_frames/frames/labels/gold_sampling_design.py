"""Gold rows of a frame: which were drawn at random, with which chance, and for which part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...errors import ParameterError
from ...text import plural, quoted, warn
from .. import values

TEST, DEV = "test", "dev"
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Draw:
    """A draw of gold rows: the name of its columns, each row's chance to be in the test part, and the two parts."""

    name: str
    prob: Array
    test: Array
    dev: Array


def draw_of(df: pd.DataFrame, gold: Any) -> Draw | None:
    """Return the draw that belongs to a column of gold, None where the frame has none.

    ``gold_ann`` belongs to the draw ``gold_ann``, else to ``gold``; any column belongs to ``gold`` where it has no other.
    """
    name = next((name for name in _names(gold) if f"{name}_split" in df.columns), None)
    if name is None:
        return None
    if f"{name}_prob" not in df.columns:
        raise ParameterError(f"the frame has '{name}_split' but no '{name}_prob': keep both columns of df.tsn.gold_sample(...)")
    split = values.column(df, f"{name}_split")
    test, dev = ((split == part).fillna(value=False).to_numpy(dtype=bool) for part in (TEST, DEV))
    odd = split[split.notna().to_numpy(dtype=bool) & ~test & ~dev]
    if len(odd):
        raise ParameterError(
            f"'{name}_split' may hold 'test', 'dev' and gaps, got {quoted(odd.iloc[0])} in row {values.row_name(odd.index, 0)}"
        )
    prob = pd.to_numeric(values.column(df, f"{name}_prob"), errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
    if not ((prob > 0) & (prob <= 1)).all():
        raise ParameterError(f"'{name}_prob' must be above 0 and at most 1 in every row: it was changed after the draw")
    if len(sure := np.flatnonzero((prob == 1) & ~test & ~dev)):
        raise ParameterError(
            f"row {values.row_name(df.index, sure[0])} has a '{name}_prob' of 1 and is in no part of '{name}_split': one of the two was "
            "changed after the draw"
        )
    return Draw(name, prob, test, dev)


def need_draw(df: pd.DataFrame, gold: Any) -> Draw:
    """Return the draw of a column of gold."""
    draw = draw_of(df, gold)
    if draw is None:
        raise ParameterError(
            f"the gold in {gold!r} was not drawn by df.tsn.gold_sample(...), so nothing can be concluded from it about the other "
            "rows: draw rows first, then read those"
        )
    return draw


def holds_test_rows(df: pd.DataFrame) -> bool:
    """Return whether a frame has rows of the test part of any draw.

    >>> holds_test_rows(pd.DataFrame({"gold_split": ["dev", None]})), holds_test_rows(pd.DataFrame({"topic_split": ["test"]}))
    (False, True)
    """
    splits = [name for name in df.columns if isinstance(name, str) and name.endswith("_split")]
    return any(bool((values.column(df, name).astype(object) == TEST).any()) for name in splits)


def check_undamaged(draw: Draw, rows: Array, where: str) -> None:
    """Raise where far more or fewer rows were drawn than the chances allow: rows were dropped or changed after the draw."""
    open_ = rows & ~draw.dev
    drawn, expected = int(draw.test[rows].sum()), float(draw.prob[open_].sum())
    if abs(drawn - expected) > 5 + 6 * expected**0.5:
        what = "rows were dropped" if drawn > expected else f"drawn rows were dropped or '{draw.name}_prob' was changed"
        raise ParameterError(
            f"{plural(drawn, 'row')} of {int(open_.sum()):,}{where} were drawn, where '{draw.name}_prob' allows about "
            f"{expected:.0f}: {what} after the draw. Call it on the whole frame"
        )


def check_read(df: pd.DataFrame, draw: Draw, known: Array, gold: Any) -> None:
    """Warn of drawn rows without gold, of gold that isn't used since its rows weren't drawn, and of copies of drawn rows."""
    drawn, unread, outside = int(draw.test.sum()), int((draw.test & ~known).sum()), int((known & ~draw.test & ~draw.dev).sum())
    if not drawn:
        raise ParameterError(f"the frame has no row of the test part of '{draw.name}_split': call it on the whole frame")
    if unread == drawn:
        raise ParameterError(
            f"{gold!r} is missing in all {plural(drawn, 'row')} of the test part: there is nothing to conclude from"
        )
    if unread:
        warn(
            f"{gold!r} is missing in {unread:,} of the {drawn:,} rows of the test part: the figures hold if these were left out "
            "whatever their label, as where the rest isn't read yet"
        )
    if outside:
        warn(f"{gold!r} has labels in {plural(outside, 'row')} that '{draw.name}_split' doesn't name: they are not used")
    if copies := multiplied_rows(df, draw):
        warn(copies)


def multiplied_rows(df: pd.DataFrame, draw: Draw) -> str:
    """Return what shows that rows were multiplied after a draw, as by a merge; empty where nothing does.

    Rows that share a value are drawn one by one, copies of a row all or none. A column counts if its values tell rows apart.
    """
    index = [] if df.index.is_unique else [("the index", df.index.to_series())]
    columns = ((repr(name), values.column(df, name)) for name in df.columns.unique())
    for name, column in [*index, *columns]:
        if copies := _copies(column, draw):
            return (
                f"{copies:,} drawn rows share their value of {name} with other rows, and all of those were drawn too: rows were "
                "multiplied after the draw, as by a merge, so the intervals are too narrow. Call it before the merge"
            )
    return ""


def _copies(column: pd.Series, draw: Draw) -> int:
    """Return how many drawn rows have only drawn rows beside them under their value; 0 where chance explains it."""
    others = column[~draw.test & ~draw.dev]
    try:
        some = others.iloc[:2000]
        tells_apart = 2 * some.notna().sum() > len(some) and 100 * some.nunique() > len(some) > 0
        if not tells_apart or column[draw.test].duplicated(keep=False).sum() < 10:
            return 0
        codes, _ = pd.factorize(column)
    except TypeError:  # lists and dicts
        return 0
    sizes = np.bincount(codes[codes >= 0])
    drawn = np.bincount(codes[(codes >= 0) & draw.test], minlength=len(sizes))
    drawn, sizes = drawn[sizes > 1], sizes[sizes > 1]
    whole = draw.prob[~draw.dev].max() ** sizes  # the chance that all rows of a value are drawn
    by_chance = (sizes * whole).sum() + 6 * (sizes**2 * whole * (1 - whole)).sum() ** 0.5
    copies = int(drawn[drawn == sizes].sum())
    return copies if copies > by_chance + 9 else 0


def _names(gold: Any) -> Iterator[str]:
    name = gold if isinstance(gold, str) else ""
    while name:
        yield name
        name = name.rpartition("_")[0]
    yield "gold"
