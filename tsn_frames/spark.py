"""Run a verb over a frame of Spark: on its executors, as a lazy frame whose schema is known before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import __version__
from .engine.runtime.client import Client
from .engine.runtime.process import process_state
from .errors import ConfigError, ParameterError
from .frames.arrow import chunked
from .text import quoted

CHUNKSIZE = 100_000


def map_batches(sdf: Any, function: Callable[..., Any], /, *args: Any, chunksize: int = CHUNKSIZE, **kwargs: Any) -> Any:
    """Return a lazy frame of Spark with the columns that a verb adds to its rows.

    Nothing is sent before Spark runs it. Each partition is a call of its own, which shares cache, ledger and requests in flight
    with the other processes of its host; a task that is tried again takes from the cache what is answered.

    Parameters
    ----------
    sdf : pyspark.sql.DataFrame
        The rows.
    function : callable
        ``tsn.complete``, ``tsn.label``, ``tsn.extract``, or a function of yours that takes a table of Arrow and returns one with
        the same rows and further columns.
    *args, **kwargs
        What the function takes besides the frame.
    chunksize : int, default 100,000
        The most rows of one call.

    Returns
    -------
    pyspark.sql.DataFrame
        The columns of ``sdf``, and those of the verb.

    Raises
    ------
    TSNError
        What the verb raises before it sends, raised here and not on an executor.

    Examples
    --------
    >>> labelled = sdf.transform(tsn_frames.spark.map_batches, tsn.label, "text", ["a", "b"])  # doctest: +SKIP
    """
    if isinstance(chunksize, bool) or not isinstance(chunksize, int) or chunksize < 1:
        raise ParameterError(f"chunksize must be a number of rows of at least 1, got {quoted(chunksize)}")
    schema = result_schema(sdf, function, *args, **kwargs)
    return sdf.mapInArrow(_Partition(function, args, kwargs, chunksize, process_state.client, __version__), schema)


def result_schema(sdf: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Return the schema of what a verb makes of a frame of Spark; nothing is sent.

    Parameters
    ----------
    sdf, function, *args, **kwargs
        As for :func:`map_batches`.

    Returns
    -------
    pyspark.sql.types.StructType
        What ``sdf.mapInArrow`` and ``sdf.mapInPandas`` need.

    Examples
    --------
    >>> schema = tsn_frames.spark.result_schema(sdf, tsn.label, "text", ["a", "b"])  # doctest: +SKIP
    """
    from pyspark.sql.pandas.types import from_arrow_type
    from pyspark.sql.types import StructField, StructType

    empty = _arrow_schema(sdf.schema).empty_table()
    made = _for_spark(function(empty, *args, **kwargs), empty)
    own = {one.name: one for one in sdf.schema if made.schema.field(one.name).type == empty.schema.field(one.name).type}
    return StructType(
        [
            own.get(one.name) or StructField(one.name, from_arrow_type(one.type, prefer_timestamp_ntz=True), nullable=True)
            for one in made.schema
        ]
    )


@dataclass(frozen=True)
class _Partition:
    """A verb over the batches of a partition, as an executor runs it. It is pickled, and so has no key."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    chunksize: int
    client: Client | None  # the default client of the driver
    version: str

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        if self.version != __version__:
            raise ConfigError(
                f"the executor has tsn_frames {__version__} and the driver {self.version}: install the same version on both"
            )
        if self.client is not None:
            process_state.client = self.client
        for table in chunked(batches, self.chunksize):
            made = self.function(table, *self.args, **self.kwargs)
            if len(made) != len(table):
                raise ParameterError(f"the function returned {len(made):,} rows for {len(table):,}: it may only add columns")
            yield from _for_spark(made, table).to_batches()


def _arrow_schema(schema: Any) -> Any:
    from pyspark.sql.pandas.types import to_arrow_schema

    try:
        return to_arrow_schema(schema, timezone="UTC")
    except TypeError:  # Spark 3
        return to_arrow_schema(schema)


def _for_spark(table: Any, given: Any) -> Any:
    """Return a table whose added columns have types that Spark has."""
    import pyarrow as pa

    for at, field in enumerate(table.schema):
        own = given.schema.get_field_index(field.name)
        if own >= 0 and given.schema.field(own).type == field.type:
            continue
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        kind = pa.string() if pa.types.is_large_string(kind) else kind
        table = table.set_column(at, pa.field(field.name, kind), table.column(at).cast(kind))
    return table
