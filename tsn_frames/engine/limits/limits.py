"""The limits that a user sets."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...errors import ConfigError
from ...text import quoted

DEFAULT_CONCURRENCY = 32


@dataclass(frozen=True)
class Limits:
    """Upper limits for what is sent; what is not set is found from the responses.

    Parameters
    ----------
    concurrency : int, optional
        Most requests in flight at once, of all runs and chats of a process with the same limits: a ceiling, not a
        start. Default 32.
    requests_per_minute : float, optional
        Most requests sent in any minute.
    tokens_per_minute : float, optional
        Most tokens, estimated when a request is sent and corrected by its usage, in any minute.
    max_wait : float, default 600
        Seconds: a longer wait that the service asks for, or a longer time without any success, ends the run.

    Raises
    ------
    ConfigError
        If a limit is not a positive number.

    Examples
    --------
    >>> Limits(5, requests_per_minute=60)
    Limits(concurrency=5, requests_per_minute=60, tokens_per_minute=None, max_wait=600)
    """

    concurrency: int | None = None
    requests_per_minute: float | None = field(default=None, kw_only=True)
    tokens_per_minute: float | None = field(default=None, kw_only=True)
    max_wait: float = field(default=600, kw_only=True)

    @property
    def most(self) -> int:
        """Most requests in flight at once, the default included."""
        return self.concurrency or DEFAULT_CONCURRENCY

    def __post_init__(self) -> None:
        c = self.concurrency
        if c is not None and (isinstance(c, bool) or not isinstance(c, int) or not 1 <= c <= 10_000):
            raise ConfigError(f"concurrency must be a whole number from 1 to 10,000, got {quoted(c)}")
        for name in ("requests_per_minute", "tokens_per_minute", "max_wait"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0):
                raise ConfigError(f"{name} must be a number above 0, got {quoted(value)}")
