"""Records of runs (time, hashes of the input, counts, cost) and of the savings by cached and equal rows.

A record is written when a run starts to send and replaced when it ends; a killed run has no end. It holds no prompt and no
answer; ``texts`` has the prompt only with ``Client(keep_prompts=True)``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

TABLES = (
    """CREATE TABLE runs (
        run TEXT PRIMARY KEY, began REAL NOT NULL, ended REAL, verb TEXT NOT NULL, host TEXT NOT NULL, models TEXT NOT NULL,
        tags TEXT NOT NULL, hashes TEXT NOT NULL, texts TEXT, rows INTEGER NOT NULL, distinct_requests INTEGER NOT NULL,
        end TEXT, answered INTEGER, cached INTEGER, copied INTEGER, failed INTEGER, skipped INTEGER, not_sent INTEGER,
        requests INTEGER, refused INTEGER, retried INTEGER, unknown INTEGER, prompt_tokens INTEGER,
        completion_tokens INTEGER, cost TEXT, cost_known INTEGER, currency TEXT, saved TEXT
    ) STRICT""",
    """CREATE TABLE savings (
        id INTEGER PRIMARY KEY, time REAL NOT NULL, run TEXT NOT NULL, host TEXT NOT NULL, model TEXT NOT NULL, tag TEXT,
        kind TEXT NOT NULL, rows INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
        cost TEXT, currency TEXT, price_source TEXT
    ) STRICT""",
)


class RunRecord(NamedTuple):
    """One run. ``end`` is ``done``, ``stopped`` or the error's name; it and all fields after it are None until the run ends.

    ``models`` and ``tags`` are JSON lists, ``hashes`` (see :func:`fingerprint`) and ``texts`` JSON objects.
    """

    run: str
    began: float
    ended: float | None
    verb: str
    host: str
    models: str
    tags: str
    hashes: str
    texts: str | None
    rows: int
    distinct_requests: int
    end: str | None = None
    answered: int | None = None
    cached: int | None = None
    copied: int | None = None
    failed: int | None = None
    skipped: int | None = None
    not_sent: int | None = None
    requests: int | None = None
    refused: int | None = None
    retried: int | None = None
    unknown: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: str | None = None
    cost_known: bool | None = None
    currency: str | None = None
    saved: str | None = None

    def changed(self, hashes: Mapping[str, str]) -> list[str]:
        """Return the names whose hashes differ: ``template``, ``system``, ``model``, ``rows``, parameters.

        >>> record = RunRecord("1", 0.0, None, "complete", "h", "[]", "[]", '{"rows": "a", "system": "b"}', None, 1, 1)
        >>> record.changed({"rows": "a", "system": "c", "temperature": "d"})
        ['system', 'temperature']
        """
        mine = json.loads(self.hashes)
        return [name for name in dict.fromkeys([*mine, *hashes]) if name != "keys" and mine.get(name) != hashes.get(name)]


class Saving(NamedTuple):
    """Cost avoided in one run, for one model and tag; ``kind`` is ``cached`` or ``copied`` (an equal row's answer)."""

    time: float
    run: str
    host: str
    model: str
    tag: str | None
    kind: str
    rows: int
    prompt_tokens: int
    completion_tokens: int
    cost: str | None
    currency: str | None
    price_source: str | None


class RunSettings(NamedTuple):
    """The API's parameters of a run as a JSON object, without texts: ``{"temperature": 0.0, "max_tokens": 100}``."""

    run: str
    settings: str


class KeySet(NamedTuple):
    """The keys of all requests of a call, one after the other, by the hash of them that run records hold as ``keys``.

    It is recorded for calls that took answers from the cache or from another run: no attempt names those.
    """

    keys: str
    request_keys: bytes


class RunDescription(NamedTuple):
    """A verb's description of its run: its name, hashes of its input, its settings and, with ``keep_prompts``, the texts."""

    verb: str = "complete"
    hashes: Mapping[str, str] = {}
    texts: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = {}


def fingerprint(value: Any) -> str:
    """Return a short hash of a JSON-like value, the same in every process and version.

    >>> fingerprint("Summarise: {text}") == fingerprint("Summarise: {text}")
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def distinct_json(values: Iterable[str | None], most: int = 20) -> str:
    """Return a JSON list of the distinct texts in order, at most ``most`` of them."""
    return json.dumps([value for value in dict.fromkeys(values) if value is not None][:most])
