"""Formats of tables, and which one a path or a standard stream has."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from ...errors import ConfigError, ParameterError
from ...text import quoted

Format = Literal["csv", "tsv", "jsonl", "parquet", "xlsx"]
SUFFIXES: dict[str, Format] = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".xlsx": "xlsx",
}  # fmt: skip
STANDARD = "-"
_NEEDS = {"parquet": ("pyarrow", "parquet"), "xlsx": ("openpyxl", "excel")}


@dataclass(frozen=True)
class TableFormat:
    """How tables are read and written."""

    name: Format | None = None  # of standard input and output, and of files whose suffix doesn't say it
    encoding: str = "utf-8"  # of CSV and JSON lines that are read
    escape: bool = True  # whether an apostrophe in CSV keeps spreadsheets from running formulas; it is removed when CSV is read
    delimiter: str | None = None  # between the cells of CSV; default: a comma

    def __post_init__(self) -> None:
        if self.delimiter not in (None, r"\t") and (len(self.delimiter) != 1 or self.delimiter in "\"'\r\n"):
            raise ParameterError(f"--delimiter must be one character such as ';', got {quoted(self.delimiter)}")

    def delimiter_of(self, kind: Format) -> str:
        """Return what stands between the cells of CSV or TSV."""
        return "\t" if kind == "tsv" or self.delimiter == r"\t" else self.delimiter or ","


TABLE_FORMAT = TableFormat()


def format_of(path: str, given: Format | None) -> Format:
    """Return the format of a file by its suffix; of standard input and output, and other files, the given one or CSV.

    >>> format_of("in.parquet", None), format_of("-", None), format_of("-", "jsonl")
    ('parquet', 'csv', 'jsonl')
    """
    suffix = Path(path).suffix.lower()
    found = SUFFIXES.get(suffix) or given or ("csv" if path == STANDARD else None)
    if found is None:
        raise ParameterError(
            f"the format of {quoted(path)} is unknown: give --format, or a name with one of {', '.join(SUFFIXES)}"
        )
    if found in _NEEDS and find_spec(_NEEDS[found][0]) is None:
        package, extra = _NEEDS[found]
        raise ConfigError(f"{found} files need {package}: pip install 'tsn-frames[{extra}]'")
    return found
