"""Export and import of answers as JSON lines or Parquet. A file is checked completely before any row is imported."""

from __future__ import annotations

import base64
import json
import math
import time
import uuid
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ...api import Unreadable, decode, dumps
from ...errors import CacheError
from .reader import Row

_COLUMNS = ("request_key", "answered_at", "body")


def export(rows: Iterable[Row], path: Path) -> int:
    """Write rows to a ``.jsonl`` or ``.parquet`` file, which replaces an existing one when complete."""
    write = _write_parquet if _suffix(path) == ".parquet" else _write_lines
    try:
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        try:
            part.touch(0o600, exist_ok=False)  # its owner's only
            count = write(rows, part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise CacheError(f"{path} can't be written: {error}") from None
    return count


def read(path: Path) -> list[Row]:
    """Return the rows of an exported file.

    Raises
    ------
    CacheError
        If the file or one of its rows was not written by :func:`export`.
    """
    suffix = _suffix(path)
    if not path.is_file():
        raise CacheError(f"there is no file {path}")
    found = _read_parquet(path) if suffix == ".parquet" else _read_lines(path)
    return [_checked(number, row, path) for number, row in enumerate(found, 1)]


def _suffix(path: Path) -> str:
    if path.suffix not in (".jsonl", ".parquet"):
        raise CacheError(f"a cache is exported to .jsonl or .parquet, not to {path.name!r}")
    return path.suffix


def _write_lines(rows: Iterable[Row], path: Path) -> int:
    count = 0
    with path.open("wb") as file:
        for key, body, when in rows:
            line = dict(zip(_COLUMNS, (key.hex(), when, base64.b64encode(body).decode()), strict=True))
            file.write(dumps(line) + b"\n")
            count += 1
    return count


def _read_lines(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                data = json.loads(line)
                yield bytes.fromhex(data["request_key"]), base64.b64decode(data["body"], validate=True), data["answered_at"]
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise CacheError(f"{path}, line {number}, is not an exported answer: {error!r}") from None


def _parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise CacheError("Parquet needs pyarrow: pip install 'tsn-frames[parquet]', or use a .jsonl file") from None
    return parquet


def _write_parquet(rows: Iterable[Row], path: Path) -> int:
    parquet = _parquet()
    import pyarrow as pa

    schema = pa.schema([("request_key", pa.binary()), ("answered_at", pa.float64()), ("body", pa.binary())])
    count, rest = 0, iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while chunk := list(islice(rest, 10_000)):
            columns = {"request_key": [r[0] for r in chunk], "answered_at": [r[2] for r in chunk], "body": [r[1] for r in chunk]}
            writer.write_table(pa.table(columns, schema=schema))
            count += len(chunk)
    return count


def _read_parquet(path: Path) -> Iterator[Any]:
    parquet = _parquet()
    import pyarrow as pa

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(10_000, columns=list(_COLUMNS)):
                yield from ((row["request_key"], row["body"], row["answered_at"]) for row in batch.to_pylist())
    except (pa.ArrowException, KeyError, OSError) as error:
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
