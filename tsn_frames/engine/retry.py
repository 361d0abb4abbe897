"""Classify the end of an attempt: an answer, a refusal, another try, a row's error, or the end of the run. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ..api import Completion, EmptyAnswer, ErrorAnswer, Meaning, ServiceError, Unreadable, Usage, decode, error_of
from ..api.dialects.error_tables import STATUS
from ..errors import AuthenticationError, BalanceError, ConfigError, ModelError, RedirectError, RowError, RunError, ServerError
from ..secret import Secret, redact
from ..text import quoted
from .limits.rate_headers import retry_after
from .transport.http_types import HttpFailure, HttpResponse

Kind = Literal["answer", "refused", "retry", "row_error", "end_run"]
Billed = Literal["no", "yes", "unknown"]
SINGLED_OUT = 12  # at random, one refusal in five, a row meets this once in 250 million
MASKED_BYTES = 50_000  # of a body that can't be read: keys are masked in it before it is cut
SUSPICIONS = 4  # first rows that are all refused in such words: no echo of one prompt
TIMED_OUT = frozenset({408, 499, 504, 524})  # a gateway stopped waiting; the model may have worked, and be billed
_ACCOUNT = frozenset({401, 402, 403, 404})
# Numbers of a refusal of key, balance, model or endpoint, as a status or, under another status, in the error itself.
_SUSPECT_NUMBERS: dict[int, type[RunError]] = {
    401: AuthenticationError, 402: BalanceError, 403: AuthenticationError, 404: ModelError, 405: ModelError, 410: ModelError,
}  # fmt: skip
_END: dict[Meaning, type[RunError]] = {"key": AuthenticationError, "balance": BalanceError, "model": ModelError}
AGAIN = frozenset({408, 409, 425, 500, 502, 504, *range(520, 530)})


@dataclass(frozen=True)
class Retry:
    """How often a failure is tried again.

    Parameters
    ----------
    attempts : int, default 6
        Most attempts of one row; refusals (429, 503) are flow control and don't count.
    unreadable : int, default 2
        Most attempts of a row whose answers arrive, and may be billed, but can't be read, or are empty and didn't end well.
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
    """What the end of an attempt means for its row and for the run."""

    kind: Kind
    error: RowError | None = None
    end: type[RunError] | None = None
    wait: float | None = None  # seconds that the service asks for
    billed: Billed = "no"
    completion: Completion | None = None
    quota: bool = False
    # The end of the run that this refusal would be if more rows met it: its words could be an echo of one prompt.
    suspect: type[RunError] | None = None
    usage: Usage = Usage()  # what was billed, also without an answer


def classify(result: HttpResponse | HttpFailure, secret: Secret) -> Classification:
    """Return what an answer or a failure to get one means."""
    if isinstance(result, HttpFailure):
        kind: Kind = "refused" if result.code == "connection" and not result.sent else "retry"
        error = RowError(result.code, redact(result.message, secret))
        return Classification(kind, error, billed="unknown" if result.sent else "no")
    if 200 <= result.status < 300:
        return _success(result, secret)
    if 300 <= result.status < 400:
        place = redact(result.headers.get("location", "nowhere"), secret)
        error = RowError("server", f"the service redirects ({result.status}) to {place}")
        return Classification("end_run", error, RedirectError)
    found = error_of(result.body)
    billed: Billed = "unknown" if result.status in TIMED_OUT else "no"
    return _error(result.status, found, secret, _wait(result, found), certain=True)._replace(billed=billed)


def _wait(answer: HttpResponse, error: ServiceError) -> float | None:
    """Return the seconds that an error asks to wait, in its headers, its body or its message."""
    return retry_after({**error.waits, **answer.headers}, error.message)


def _success(answer: HttpResponse, secret: Secret) -> Classification:
    try:
        completion = decode(answer.body)
    except ErrorAnswer as problem:
        return _error_answer(answer, problem, secret)
    except EmptyAnswer as problem:
        error = RowError("empty", redact(str(problem), secret))
        return Classification("retry", error, billed=problem.billed, usage=problem.usage)
    except Unreadable as problem:
        start = redact(answer.body[:MASKED_BYTES].decode("utf-8", "replace"), secret, most=120)
        message = f"{redact(str(problem), secret)}; it begins: {start!r}" if start else "the answer is empty"
        return Classification("retry", RowError("unreadable", message), billed="unknown")
    return Classification("answer", billed="yes", completion=completion, usage=completion.usage)


def _error_answer(answer: HttpResponse, problem: ErrorAnswer, secret: Secret) -> Classification:
    """Judge an error under a 200 as the status that it names; only what its usage counts was billed."""
    error = problem.error
    found = _error(error.status_under_200(), error, secret, _wait(answer, error), certain=bool(error.coded or error.status))
    kind: Kind = "retry" if found.kind == "refused" and problem.billed == "yes" else found.kind  # refusals aren't counted
    return found._replace(kind=kind, billed=problem.billed, usage=problem.usage)


def _error(status: int, found: ServiceError, secret: Secret, wait: float | None, *, certain: bool) -> Classification:
    """Return what an error means: by its status, by what its codes name, and by its words.

    ``certain`` is whether the status is more than a guess from the words.
    """
    coded, meaning = found.coded, found.coded or found.worded
    text = f"{status}: {redact(found.message, secret) or 'no message'}"
    if status == 413 or (status not in _ACCOUNT and "too_long" in (coded, found.worded)):
        return Classification("row_error", RowError("too_long", text))
    suspect = _END.get(meaning) if meaning else _SUSPECT_NUMBERS.get(found.status or 0)
    if certain and (end := _run_end(status, coded, meaning)):
        answered = f"the service answered {text}"
        return Classification("end_run", RowError("model" if end is ModelError else "not_sent", answered), end)
    if status < 500 and coded in ("rate", "overloaded"):
        status = STATUS[coded]
    if status in (429, 503):
        quota = status == 429
        error = RowError("not_sent" if quota else "server", text)
        return Classification("refused", error, wait=wait, quota=quota, suspect=suspect)
    if meaning == "filtered" and status < 500:
        return Classification("row_error", RowError("filtered", text))
    if not certain or status in AGAIN or status >= 500:
        return Classification("retry", RowError("server", text), wait=wait, suspect=suspect)
    return Classification("row_error", RowError("bad_request", text), suspect=suspect or _SUSPECT_NUMBERS.get(status))


def _run_end(status: int, coded: Meaning | None, meaning: Meaning | None) -> type[RunError] | None:
    """Return how the run ends where an error is beyond doubt about the key, the balance or the model."""
    if status == 401:
        return BalanceError if meaning == "balance" else AuthenticationError
    if status in (402, 404):
        return BalanceError if status == 402 else ModelError
    if coded is None or status >= 500 or (status == 429 and coded != "balance"):
        return None
    return _END.get(coded)


class Suspicions:
    """Refusals whose words name the key, the balance or the model, kept per model until it answers.

    After answers only refusals that hold the run up count: other rows have their error at once, and for free.
    """

    def __init__(self, rows: int) -> None:
        self._least_rows, self._answered = min(SUSPICIONS, rows), set[str]()
        self._rows: dict[tuple[type[RunError], str], list[int]] = {}

    def clear(self, model: str) -> None:
        """Forget the refusals of a model that answers: they were not about the whole run."""
        self._answered.add(model)
        if self._rows:
            self._rows = {key: rows for key, rows in self._rows.items() if key[1] != model}

    def confirm(self, verdict: Classification, model: str, row: int) -> bool:
        """Count a refusal and return whether its suspicion is beyond doubt, so that the run ends."""
        answered = model in self._answered
        if verdict.suspect is None or (answered and verdict.kind != "refused"):
            return False
        rows = self._rows.setdefault((verdict.suspect, model), [])
        rows.append(row)
        enough = 2 * SUSPICIONS if answered else SUSPICIONS
        several = verdict.kind == "refused" or len(set(rows)) >= self._least_rows  # refusals hold the run up: one row is enough
        return several and len(rows) >= enough

    def end_of(self, found: Classification, model: str) -> type[RunError]:
        """Return how a run ends that is given up: by what its refusals name, where the model never answered."""
        return found.suspect if found.suspect is not None and model not in self._answered else ServerError


def refusal_wait(refusals: int, asked: float | None, *, alone: bool = False) -> float:
    """Return the seconds until a refused row is sent again: what its refusal asks for, else an exponential backoff.

    A row that is refused alone waits a second at most: its refusals are not the account's.
    """
    return asked or min(0.1 * 2.0**refusals, 1.0 if alone else 10.0)
