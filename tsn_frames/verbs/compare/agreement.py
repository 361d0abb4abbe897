"""Agreement of two lists of answers: equality, Wilson's interval, McNemar's test."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import pandas as pd

from ...errors import ParameterError
from ...frames import values
from ...text import quoted

Normalise = Literal["casefold"] | Callable[[str], Any] | None
UNREADABLE = object()
_Z = NormalDist().inv_cdf(0.975)


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
    return _careful(normalise)


def _careful(function: Callable[[str], Any]) -> Callable[[str], Any]:
    def made(text: str) -> Any:
        try:
            return function(text)
        except Exception:  # noqa: BLE001 - a user's function may raise anything; the answer is paid for
            return UNREADABLE

    return made


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


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share, (nan, nan) where there were no trials.

    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal of the American
    Statistical Association 22 (1927), 209-212. It stays between 0 and 1, and holds for few rows, too.
    """
    if not trials:
        return math.nan, math.nan
    share, square = successes / trials, _Z * _Z / trials
    middle, half = share + square / 2, _Z * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    low, high = (middle - half) / (1 + square), (middle + half) / (1 + square)
    return 0.0 if not successes else low, 1.0 if successes == trials else high


def mcnemar(only_left: int, only_right: int) -> float:
    """Return the two-sided exact p value of McNemar's test from the numbers of rows where only one of the two is right.

    Q. McNemar, Psychometrika 12 (1947), 153-157, with the binomial distribution in place of its approximation.
    """
    trials = only_left + only_right
    ways = accumulate(range(min(only_left, only_right)), lambda n, k: n * (trials - k) // (k + 1), initial=1)
    return min(1.0, float(2 * sum(ways) / 2**trials))


def _whole(column: pd.Series) -> pd.Series:
    """Return a column of floats that are all whole as integers."""
    if not pd.api.types.is_float_dtype(column.dtype):
        return column
    known = column.dropna().to_numpy(dtype="float64")
    return column.astype("Int64") if np.isfinite(known).all() and (known == np.floor(known)).all() else column
