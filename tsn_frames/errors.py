"""The exceptions of tsn_frames and the closed list of row errors.

::

    TSNError                    .partial: the frame so far, or None
    ├── ConfigError             a setting: key, base_url, model, limits, paths   (also ValueError)
    ├── ParameterError          a request parameter out of its range             (also ValueError)
    ├── PromptError             template, messages or missing values             (also ValueError)
    ├── ColumnError             an output column that is there already           (also ValueError)
    ├── CacheError              a cache that can't be used as it is
    └── RunError                a run that ended early, or rows that failed
        ├── AuthenticationError the key was refused (401)
        ├── BalanceError        the balance is empty (402)
        ├── ModelError          no such model or endpoint (404)
        ├── RateLimitError      the service asks for a longer wait than allowed
        ├── ServerError         the server fails, or can't be reached
        └── RedirectError       the base_url answers with a redirect

Everything above ``RunError`` is raised before anything is sent. A ``RunError`` never loses an answer: what was paid
for is in the cache and in ``.partial``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, get_args


class TSNError(Exception):
    """The root of all errors that tsn_frames raises.

    Attributes
    ----------
    partial : pandas.DataFrame or None
        The frame so far, where a run had begun.
    """

    partial: Any = None


class ConfigError(TSNError, ValueError):
    """A setting that can't work: key, base_url, model, limits or a path."""


class ParameterError(TSNError, ValueError):
    """A request parameter that is out of its range, found before anything is sent."""


class PromptError(TSNError, ValueError):
    """A template, a message list or missing values that can't become requests."""


class ColumnError(TSNError, ValueError):
    """An output column would replace one that the frame already has."""


class CacheError(TSNError):
    """A cache that can't be used as it is."""


class RunError(TSNError):
    """A run ended early or rows of it failed; every answer is kept in ``.partial`` and in the cache."""


class AuthenticationError(RunError):
    """The API key was refused (401)."""


class BalanceError(RunError):
    """The balance of the account is empty (402)."""


class ModelError(RunError):
    """The service knows no such model or endpoint (404)."""


class RateLimitError(RunError):
    """The service asked for a longer wait than ``Limits(max_wait=...)`` allows."""


class ServerError(RunError):
    """The server can't be reached, or fails again and again."""


class RedirectError(RunError):
    """The base_url answered with a redirect, which is never followed: prompt and key must not travel."""


class TSNWarning(UserWarning):
    """What a user should know but need not act on at once."""


RowCode = Literal[
    "missing", "prompt", "bad_text", "too_long", "bad_request", "model", "rate_limited", "server", "connection",
    "timeout", "unreadable", "filtered", "empty", "not_cached", "not_sent",
]  # fmt: skip
ROW_CODES: tuple[RowCode, ...] = get_args(RowCode)


class RowError(NamedTuple):
    """Why one row has no answer: a code of the closed list ``ROW_CODES`` and a sentence."""

    code: RowCode
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


NOT_SENT = RowError("not_sent", "the run ended before this row was sent; run again to go on")


def did_you_mean(name: object, known: Iterable[object], *, most: int = 12) -> str:
    """Return a hint that names the nearest of the known names and lists them.

    Examples
    --------
    >>> did_you_mean("txt", ["text", "label"])
    "did you mean 'text'? There are: 'text', 'label'"
    """
    names = list(known)
    close = difflib.get_close_matches(str(name), [str(n) for n in names], n=1)
    listed = ", ".join(repr(n) for n in names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
    return (f"did you mean {close[0]!r}? " if close else "") + (f"There are: {listed}" if names else "There are none")


def quoted(value: object, *, most: int = 80) -> str:
    """Return a short repr of a bad value for a message, never a long text."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
