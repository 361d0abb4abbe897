"""Frames of Polars and Arrow: converted to pandas where a verb begins, and given the verb's columns where it ends.

No library is imported for it: a frame that is there has its library loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import pandas as pd

from ..errors import ConfigError
from .arrow import arrow_array, arrow_type, to_frame, with_columns
from .values import check_distinct


class Frame(Protocol):
    """A frame of pandas, Polars or Arrow, to type checkers."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the rows as a stream of Arrow."""


FrameT = TypeVar("FrameT", bound=Frame)
Back = Callable[[Any], Any]  # converts a frame of pandas, and returns what is none


class PandasCall(NamedTuple):
    """The arguments of a verb with frames and columns of pandas, and what turns its frame back, if the given one was another."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    back: Back | None


def in_pandas(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> PandasCall:
    """Return a call whose frames and columns of Polars and Arrow are converted; the first argument is the frame."""
    given = args[0] if args else None
    kwargs = {name: _to_pandas(_evaluated(value, given)) for name, value in kwargs.items()}
    args = tuple(map(_to_pandas, args))
    if _kind(given) not in _FRAMES:
        return PandasCall(args, kwargs, None)

    def back(result: Any) -> Any:
        if not isinstance(result, pd.DataFrame):
            return result
        before = args[0]
        changed = [name for name in result.columns if name not in before.columns or not result[name].equals(before[name])]
        return _add_to(given, result[changed])

    return PandasCall(args, kwargs, back)


def advice(value: object) -> str:
    """Return how a frame of pandas is made of something else, for the end of a message; '' where that isn't known."""
    kind = _kind(value)
    return f" of {kind[0]}: {_ADVICE[kind]}" if kind in _ADVICE else ""


_FRAMES = {("polars", "DataFrame"), ("pyarrow", "Table")}
_COLUMNS = {("polars", "Series"), ("pyarrow", "ChunkedArray")}
_ADVICE = {
    ("polars", "LazyFrame"): "it is a query that hasn't run; lf.collect() runs it, and a frame of Polars is taken",
    ("duckdb", "DuckDBPyRelation"): "it is a query that hasn't run; relation.to_arrow_table() runs it, and a table is taken",
    ("pyarrow", "RecordBatch"): "pyarrow.Table.from_batches([batch]) is a table, and a table is taken",
    ("pyarrow", "RecordBatchReader"): "reader.read_all() reads it, and a table is taken",
    ("narwhals", "DataFrame"): "df.to_native() is the frame inside",
    ("narwhals", "LazyFrame"): "lf.collect().to_native() is the frame",
    ("dask", "DataFrame"): "import tsn_frames.dask, and ddf.tsn has complete, label, extract and estimate",
    ("pyspark", "DataFrame"): "import tsn_frames.spark, whose map_batches runs a verb on the executors",
    ("ray", "Dataset"): "ds.map_batches(function, batch_format='pyarrow') runs a verb on the workers",
}


def _kind(value: object) -> tuple[str, str]:
    """Return the library and the name of a value's type."""
    return type(value).__module__.lstrip("_").partition(".")[0], type(value).__name__


def _evaluated(value: Any, frame: Any) -> Any:
    """Return the column of an expression of Polars."""
    is_expression = _kind(value) == ("polars", "Expr") and _kind(frame) == ("polars", "DataFrame")
    return frame.with_columns(tsn_value=value)["tsn_value"] if is_expression else value


def _to_pandas(value: Any) -> Any:
    kind = _kind(value)
    if kind not in _FRAMES | _COLUMNS:
        return value
    made = value.to_arrow() if kind[0] == "polars" else value
    if kind in _COLUMNS:
        return _plain_lists(to_frame(_pyarrow().table({"value": made})))["value"]
    check_distinct(pd.Index(made.column_names), "the table")
    return _plain_lists(to_frame(made))


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError:
        raise ConfigError("frames of Polars are converted by pyarrow: pip install 'tsn-frames[polars]'") from None
    return pa


def _plain_lists(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose nested values are lists and dicts instead of arrays."""
    for name in frame.columns:
        column = frame[name]
        if column.dtype == object and any(hasattr(value, "tolist") for value in column):
            frame[name] = pd.Series([_plain(value) for value in column], index=frame.index, dtype=object)
    return frame


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, dict) else value


def _add_to(given: Any, added: pd.DataFrame) -> Any:
    """Return the given frame with more columns; its own keep their types."""
    if _kind(given)[0] == "polars":
        pl = sys.modules["polars"]
        return given.with_columns([_polars_column(pl, name, added[name]) for name in added.columns])
    return with_columns(given, added)


def _polars_column(pl: Any, name: str, values: pd.Series) -> Any:
    """Return a column of Polars; a categorical of texts is an Enum, whose values and order are fixed, too."""
    kind = arrow_type(values)
    made = arrow_array(values, kind)
    if not isinstance(values.dtype, pd.CategoricalDtype):
        return pl.Series(name, made)
    known = values.dtype.categories.tolist()
    return pl.Series(
        name, made.cast(kind.value_type), dtype=pl.Enum(known) if all(isinstance(one, str) for one in known) else None
    )
