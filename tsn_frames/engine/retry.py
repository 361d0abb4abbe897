"""What one attempt's end means: an answer, a refusal, another try, a row's failure, or the end of the run. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ..api import Completion, Unreadable, decode, error_of
from ..errors import AuthenticationError, BalanceError, ConfigError, ModelError, RedirectError, RowError, RunError
from ..secret import Secret, redact
from ..text import quoted
from .limits.rate_headers import RetryAfter, retry_after
from .transport.http_types import HttpFailure, HttpResponse

Kind = Literal["answer", "refused", "retry", "row_error", "end_run"]
SINGLED_OUT = 12  # at random, one refusal in five, a row meets this once in 250 million
_SAID = {"invalid_api_key": 401, "insufficient_balance": 402, "model_not_found": 404, "rate_limit_exceeded": 429}
TIMED_OUT = frozenset({408, 499, 504, 524})  # a gateway stopped waiting; the model may have worked on it, and be paid
AGAIN = frozenset({408, 409, 425, 500, 502, 504, *range(520, 530)})


@dataclass(frozen=True)
class Retry:
    """How often a failure is tried again.

    Parameters
    ----------
    attempts : int, default 6
        Most attempts of one row; refusals (429, 503) are flow control and don't count.
    unreadable : int, default 2
        Most attempts of a row whose answers arrive, and may be billed, but can't be read.
    budget : int, default 100
        Retries that a whole run may use, plus one for each ten rows; a success gives a tenth back. A dead server ends
        the run when it is used up.
    backoff : float, default 0.5
        Seconds: the n-th wait is drawn from 0 to ``backoff * 2**n`` (full jitter), at most ``backoff_max``.
    backoff_max : float, default 30

    Examples
    --------
    >>> Retry(attempts=3).attempts
    3
    """

    attempts: int = 6
    unreadable: int = 2
    budget: int = 100
    backoff: float = 0.5
    backoff_max: float = 30.0

    def __post_init__(self) -> None:
        for name, least in (("attempts", 1), ("unreadable", 1), ("budget", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{name} must be a whole number of at least {least}, got {quoted(value)}")
        for name in ("backoff", "backoff_max"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ConfigError(f"{name} must be a number of seconds, got {quoted(value)}")
        if not 0 < self.backoff <= self.backoff_max < float("inf"):
            raise ConfigError(f"backoff must be above 0 and at most backoff_max, got {self.backoff} and {self.backoff_max}")

    def delay(self, attempt: int, jitter: Callable[[], float] = random.random) -> float:
        """Return the seconds before the next attempt, after ``attempt`` failed ones."""
        return float(jitter() * min(self.backoff_max, self.backoff * 2 ** min(attempt, 32)))


class Classification(NamedTuple):
    """What one attempt's end means for its row and for the run."""

    kind: Kind
    error: RowError | None = None
    end: type[RunError] | None = None
    wait: RetryAfter = RetryAfter()
    billed: Literal["no", "yes", "unknown"] = "no"
    completion: Completion | None = None
    quota: bool = False


def classify(result: HttpResponse | HttpFailure, secret: Secret) -> Classification:
    """Return what an answer or a failure to get one means."""
    if isinstance(result, HttpFailure):
        return Classification("refused" if result.code == "connection" and not result.sent else "retry",
                       RowError(result.code, redact(result.message, secret)), billed="unknown" if result.sent else "no")  # fmt: skip
    if 200 <= result.status < 300:
        return _success(result, secret)
    message, code = error_of(result.body)
    shown = redact(message, secret) or "no message"
    if 300 <= result.status < 400:
        place = redact(result.headers.get("location", "nowhere"), secret)
        return Classification("end_run", RowError("server", f"the service redirects ({result.status}) to {place}"), RedirectError)
    return _status(result.status, code, shown, retry_after(result.headers, message))


def _success(answer: HttpResponse, secret: Secret) -> Classification:
    try:
        return Classification("answer", billed="yes", completion=decode(answer.body))
    except Unreadable as problem:
        message, code = error_of(answer.body)
        if code in _SAID:  # an error under a 200, as some gateways send it
            return _status(_SAID[code], code, redact(message, secret), retry_after(answer.headers, message))
        start = redact(answer.body[:200].decode("utf-8", "replace"), secret, most=120)
        said = f"{redact(str(problem), secret)}; it begins: {start!r}" if start else "the answer is empty"
        return Classification("retry", RowError("unreadable", said), billed="unknown")


def _status(status: int, code: str, shown: str, wait: RetryAfter) -> Classification:
    if status in (401, 402, 403) or (status == 429 and code == "insufficient_quota"):
        return _account(status, code, shown)
    if status == 404:
        return Classification("end_run", RowError("model", f"the service answered 404: {shown}"), ModelError)
    if status in (429, 503):
        quota = status == 429
        return Classification(
            "refused", RowError("not_sent" if quota else "server", f"{status}: {shown}"), wait=wait, quota=quota
        )
    if status in AGAIN or status >= 500:
        return Classification("retry", RowError("server", f"{status}: {shown}"), wait=wait, billed=_billed(status))
    return Classification("row_error", RowError("bad_request", f"{status}: {shown}"), billed=_billed(status))


def _billed(status: int) -> Literal["no", "unknown"]:
    return "unknown" if status in TIMED_OUT else "no"


def _account(status: int, code: str, shown: str) -> Classification:
    balance = status == 402 or code in ("insufficient_balance", "insufficient_quota", "billing_error")
    if status == 403 and not balance and code not in ("auth_error", "invalid_api_key"):
        return Classification("row_error", RowError("bad_request", f"403: {shown}"))
    kind = BalanceError if balance else AuthenticationError
    return Classification("end_run", RowError("not_sent", f"{status}: {shown}"), kind)


def out_of_attempts(policy: Retry, error: RowError, attempts: int) -> bool:
    """Return whether a row has had its last attempt."""
    return attempts >= (policy.unreadable if error.code == "unreadable" else policy.attempts)


def lone_wait(refusals: int, wait: RetryAfter) -> float:
    """Return the seconds that a refusal delays its own row, where it does not pause everybody."""
    if wait.seconds is not None:
        return max(wait.seconds, min(10.0, 0.01 * 2.0**refusals))
    return min(0.1 * 2.0**refusals, wait.message or 10.0, 10.0)


def headers_of(result: HttpResponse | HttpFailure) -> Mapping[str, str]:
    """Return the headers of an answer, or none."""
    return result.headers if isinstance(result, HttpResponse) else {}
