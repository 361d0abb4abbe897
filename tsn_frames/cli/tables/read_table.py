"""Read a table from a file or standard input; texts stay as they are written."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import orjson
import pandas as pd

from ...errors import ParameterError
from .file_formats import STANDARD, TABLE_FORMAT, TableFormat, format_of
from .formula_escaping import mapped, unescape


def read_table(path: str, form: TableFormat = TABLE_FORMAT) -> pd.DataFrame:
    """Return the table of a file, or of standard input, which is ``-``.

    All columns of CSV are texts, so that ``007`` stays ``007``; an empty cell is missing. The other formats have types of their own.
    """
    kind = format_of(path, form.name)
    name = "standard input" if path == STANDARD else path
    data = _bytes(path)
    if kind == "parquet":
        frame = _attempt(name, lambda: pd.read_parquet(io.BytesIO(data)))
        return (frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()).rename(columns=str)
    if kind == "xlsx":
        frame = _attempt(name, lambda: pd.read_excel(io.BytesIO(data), dtype=object, keep_default_na=False, na_values=[""]))
        return frame.infer_objects().rename(columns=str)
    text = _decoded(data, name, form.encoding)
    if not text.strip():
        raise ParameterError(
            f"{name} is empty: " + ("no rows" if kind == "jsonl" else "a line with the names of the columns is needed")
        )
    if kind == "jsonl":
        return _json_lines(text, name)
    frame = _delimited(text, name, form.delimiter_of(kind))
    return mapped(frame, unescape) if form.escape else frame


def _bytes(path: str) -> bytes:
    if path == STANDARD:
        return sys.stdin.buffer.read()
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise ParameterError(f"{path} can't be read: {error.strerror}") from None


def _decoded(data: bytes, name: str, encoding: str) -> str:
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        raise ParameterError(f"there is no encoding {encoding!r}: try utf-8, cp1252, utf-16") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ParameterError(
            f"{name} is not {encoding}: byte 0x{data[error.start]:02x} at position {error.start:,}, in line {line:,}. "
            "Give its encoding, such as --encoding cp1252 for files of Windows, or save it as UTF-8"
        ) from None


def _delimited(text: str, name: str, separator: str) -> pd.DataFrame:
    one_column = separator not in text.partition("\n")[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
        return _attempt(
            name,
            lambda: pd.read_csv(
                io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, na_values=[""], index_col=False,
                skip_blank_lines=not one_column,  # where there is one, a blank line is a row without a text
            ),
        )  # fmt: skip


def _json_lines(text: str, name: str) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(orjson.loads(line))
            except ValueError as error:
                raise ParameterError(f"line {number:,} of {name} is not JSON: {error}") from None
            if not isinstance(rows[-1], dict):
                raise ParameterError(f'line {number:,} of {name} is not an object such as {{"text": "..."}}')
    names = dict.fromkeys(key for row in rows for key in row)
    return pd.DataFrame({key: _column([row.get(key) for row in rows]) for key in names})


def _column(values: list[Any]) -> Any:
    """Return values of JSON as a column; whole numbers stay whole where some are missing."""
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {int} and None in values:
        return pd.array(values, dtype="Int64")
    if kinds <= {str, int, float, bool} and len(kinds) == 1:
        return pd.Series(values)
    return pd.Series(values, dtype=object)


def _attempt(name: str, read: Any) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = read()
    except (ValueError, OSError, KeyError, BadZipFile, pd.errors.ParserWarning) as error:
        raise ParameterError(f"{name} can't be read: {' '.join(str(error).split())}") from None
    return frame
