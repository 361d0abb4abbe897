"""Statistics: counts, the bill, and a log of exchanges."""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .validation import is_object

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Exchange:
    """One chat request and its response.

    The key never gets here: the header is dropped and only whether one was sent is kept.

    Examples
    --------
    >>> Exchange({"model": "sim-small"}, {}, status=200, seconds=0.1, billed=True, key_sent=True).status
    200
    """

    body: Mapping[str, Any]
    """The parsed body; empty if it could not be parsed."""
    headers: Mapping[str, str]
    """The request's headers, names in lower case, without `authorization`."""
    status: int
    """The HTTP status; 0 if no status line was sent (a hang, a reset, a client that left)."""
    seconds: float
    """From the complete request to the last byte handed to the socket."""
    billed: bool
    key_sent: bool


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Stats:
    """Counts since the simulator started, or since `reset_stats()`.

    Examples
    --------
    >>> print(Stats(requests=3, answers=2, refused=1, statuses={200: 2, 429: 1}))
    3 requests, 2 billed (0 + 0 tokens), 1 refused, 0 at once at most, 0 connections; 200 x 2, 429 x 1
    """

    requests: int = 0
    """POSTs to chat/completions."""
    answers: int = 0
    """Billed answers, also those that a fault kept from the client."""
    billed_by_prompt: Mapping[str, int] = field(default_factory=dict[str, int])
    """Text of the last user message -> how often it was billed."""
    billed_prompt_tokens: int = 0
    billed_completion_tokens: int = 0
    statuses: Mapping[int, int] = field(default_factory=dict[int, int])
    """HTTP status -> answers with it, every endpoint included."""
    refused: int = 0
    """Answers with status 429, by a limit or by a fault."""
    peak_concurrency: int = 0
    """Most chat requests in progress at the same time."""
    connections: int = 0
    """TCP connections accepted."""
    disconnects: int = 0
    """Requests whose client left before the answer was complete."""
    idempotency_keys: Mapping[str, int] = field(default_factory=dict[str, int])
    """Idempotency-Key -> requests that carried it."""
    faults: Mapping[str, int] = field(default_factory=dict[str, int])
    """Name of the fault -> how often it happened."""

    def __repr__(self) -> str:
        return f"<Stats: {self}>"

    def __str__(self) -> str:
        bill = f"{self.billed_prompt_tokens:,} + {self.billed_completion_tokens:,} tokens"
        text = (
            f"{self.requests:,} requests, {self.answers:,} billed ({bill}), {self.refused:,} refused, "
            f"{self.peak_concurrency:,} at once at most, {self.connections:,} connections"
        )
        statuses = ", ".join(f"{status} x {count:,}" for status, count in sorted(self.statuses.items()))
        faults = ", ".join(f"{name} x {count:,}" for name, count in sorted(self.faults.items()))
        return text + (f"; {statuses}" if statuses else "") + (f"; faults: {faults}" if faults else "")


@dataclass(slots=True)
class BillLine:
    """One admitted attempt and its billed tokens: 0 where no model ran."""

    key: str
    """Its Idempotency-Key; empty if none was sent."""
    prompt: str
    """Text of the last user message."""
    fault: str
    """Name of the fault that hit it; empty for a good answer."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


RawExchange = tuple[bytes, str, int, float, bool, bool]
"""An `Exchange` with body and headers as text: thousands of live dicts would slow garbage collection."""


def _parsed(body: bytes) -> Mapping[str, Any]:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if is_object(value) else {}


def _headers(lines: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines.splitlines())
    return {name: value for name, _, value in pairs}


class Tally:
    """The counters behind `Stats`: written by the server's thread, read by any."""

    def __init__(self, keep_log: int) -> None:
        self._lock = threading.Lock()
        self._log: deque[RawExchange] = deque(maxlen=keep_log)
        self._reset()

    def _reset(self) -> None:
        self._counts: Counter[str] = Counter()
        self._statuses: Counter[int] = Counter()
        self._prompts: Counter[str] = Counter()
        self._keys: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._lines: list[BillLine] = []
        self._peak = 0

    def reset(self) -> None:
        """Start to count from zero again."""
        with self._lock:
            self._reset()
            self._log.clear()

    def add(self, name: str) -> None:
        """Count one connection or one disconnect."""
        with self._lock:
            self._counts[name] += 1

    def arrive(self, idempotency_key: str | None) -> None:
        """Count one chat request."""
        with self._lock:
            self._counts["requests"] += 1
            if idempotency_key is not None:
                self._keys[idempotency_key] += 1

    def working(self, now: int) -> None:
        """Record how many requests are in progress."""
        self._peak = max(self._peak, now)

    def fault(self, name: str) -> None:
        """Count one fault."""
        with self._lock:
            self._faults[name] += 1

    def status(self, status: int) -> None:
        """Count one status line."""
        with self._lock:
            self._statuses[status] += 1

    def attempt(self, key: str, prompt: str, fault: str) -> BillLine:
        """Begin the line of an attempt."""
        line = BillLine(key, prompt, fault)
        with self._lock:
            self._lines.append(line)
        return line

    def bill(self, prompt: str, prompt_tokens: int, completion_tokens: int, *, first: bool, line: BillLine | None) -> None:
        """Count the tokens of a billed answer, and the answer itself if these are its first."""
        with self._lock:
            if line is not None:
                line.prompt_tokens += prompt_tokens
                line.completion_tokens += completion_tokens
            if first:
                self._counts["answers"] += 1
                self._prompts[prompt] += 1
            self._counts["billed_prompt_tokens"] += prompt_tokens
            self._counts["billed_completion_tokens"] += completion_tokens

    def lines(self) -> list[BillLine]:
        """Copy the bill, in the order in which the attempts came."""
        with self._lock:
            return [replace(line) for line in self._lines]

    def log(self, raw: RawExchange) -> None:
        """Keep one exchange; the oldest goes when the log is full."""
        with self._lock:
            self._log.append(raw)

    def exchanges(self) -> list[Exchange]:
        """Return the log, with the bodies parsed."""
        with self._lock:
            raws = list(self._log)
        return [Exchange(_parsed(raw[0]), _headers(raw[1]), *raw[2:]) for raw in raws]

    def stats(self) -> Stats:
        """Copy the counters."""
        with self._lock:
            return Stats(
                billed_by_prompt=dict(self._prompts),
                statuses=dict(self._statuses),
                refused=self._statuses[429],
                peak_concurrency=self._peak,
                idempotency_keys=dict(self._keys),
                faults=dict(self._faults),
                **self._counts,
            )
