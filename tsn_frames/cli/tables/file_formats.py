"""Formats of tables, and which one a path or a standard stream has."""

from __future__ import annotations

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


def format_of(path: str, given: Format | None) -> Format:
    """Return the format of a file by its suffix; of standard input and output, and other files, the given one or CSV.

    Raises
    ------
    ParameterError
        If the suffix says nothing and no format is given.
    ConfigError
        If a package for the format is missing.

    Examples
    --------
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
