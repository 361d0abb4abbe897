"""Write a table to a file, which appears when it is whole, or to standard output."""

from __future__ import annotations

import csv
import io
import os
import sys
from pathlib import Path
from typing import Any, Literal

import orjson
import pandas as pd

from ...engine.storage.file_replacement import replacement
from ...errors import ParameterError
from ...text import warn
from ...verbs.report.excel import write_sheets
from .file_formats import STANDARD, TABLE_FORMAT, Format, TableFormat, format_of
from .formula_escaping import escape, mapped

_EXCEL_CELL = 32_767


def check_target(path: str, form: TableFormat = TABLE_FORMAT) -> None:
    """Raise before anything is sent where a table can't be written to a path."""
    kind = format_of(path, form.name)
    if path == STANDARD:
        if kind in ("parquet", "xlsx") and sys.stdout.isatty():
            raise ParameterError(f"{kind} is not for a terminal: give --output, or send it to a file or program")
        return
    target = Path(path).expanduser()
    if target.is_dir():
        raise ParameterError(f"{path} is a folder: give --output the name of a file in it")
    if not os.access(target if _is_stream(target) else target.parent, os.W_OK):
        raise ParameterError(f"{path} can't be written: the folder {target.parent} is missing or can't be written to")


def write_table(df: pd.DataFrame, path: str, form: TableFormat = TABLE_FORMAT) -> None:
    """Write a table in the format of the path; a file that is there is replaced by the whole new one."""
    data = table_bytes(df, format_of(path, form.name), form)
    if path == STANDARD:
        _write_whole(data)
        return
    target = Path(path).expanduser()
    if _is_stream(target):
        target.write_bytes(data)
        return
    target = target.resolve()  # the file behind a link is replaced, not the link
    with replacement(target, 0o666) as part:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            part.chmod(target.stat().st_mode & 0o777)


def _is_stream(target: Path) -> bool:
    """Return whether a path is that of a device or a pipe, such as /dev/stdout, which is written to and never replaced."""
    redirectable = str(target) in ("/dev/stdout", "/dev/stderr") or target.is_relative_to("/dev/fd")
    return redirectable or (target.exists() and not target.is_file())


def _write_whole(data: bytes) -> None:
    """Write to standard output, which may take a part at a time: with PYTHONUNBUFFERED it has no buffer."""
    rest = memoryview(data)
    while rest:
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.buffer.flush()


def table_bytes(df: pd.DataFrame, kind: Format, form: TableFormat = TABLE_FORMAT) -> bytes:
    """Return a table in a format; ``form.escape`` keeps spreadsheets from running texts as formulas."""
    if kind == "parquet":
        return df.to_parquet(index=False)
    if kind == "xlsx":
        buffer = io.BytesIO()
        _warn_of_cut_cells(df)
        write_sheets(buffer, {"Sheet1": df}, "UTC", formulas=not form.escape)
        return buffer.getvalue()
    if kind == "jsonl":
        return b"".join(_json_lines(df))
    plain = df.assign(**{name: df[name].map(_json_text) for name in df.columns if df[name].dtype == object})
    text = _delimited(mapped(plain, escape) if form.escape else plain, form.delimiter_of(kind))
    return text.encode("utf-8", "surrogatepass")


def _warn_of_cut_cells(df: pd.DataFrame) -> None:
    """Warn of texts that a cell of Excel can't hold; they are cut, and the other formats hold them."""
    longest = {str(name): max((len(value) for value in df[name] if isinstance(value, str)), default=0) for name in df.columns}
    if cut := [name for name, length in longest.items() if length > _EXCEL_CELL]:
        warn(f"cells of {', '.join(map(repr, cut))} are cut after {_EXCEL_CELL:,} characters, which is the most that Excel holds")


def _delimited(df: pd.DataFrame, separator: str) -> str:
    """Return a table as CSV; a carriage return in a cell would end a line, unless it is in quotes."""

    def text(quoting: Literal[0, 2]) -> str:
        return df.to_csv(None, index=False, sep=separator, lineterminator="\n", quoting=quoting)

    plain = text(csv.QUOTE_MINIMAL)
    return text(csv.QUOTE_NONNUMERIC) if "\r" in plain else plain


def _json_lines(df: pd.DataFrame) -> Any:
    names = [str(name) for name in df.columns]
    table = df.astype(object)
    for row in table.where(table.notna(), None).itertuples(index=False, name=None):
        record = dict(zip(names, row, strict=True))
        yield orjson.dumps(record, default=_plain, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)


def _plain(value: Any) -> str:
    """Return what JSON has no type for as text: times by ISO 8601."""
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _json_text(value: Any) -> Any:
    """Return lists and objects as JSON; other values as they are."""
    return orjson.dumps(value, default=_plain).decode() if isinstance(value, (list, dict)) else value
