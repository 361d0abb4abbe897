"""Export and import of answers as JSON lines or Parquet. A file is checked completely before any row is imported."""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ...api import Unreadable, decode, dumps, load
from ...errors import CacheError
from ..storage.file_replacement import replacement
from .reader import Row

_COLUMNS = ("request_key", "answered_at", "body")
_FEATURES = "features"  # a last line of JSON lines, or the metadata of the Parquet schema
_METADATA = b"tsn_frames.features"


def export(rows: Iterable[Row], path: Path, features: Mapping[str, Any]) -> int:
    """Write rows and the services' features to a ``.jsonl`` or ``.parquet`` file, which replaces an existing one when complete."""
    write = _write_parquet if _suffix(path) == ".parquet" else _write_lines
    try:
        with replacement(path) as part:
            return write(rows, part, features)
    except OSError as error:
        raise CacheError(f"{path} can't be written: {error}") from None


def read(path: Path) -> tuple[list[Row], dict[str, Any]]:
    """Return the answers of an exported file, and the services' features."""
    suffix = _suffix(path)
    if not path.is_file():
        raise CacheError(f"there is no file {path}")
    features: dict[str, Any] = {}
    found = _read_parquet(path, features) if suffix == ".parquet" else _read_lines(path, features)
    return [_checked(number, row, path) for number, row in enumerate(found, 1)], features


def _suffix(path: Path) -> str:
    if path.suffix not in (".jsonl", ".parquet"):
        raise CacheError(f"a cache is exported to .jsonl or .parquet, not to {path.name!r}")
    return path.suffix


def _write_lines(rows: Iterable[Row], path: Path, features: Mapping[str, Any]) -> int:
    count = 0
    with path.open("wb") as file:
        for key, body, when in rows:
            line = dict(zip(_COLUMNS, (key.hex(), when, base64.b64encode(body).decode()), strict=True))
            file.write(dumps(line) + b"\n")
            count += 1
        if features:
            file.write(dumps({_FEATURES: dict(features)}) + b"\n")
    return count


def _read_lines(path: Path, features: dict[str, Any]) -> Iterator[Any]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                data = json.loads(line)
                if data.keys() == {_FEATURES}:
                    features.update(data[_FEATURES])
                    continue
                yield bytes.fromhex(data["request_key"]), base64.b64decode(data["body"], validate=True), data["answered_at"]
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise CacheError(f"{path}, line {number}, is not an exported answer: {error!r}") from None


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise CacheError("Parquet needs pyarrow: pip install 'tsn-frames[parquet]', or use a .jsonl file") from None
    return pyarrow


def _write_parquet(rows: Iterable[Row], path: Path, features: Mapping[str, Any]) -> int:
    pa = _pyarrow()
    schema = pa.schema([("request_key", pa.binary()), ("answered_at", pa.float64()), ("body", pa.binary())])
    schema = schema.with_metadata({_METADATA: dumps(dict(features))} if features else None)
    count, rest = 0, iter(rows)
    with pa.parquet.ParquetWriter(path, schema) as writer:
        while chunk := list(islice(rest, 10_000)):
            columns = {"request_key": [r[0] for r in chunk], "answered_at": [r[2] for r in chunk], "body": [r[1] for r in chunk]}
            writer.write_table(pa.table(columns, schema=schema))
            count += len(chunk)
    return count


def _read_parquet(path: Path, features: dict[str, Any]) -> Iterator[Any]:
    pa = _pyarrow()
    try:
        with pa.parquet.ParquetFile(path) as file:
            stored = (file.schema_arrow.metadata or {}).get(_METADATA)
            features.update(load(stored) if stored else {})
            for batch in file.iter_batches(10_000, columns=list(_COLUMNS)):
                yield from ((row["request_key"], row["body"], row["answered_at"]) for row in batch.to_pylist())
    except (pa.ArrowException, KeyError, OSError, Unreadable, TypeError, ValueError) as error:
        raise CacheError(f"{path} is not an exported cache: {error}") from None


def _checked(number: int, row: Any, path: Path) -> Row:
    key, body, when = row
    dated = type(when) in (int, float) and 0 <= when < math.inf
    if type(key) is not bytes or len(key) != 32 or type(body) is not bytes or not dated:
        raise CacheError(f"{path}, row {number}, is not an exported answer")
    try:
        decode(body)
    except Unreadable as problem:
        raise CacheError(f"{path}, row {number}, holds no readable answer: {problem}") from None
    return key, body, float(min(when, time.time()))
