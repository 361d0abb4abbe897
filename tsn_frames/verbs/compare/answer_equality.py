"""Comparable forms of answers, and equality of two lists of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from ...errors import ParameterError
from ...frames import values
from ...text import quoted

Normalise = Literal["casefold"] | Callable[[str], Any] | None
UNREADABLE = object()


def comparable(column: pd.Series, normalise: Normalise) -> list[Any]:
    """Return the comparable form of each value: None where it is missing or blank, ``UNREADABLE`` where ``normalise`` raised.

    A value that isn't text is compared by its text in a prompt; floats that are all whole, such as integers with gaps in pandas,
    as integers.
    """
    shown, made = values.texts(_whole(column)), normaliser(normalise)  # what is missing is shown as ''
    return [None if gap else made(text) for gap, text in zip(values.is_blank(shown), shown, strict=True)]


def normaliser(normalise: Normalise) -> Callable[[str], Any]:
    """Return the function of a text that ``normalise=`` stands for; where it raises, it returns ``UNREADABLE``."""
    if normalise is None:
        return str
    if normalise == "casefold":
        return lambda text: text.strip().casefold()
    if not callable(normalise):
        raise ParameterError(f"normalise must be 'casefold', None or a function of a text, got {quoted(normalise)}")

    def normalised(text: str) -> Any:
        try:
            return normalise(text)
        except Exception:  # noqa: BLE001 - a user's function may raise anything; the answer is paid for
            return UNREADABLE

    return normalised


def same(left: Sequence[Any], right: Sequence[Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return for each row whether both sides are present, and whether they are equal.

    An ``UNREADABLE`` value is present and equals nothing.

    >>> both, equal = same(["a", "b", None], ["a", "c", "c"])
    >>> both.tolist(), equal.tolist()
    ([True, True, False], [True, False, False])
    """
    pairs = list(zip(left, right, strict=True))
    both = np.array([a is not None and b is not None for a, b in pairs], dtype=bool)
    return both, both & np.array([equal(a, b) for a, b in pairs], dtype=bool)


def equal(left: Any, right: Any) -> bool:
    """Return whether two values are equal; False where the comparison raises."""
    try:
        return left is not UNREADABLE and bool(left == right)
    except Exception:  # noqa: BLE001 - a user's function may return objects that can't be compared
        return False


def _whole(column: pd.Series) -> pd.Series:
    """Return a column of floats that are all whole as integers."""
    if not pd.api.types.is_float_dtype(column.dtype):
        return column
    known = column.dropna().to_numpy(dtype="float64")
    return column.astype("Int64") if np.isfinite(known).all() and (known == np.floor(known)).all() else column
