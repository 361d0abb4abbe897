"""The rows of a frame that a comparison asks about, and their gold."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ...errors import ParameterError
from ...frames import values
from ...frames.labels.gold_sampling_design import draw_of
from ...stats import Array
from ...text import plural, quoted
from .answer_equality import Normalise
from .inputs import comparable_gold, gold_of


class AskedRows(NamedTuple):
    """The rows to ask about."""

    positions: Array  # their positions in the frame
    rows: pd.DataFrame
    truth: pd.Series | None  # their gold
    right: list[Any] | None  # their gold in comparable form
    notes: tuple[str, ...]  # which rows of the frame they are


def asked_rows(
    df: pd.DataFrame, gold: Any, normalise: Normalise, sample: Any, random_state: Any, *, labels: bool, examples: bool
) -> AskedRows:
    """Return the rows to ask about: with gold only those that have it, where labels are compared or a sample is drawn."""
    truth, known = None if gold is None else gold_of(df, gold), None
    if truth is not None and (labels or sample is not None) and len(df):
        known = _rows_with_gold(df, truth, gold, examples=examples)
    positions = positions_of(df, sample, random_state, known)
    truth = None if truth is None else truth.iloc[positions]
    right = None if truth is None else comparable_gold(truth, None if labels else normalise)
    notes = _notes(len(df), len(positions), None if known is None else int(known.sum()))
    return AskedRows(positions, df.iloc[positions], truth, right, notes)


def positions_of(df: pd.DataFrame, sample: Any, random_state: Any, known: Array | None = None) -> Array:
    """Return the positions of the rows to ask about, in the frame's order; ``known`` says which may be asked about."""
    if not len(df):
        raise ParameterError("the frame has no rows, so there is nothing to compare")
    among = np.arange(len(df)) if known is None else np.flatnonzero(known)
    if sample is None:
        return among
    whole = pd.api.types.is_integer(sample)
    if not whole and not (isinstance(sample, (float, np.floating)) and 0 < sample <= 1):
        raise ParameterError(f"sample must be a number of rows, or a share above 0 and up to 1.0, got {quoted(sample)}")
    rows = int(sample) if whole else round(len(among) * sample)
    if not 1 <= rows <= len(among):
        which = "" if known is None else " that have gold"
        most = f"take at least 1 and at most {len(among):,}"
        raise ParameterError(f"sample={sample} is {plural(rows, 'row')} of {len(among):,}{which}: {most}")
    drawn: Array = pd.Series(among).sample(rows, random_state=random_state).to_numpy()
    return np.sort(drawn)


def _rows_with_gold(df: pd.DataFrame, truth: pd.Series, gold: Any, *, examples: bool) -> Array:
    """Return which rows may be judged: those with gold; without ``dev`` rows where examples, which may be of them, are shown."""
    known = ~values.is_blank(values.texts(truth))
    if not known.any():
        raise ParameterError(f"gold is missing or blank in all {plural(len(df), 'row')}: there is nothing to judge by")
    draw = draw_of(df, gold) if examples and isinstance(gold, Hashable) else None
    found = known if draw is None else known & ~draw.dev
    if not found.any():
        raise ParameterError(
            "all rows that have gold are dev rows, which the examples may be of: give rows of the test part, or no examples"
        )
    return found


def _notes(frame: int, asked: int, known: int | None) -> tuple[str, ...]:
    """Return which of the frame's rows were asked; ``known`` of them have gold."""
    if asked == frame:
        return ()
    if known is None:
        return (f"a sample of {asked:,} of {plural(frame, 'row')}",)
    which = "all" if asked == known else f"a sample of {asked:,} of"
    return (f"{which} {plural(known, 'row')} that have gold, of {frame:,}",)
