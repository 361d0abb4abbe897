"""The exceptions of tsn_frames and the closed list of row errors.

::

    TSNError                    .partial: the frame so far, or None
    ├── ArgumentError           a parameter that a function doesn't have         (also TypeError)
    ├── UnknownNameError        a name that the package doesn't have             (also AttributeError)
    ├── ConfigError             a setting: key, base_url, model, limits, paths   (also ValueError)
    ├── ParameterError          a request parameter out of its range             (also ValueError)
    ├── PromptError             template, messages or missing values             (also ValueError)
    ├── ColumnError             an output column that is there already           (also ValueError)
    ├── CacheError              a cache that can't be used as it is
    └── RunError                a run that ended early, or rows that failed
        ├── AuthenticationError the key was refused (401)
        ├── BalanceError        the balance is empty (402)
        ├── ModelError          no such model or endpoint (404)
        ├── BudgetExceeded      max_cost= or the client's budget is used up
        ├── RateLimitError      the service asks for a longer wait than allowed
        ├── ServerError         the server fails, or can't be reached
        └── RedirectError       the base_url answers with a redirect

Everything above ``RunError`` is raised before anything is sent. A ``RunError`` never loses an answer: what was paid
for is in the cache and in ``.partial``. :class:`Interrupted` is a ``KeyboardInterrupt`` that says what was kept.

IPython shows all of these with the user's line and the message; ``%xmode Verbose`` brings the whole traceback back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, get_args


class _ShortTraceback:
    """Lets IPython show an error without the frames of this package."""

    def _render_traceback_(self) -> list[str]:
        from .notebook.short_traceback import short_traceback

        assert isinstance(self, BaseException)
        return short_traceback(self)


class TSNError(_ShortTraceback, Exception):
    """The root of all errors that tsn_frames raises.

    Attributes
    ----------
    partial : pandas.DataFrame or None
        The frame so far, where a run had begun.
    """

    partial: Any = None


class ArgumentError(TSNError, TypeError):
    """A parameter that a function doesn't have, or one that is missing."""


class UnknownNameError(TSNError, AttributeError):
    """A name that the package doesn't have."""


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

    remedy = "run again to go on: only what has no answer is sent"


class AuthenticationError(RunError):
    """The API key was refused (401)."""

    remedy = "give another key with tsn.set_key() or TSN_API_KEY and run again: only what has no answer is sent"


class BalanceError(RunError):
    """The balance of the account is empty (402)."""

    remedy = "top up the account and run again: only what has no answer is sent"


class ModelError(RunError):
    """The service knows no such model or endpoint (404)."""

    remedy = "look at model= and at the client's base_url, and run again: only what has no answer is sent"


class BudgetExceeded(RunError):
    """``max_cost=`` or the client's ``budget`` is used up: what doesn't fit was not sent, and the cap was not passed."""

    remedy = "allow more with max_cost= or the client's budget= and run again: only what has no answer is sent"


class RateLimitError(RunError):
    """The service asked for a longer wait than ``Limits(max_wait=...)`` allows."""

    remedy = "run again later, or allow a longer max_wait: only what has no answer is sent"


class ServerError(RunError):
    """The server can't be reached, or fails again and again."""

    remedy = "look at the network, a proxy and base_url, and run again later: only what has no answer is sent"


class RedirectError(RunError):
    """The base_url answered with a redirect, which is never followed: prompt and key must not travel."""

    remedy = "give the right address as base_url and run again: only what has no answer is sent"


class Interrupted(_ShortTraceback, KeyboardInterrupt):
    """Ctrl-C, or the stop button of a notebook, while a call of this package works."""


Interrupted.__name__ = "KeyboardInterrupt"  # notebooks show it, and their tools look for it


@contextmanager
def named_interrupts(text: str) -> Iterator[None]:
    """Raise a ``KeyboardInterrupt`` of the block as :class:`Interrupted`; one that is it already stays."""
    try:
        yield
    except KeyboardInterrupt as error:
        if isinstance(error, Interrupted):
            raise
        raise Interrupted(text) from None


class TSNWarning(UserWarning):
    """What a user should know but need not act on at once."""


RowCode = Literal[
    "missing", "prompt", "bad_text", "too_long", "bad_request", "model", "server", "connection",
    "timeout", "unreadable", "filtered", "empty", "not_cached", "not_sent", "invalid", "tie",
]  # fmt: skip
ROW_CODES: tuple[RowCode, ...] = get_args(RowCode)


class RowError(NamedTuple):
    """Why one row has no answer: a code of the closed list ``ROW_CODES`` and a sentence."""

    code: RowCode
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


NOT_SENT = RowError("not_sent", "the run ended before this row was sent; run again to go on")
