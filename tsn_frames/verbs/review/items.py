"""The texts that a person reads: which rows of a frame, in which order, with which labels shown beside them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from ...errors import ParameterError
from ...frames import values
from ...frames.labels.gold_sampling_design import draw_of
from ...text import did_you_mean, plural, quoted, warn
from ..label.codebook import Codebook
from ..rounds.row_texts import texts_of
from .labels_beside_text import Labels, Shown, labels_of

_CONFIDENCES = ("agreement", "probability")


class Proposal(NamedTuple):
    """A label that is shown beside a text: whose it is, and which; None where there is none."""

    source: str
    labels: Labels | None


@dataclass(frozen=True)
class Item:
    """A text to read: its hash, the positions of the rows that have it, and the labels that are shown beside it."""

    row: str
    text: str
    positions: tuple[int, ...]
    proposals: tuple[Proposal, ...]


class Selection(NamedTuple):
    """The texts to read, and the labels of rows that need no reading since their raters agree, by position."""

    items: list[Item]
    agreed: dict[int, Labels]


def select(
    df: pd.DataFrame, text: Any, book: Codebook, shown: Shown, *, name: str, order: Hashable | None, multiple: bool
) -> Selection:
    """Return the texts to read. Equal texts are read once."""
    texts = [None if one is None or not one.strip() else one for one in texts_of(df, text, "empty").texts]
    hashes = [None if one is None else row_hash(one) for one in texts]
    sources = {column: labels_of(df, column, book, multiple=multiple) for column in shown.columns}
    draw, agreed = draw_of(df, name), dict[int, Labels]()
    chosen = np.full(len(df), fill_value=True) if draw is None else draw.test | draw.dev
    if shown.mode == "adjudication":
        given = [{labels for labels in row if labels is not None} for row in zip(*sources.values(), strict=True)]
        chosen &= [len(labels) > 1 for labels in given]
        agreed = {at: labels.pop() for at, labels in enumerate(given) if len(labels) == 1}
    positions = [at for at in _ordered(df, hashes, shown, order) if chosen[at]]
    if blank := sum(texts[at] is None for at in positions):
        warn(f"{plural(blank, 'row')} without a text are left out of the review")
    rows: dict[str, list[int]] = {}
    for at in positions:
        if (row := hashes[at]) is not None:
            rows.setdefault(row, []).append(at)
    items = [
        Item(row, str(texts[at[0]]), tuple(at), tuple(Proposal(str(column), sources[column][at[0]]) for column in shown.columns))
        for row, at in rows.items()
    ]
    return Selection(items, agreed)


def row_hash(text: str) -> str:
    """Return the name of a row in the log: a hash of its text.

    >>> row_hash("Where is my parcel?")
    'a91040a2061f15c4af1dfdb97994e57a'
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _ordered(df: pd.DataFrame, hashes: Sequence[str | None], shown: Shown, order: Hashable | None) -> list[int]:
    """Return the positions in reading order.

    By default it is random, but the same each time: what was read so far is a random part, also if the frame is sorted again.
    An audit begins with the labels that the model is least sure of.
    """
    known = pd.Series([one or "" for one in hashes])
    random = [int(at) for at in known.sort_values(kind="stable").index]
    if order is None and shown.mode != "audit":
        return random
    if order is None:
        keys: list[Hashable] = [name for kind in _CONFIDENCES if (name := f"{shown.columns[0]}_{kind}") in df.columns]
    elif isinstance(order, Hashable) and order in df.columns:
        keys = [order]
    else:
        raise ParameterError(f"order: the frame has no column {quoted(order)}; {did_you_mean(order, df.columns)}")
    for key in reversed(keys):
        random = _sorted(df, key, random, first="first" if order is None else "last")
    return random


def _sorted(df: pd.DataFrame, key: Hashable, positions: list[int], first: Literal["first", "last"]) -> list[int]:
    """Return positions sorted by a column; those that are equal there stay as they are."""
    column = values.column(df, key).reset_index(drop=True).iloc[positions]
    try:
        return [int(at) for at in column.sort_values(kind="stable", na_position=first).index]
    except TypeError:
        raise ParameterError(f"order: the values of column {key!r} can't be sorted: they are of several types") from None
