"""The closed set of labels: checked, described, grouped. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ...errors import ParameterError
from ...text import quoted
from .normal_form import normal_form

Label = str | int
MOST_LABELS = 300  # longer lists are answered badly and refused by services that compile them into a grammar
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Codebook:
    """A closed set of labels."""

    labels: tuple[Label, ...]  # all labels in their order; the escape label, if any, is the last one
    descriptions: Mapping[Label, str] = field(default_factory=dict)  # what a label means, for those that are described
    groups: Mapping[Label, str] = field(default_factory=dict)  # the group of each label in a two-level codebook, else empty
    ordered: bool = False  # whether the order of the labels means something, as in a scale
    other: Label | None = None  # the escape label, which has no place in that order

    @classmethod
    def of(cls, labels: object, *, ordered: bool = False, other: Label | None = None) -> Codebook:
        """Return the codebook that a list or a mapping means.

        Labels; or label -> description (None for none); or group -> list or mapping; or integers -> anchors.

        >>> Codebook.of({"billing": "money taken, refunds", "praise": None}, other="none of these").labels
        ('billing', 'praise', 'none of these')
        >>> Codebook.of({"money": ["billing", "refund"], "parcel": {"late": "after the day it was promised for"}}).groups["late"]
        'parcel'
        """
        found, groups = _pairs(labels)
        if other is not None:
            found.append((_checked(other, "other"), None))
        names = tuple(name for name, _ in found)
        _check_set(names)
        return cls(names, {name: text for name, text in found if text}, groups, ordered, other)

    @cached_property
    def names(self) -> dict[str, Label]:
        """The text of each label -> the label."""
        return {str(label): label for label in self.labels}

    @cached_property
    def forms(self) -> dict[str, Label]:
        """The normal form of each label -> the label."""
        return {normal_form(str(label)): label for label in self.labels}

    def rotated(self, by: int) -> Sequence[Label]:
        """Return the labels beginning ``by`` places later, so that no label always stands first."""
        at = by % len(self.labels)
        return (*self.labels[at:], *self.labels[:at])


def _pairs(labels: object) -> tuple[list[tuple[Label, str | None]], dict[Label, str]]:
    """Return labels with descriptions, and the group of each in a two-level codebook."""
    if isinstance(labels, Mapping):
        nested = [isinstance(value, (Mapping, list, tuple)) for value in labels.values()]
        if any(nested):
            if not all(nested):
                raise ParameterError("labels mixes groups with labels: give every group a list or a mapping of labels")
            return _grouped(labels)
        return [(_checked(name, "labels"), _description(name, text)) for name, text in labels.items()], {}
    if isinstance(labels, (set, frozenset)):
        raise ParameterError("labels is a set, whose order differs from process to process: give a list")
    if isinstance(labels, pd.DataFrame):
        raise ParameterError(
            "labels is a DataFrame: give a list such as df['label'].tolist(), or a mapping of label to description"
        )
    if isinstance(labels, pd.Series) and labels.duplicated().any():
        raise ParameterError(
            "labels is a Series with equal values: give each label once, as df['label'].dropna().unique().tolist() does"
        )
    if isinstance(labels, (str, bytes)) or not isinstance(labels, Iterable):
        raise ParameterError(
            f'labels must be a list such as ["billing", "delivery"] or a mapping of label to description, got {quoted(labels)}'
        )
    return [(_checked(name, "labels"), None) for name in labels], {}


def _grouped(labels: Mapping[Any, Any]) -> tuple[list[tuple[Label, str | None]], dict[Label, str]]:
    pairs: list[tuple[Label, str | None]] = []
    groups: dict[Label, str] = {}
    for group, inner in labels.items():
        if not isinstance(group, str) or not group.strip():
            raise ParameterError(f"a group of labels must have a name, got {quoted(group)}")
        some, deeper = _pairs(inner)
        if deeper:
            raise ParameterError(f"the group {group!r} has groups of its own: a codebook has two levels at most")
        if not some:
            raise ParameterError(f"the group {group!r} has no labels")
        pairs += some
        groups |= dict.fromkeys((name for name, _ in some), group)
    return pairs, groups


def _checked(label: Any, where: str) -> Label:
    label = label.item() if isinstance(label, np.integer) else label
    if isinstance(label, bool) or not isinstance(label, (str, int)):
        raise ParameterError(f"{where}: a label must be a string or a whole number, got {quoted(label)}")
    if isinstance(label, int):
        return label
    if not label.strip():
        raise ParameterError(f"{where}: a label must not be empty, got {quoted(label)}")
    if _UNPRINTABLE.search(label) or '"' in label or label != label.strip() or not normal_form(label):
        raise ParameterError(
            f"{where}: the label {quoted(label)} has a line break, a double quote, a control character or blanks around it, "
            "which answers can't repeat reliably: use a plain word or phrase"
        )
    return label


def _description(label: Any, text: Any) -> str | None:
    if text is not None and not isinstance(text, str):
        raise ParameterError(f"labels: the description of {label!r} must be a string or None, got {quoted(text)}")
    return " ".join(text.split()) if text else None


def _check_set(labels: Sequence[Label]) -> None:
    if len(labels) < 2:
        raise ParameterError(f"at least two labels are needed, got {list(labels)}; other='...' adds one for all other texts")
    if len(labels) > MOST_LABELS:
        raise ParameterError(
            f"there are {len(labels)} labels, at most {MOST_LABELS} are possible in one request: "
            "label the group first, then the label within each group"
        )
    if len({type(label) for label in labels}) > 1:
        raise ParameterError(f"labels mixes strings and numbers: {quoted(list(labels))}")
    seen: dict[str, Label] = {}
    for label in labels:
        form = normal_form(str(label))
        if form in seen:
            same = "appears twice" if seen[form] == label else f"and {seen[form]!r} differ in case, punctuation or blanks only"
            raise ParameterError(f"labels: {label!r} {same}, so answers could not be told apart: rename or drop one")
        seen[form] = label
