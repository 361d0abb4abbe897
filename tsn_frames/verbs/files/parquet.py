"""Read a Parquet file in pieces, and write a directory of Parquet parts, each renamed to its final name when it is whole.

So the directory can be read at any time. The stamp of the call is in the schema of each part; there is no other state.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...api import Requests
from ...engine.outcomes import Outcomes
from ...errors import ConfigError, ParameterError
from ...frames.arrow import chunked, with_columns
from ...frames.output_columns import Layout, build
from ...frames.values import check_distinct
from ...text import plural, quoted

_PART = re.compile(r"part-\d{5,}\.parquet")
_STAMP = b"tsn_frames"


def _parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise ConfigError("Parquet files need pyarrow: pip install 'tsn-frames[parquet]'") from None
    return parquet


class Source:
    """A Parquet file, or a directory of them, read a piece at a time."""

    def __init__(self, path: str | Path, chunksize: int) -> None:
        self.path, self.chunksize = _path("source", path), chunksize
        self._files = _files(self.path)
        found = [_metadata(file) for file in self._files]
        self.schema, self.rows = _common_schema(self._files, [schema for schema, _ in found]), sum(rows for _, rows in found)
        check_distinct(pd.Index(self.schema.names), str(self.path))

    @property
    def parts(self) -> int:
        """The number of pieces; an empty file has one without rows."""
        return -(-self.rows // self.chunksize) or 1

    def pieces(self) -> Iterator[Any]:
        """Yield tables of ``chunksize`` rows; the last one has the rest."""
        yield from chunked(self._batches(), self.chunksize, self.schema) if self.rows else [self.schema.empty_table()]

    def _batches(self) -> Iterator[Any]:
        import pyarrow as pa

        for path in self._files:
            with _opened(path) as file:
                for batch in file.iter_batches(min(self.chunksize, 65_536)):
                    yield from pa.Table.from_batches([batch]).select(self.schema.names).cast(self.schema).to_batches()


def _common_schema(files: Sequence[Path], schemas: Sequence[Any]) -> Any:
    """Return one schema for the files of a folder: the order of the first, a type for columns without values, long strings."""
    import pyarrow as pa

    common = schemas[0]
    for file, schema in zip(files[1:], schemas[1:], strict=True):
        if sorted(schema.names) != sorted(common.names):
            raise ParameterError(f"{file} has other columns or types than {files[0].name}")
        for at, name in enumerate(common.names):
            mine, other = common.field(at), schema.field(schema.get_field_index(name))
            if mine.type == other.type or pa.types.is_null(other.type):
                continue
            texts = [pa.types.is_string(kind) or pa.types.is_large_string(kind) for kind in (mine.type, other.type)]
            if not pa.types.is_null(mine.type) and not all(texts):
                raise ParameterError(
                    f"{file} has other columns or types than {files[0].name}: {name!r} is {other.type} and {mine.type}"
                )
            common = common.set(at, mine.with_type(pa.large_string() if all(texts) else other.type))
    return common


@dataclass(frozen=True)
class Target:
    """A directory of parts."""

    path: Path
    schema: Any  # of every part, with the stamp
    labels: Sequence[str]  # the added columns
    parts: int  # that a whole output has

    def open(self, *, overwrite: bool) -> None:
        """Make the directory, or reuse that of the same call; only parts of another call, and only with ``overwrite``, are deleted.

        A first part without rows is written at once.
        """
        try:
            if self.path.is_dir():
                self._clear(overwrite)
            self.path.mkdir(exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ParameterError(f"{self.path} is a file; the output is a directory of parts: give another name") from None
        except FileNotFoundError:
            raise ParameterError(f"there is no folder {self.path.parent} to write {self.path.name} into") from None
        if not self._part(0).exists():
            self._write(0, self.schema.empty_table())

    def write(self, number: int, source: Any, answered: pd.DataFrame) -> None:
        """Write one part: a piece of the source with its added columns."""
        table = with_columns(source, answered[list(self.labels)])
        self._write(number, table.cast(self.schema).replace_schema_metadata(self.schema.metadata))

    def written(self) -> int:
        """Return how many parts are written, also by an earlier call; the first one counts only with rows."""
        try:
            first = _metadata(self._part(0))[1] > 0
        except ParameterError:
            first = False
        return first + sum(self._part(number).exists() for number in range(1, self.parts))

    def _write(self, number: int, table: Any) -> None:
        unfinished = self.path / f".part-{number:05}-{uuid.uuid4().hex}.tmp"  # readers of a directory ignore hidden files
        try:
            _parquet().write_table(table, unfinished)
            unfinished.replace(self._part(number))
        finally:
            unfinished.unlink(missing_ok=True)

    def _part(self, number: int) -> Path:
        return self.path / f"part-{number:05}.parquet"

    def _clear(self, overwrite: bool) -> None:
        """Delete unfinished files of a killed call, and parts of another call."""
        found = sorted(self.path.iterdir())
        unfinished = [file for file in found if file.name.startswith(".part-") and file.name.endswith(".tmp")]
        others = [file for file in found if not _PART.fullmatch(file.name) and file not in unfinished]
        if others:
            raise ParameterError(f"{self.path} holds {others[0].name!r}, which is not part of an output: give another folder")
        made = [file for file in found if file not in unfinished]
        foreign = [file for file in made if not self._is_ours(file)]
        if foreign and not overwrite:
            raise ParameterError(
                f"{self.path} holds {plural(len(foreign), 'part')} of another call (another prompt, parameter, chunksize or "
                "column): give another folder, or overwrite=True to delete them"
            )
        late = {self._part(at) for at in range(self.parts)}
        for file in [*unfinished, *(file for file in made if file in foreign or file not in late)]:
            file.unlink(missing_ok=True)

    def _is_ours(self, file: Path) -> bool:
        try:
            metadata = _metadata(file)[0].metadata or {}
        except ParameterError:
            return False
        return bool(metadata.get(_STAMP) == self.schema.metadata[_STAMP])


def target_of(path: str | Path, source: Source, wanted: Layout, stamp: str) -> Target:
    """Return the target of a source, with one schema for all parts: its columns and the added ones."""
    where = _path("target", path)
    if where.resolve() == source.path.resolve() or source.path.resolve() in where.resolve().parents:
        raise ParameterError(f"target {where} is the source, or lies in it: give another name")
    import pyarrow as pa

    added = pd.DataFrame(build(Outcomes(0), Requests({}, (), ()), np.zeros(0, np.int64), {}, wanted))
    plain = added.drop(columns=wanted.label("logprobs"), errors="ignore")  # these are written as JSON texts
    described = pa.Schema.from_pandas(plain, preserve_index=False).pandas_metadata["columns"]
    known = json.loads((source.schema.metadata or {}).get(b"pandas", b'{"index_columns": [], "column_indexes": []}'))
    mine = {entry["name"] for entry in described}
    known["columns"] = [*(entry for entry in known.get("columns", []) if entry["name"] not in mine), *described]
    schema = with_columns(source.schema.empty_table(), added).schema.remove_metadata()
    about = {"asked": stamp, "columns": schema.to_string(), "chunksize": source.chunksize}
    metadata = {**(source.schema.metadata or {}), b"pandas": json.dumps(known).encode(), _STAMP: json.dumps(about).encode()}
    return Target(where, schema.with_metadata(metadata), wanted.labels, source.parts)


def _path(name: str, given: object) -> Path:
    if not isinstance(given, (str, Path)) or not str(given).strip():
        raise ParameterError(f"{name} must be the path of a Parquet file, got {quoted(given)}")
    return Path(given).expanduser()


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(file for file in path.glob("*.parquet") if not file.name.startswith((".", "_")))
        if not files:
            raise ParameterError(f"the folder {path} has no .parquet files in it")
        return files
    if not path.exists():
        raise ParameterError(
            f"there is no file {path}; the current folder is {Path.cwd().name}: give the path from there, or a whole one"
        )
    if path.suffix.lower() in (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".feather", ".xlsx"):
        raise ParameterError(
            f"{path.name} is not a Parquet file: its types are unknown until all of it is read. Make one first, "
            f"for example with DuckDB: COPY '{path.name}' TO '{path.stem}.parquet'"
        )
    return [path]


def _metadata(file: Path) -> tuple[Any, int]:
    """Return a file's schema and number of rows, from its footer."""
    with _opened(file) as opened:
        return opened.schema_arrow, opened.metadata.num_rows


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Open a file; the error names it where it can't be read."""
    parquet = _parquet()
    import pyarrow as pa

    try:
        with parquet.ParquetFile(file) as opened:
            yield opened
    except (pa.ArrowException, OSError) as error:
        raise ParameterError(
            f"{file} can't be read as Parquet: {str(error).rstrip('.')}. DataFrame.to_parquet writes such a file"
        ) from None
