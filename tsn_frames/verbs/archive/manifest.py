"""The manifest of an archive: format, versions, and the settings of the client that replays it; and the ledger's lines as JSON."""

from __future__ import annotations

import platform
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from ...api import Unreadable, dumps, load
from ...api.cache_key import SCHEME
from ...engine.cache.replay_cache import ReplayCache
from ...engine.ledger.ledger_file import Entry, Line
from ...engine.ledger.run_record import RunRecord, RunSettings, Saving
from ...engine.runtime.client import Client
from ...errors import CacheError, TSNError
from ...pricing.price_table import Prices

FORMAT = "tsn-frames-archive"
VERSION = 1
MANIFEST, ANSWERS, LEDGER, REPORT = "manifest.json", "answers.jsonl", "ledger.jsonl", "REPORT.md"
_PACKAGES = ("tsn-frames", "pandas", "numpy", "msgspec", "orjson", "diskcache", "pyarrow")
_KINDS: dict[str, Any] = {"run": RunRecord, "settings": RunSettings, "attempt": Entry, "saving": Saving}


def versions() -> dict[str, str]:
    """Return the versions of Python, its platform and the packages that an answer passes through."""
    found = {"python": platform.python_version(), "platform": platform.platform(), "sqlite": sqlite3.sqlite_version}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def manifest_of(client: Client, runs: Iterable[str], frames: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest: what is needed to make the same requests, and no key."""
    prices = None if client.prices is None else client.prices.to_frame().astype(object)
    return {
        "format": FORMAT,
        "version": VERSION,
        "id": uuid.uuid4().hex,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "key_scheme": SCHEME.decode(),
        "versions": versions(),
        "client": {
            "base_url": client.base_url,
            "query": client.query.without_credentials() if client.query else "",
            "model": client.model,
            "allow_http": client.allow_http,
            "prices": None if prices is None else prices.where(prices.notna(), None).to_dict("records"),
        },
        "runs": list(runs),
        "frames": dict(frames),
    }


def checked_manifest(data: bytes, path: Path) -> dict[str, Any]:
    """Return the manifest of an archive that this version can read."""
    try:
        found = load(data)
    except Unreadable as error:
        raise CacheError(f"{path} is damaged: its {MANIFEST} can't be read ({error})") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("version"), int):
        raise CacheError(f"{path} is not an archive of tsn_frames: its {MANIFEST} is another program's")
    if found["version"] > VERSION or found.get("key_scheme") != SCHEME.decode():
        raise CacheError(f"{path} was made by another tsn_frames (archive version {found['version']}, known: {VERSION}): upgrade")
    return found


def client_of(manifest: Mapping[str, Any], folder: Path, path: Path) -> Client:
    """Return the client that replays an extracted archive."""
    try:
        known = manifest["client"]
        return Client(
            known["base_url"],
            model=known["model"],
            query=dict(parse_qsl(known["query"])),
            prices=_prices(known["prices"]),
            allow_http=known["allow_http"],
            cache=ReplayCache(folder / "cache"),
            ledger=folder / "ledger.db",
        )
    except (TSNError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise CacheError(f"{path} is damaged: its {MANIFEST} has no settings of a client ({error})") from None


def _prices(rows: Any) -> Prices | None:
    if rows is None:
        return None
    table: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        given = {name: value for name, value in row.items() if value is not None}
        table.setdefault(given.pop("model"), []).append(given)
    return Prices(table)


def ledger_lines(lines: Iterable[Any]) -> Iterator[bytes]:
    """Yield lines of a ledger as JSON; the texts of prompts are left out."""
    names = {kind: name for name, kind in _KINDS.items()}
    for line in lines:
        values = line._asdict()
        if "request_key" in values:
            values["request_key"] = values["request_key"].hex()
        if "texts" in values:
            values["texts"] = None
        yield dumps({"line": names[type(line)], **values}) + b"\n"


def parsed_ledger(data: bytes, path: Path) -> Iterator[Line]:
    """Yield the lines of a ledger; their types are checked by the tables that they are written to."""
    for number, text in enumerate(data.splitlines(), 1):
        try:
            values = load(text)
            kind = _KINDS[values.pop("line")]
            if kind is Entry:
                values["request_key"] = bytes.fromhex(values["request_key"])
            if kind is RunRecord:
                for name in ("models", "tags", "hashes"):
                    load(values[name].encode())
                values["texts"] = None
            yield kind(**values)
        except (Unreadable, KeyError, TypeError, ValueError, AttributeError) as error:
            raise CacheError(f"{path} is damaged: line {number} of its {LEDGER} is not a line of a ledger ({error!r})") from None
