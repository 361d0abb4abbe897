"""Columns between pandas and Arrow, with the same types whatever values a part of the rows has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

_INTEGERS = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")


def to_frame(table: Any) -> pd.DataFrame:
    """Return a table as a frame whose integers are exact, also beside gaps, so that a row doesn't depend on its neighbours."""
    import pyarrow as pa

    nullable = {getattr(pa, name.lower())(): pd.api.types.pandas_dtype(name) for name in _INTEGERS}
    for at, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) and pa.types.is_unsigned_integer(field.type.index_type):
            table = table.set_column(at, field.name, _signed(table.column(at)))
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get, integer_object_nulls=True)
    return frame


def _signed(column: Any) -> Any:
    """Return a dictionary with signed indices: older versions of pyarrow convert no others to pandas."""
    import pyarrow as pa

    kind = pa.dictionary(pa.int64(), column.type.value_type, column.type.ordered)
    chunks = [
        pa.DictionaryArray.from_arrays(chunk.indices.cast(pa.int64()), chunk.dictionary, ordered=kind.ordered)
        for chunk in column.chunks
    ]
    return pa.chunked_array(chunks, type=kind)


def chunked(batches: Iterable[Any], rows: int, schema: Any = None) -> Iterator[Any]:
    """Yield tables of so many rows each; the last one has the rest. The schema is that of the first batch if none is given."""
    import pyarrow as pa

    waiting, held = [], 0
    for batch in batches:
        waiting.append(batch)
        held += batch.num_rows
        while held >= rows:
            table = pa.Table.from_batches(waiting, schema)
            yield table.slice(0, rows)
            held -= rows
            waiting = table.slice(rows).to_batches()
    if held:
        yield pa.Table.from_batches(waiting, schema)


def arrow_type(values: Any) -> Any:
    """Return the Arrow type of a column, the same where all values of a part are missing; nested values are JSON texts."""
    import pyarrow as pa

    if isinstance(values.dtype, pd.CategoricalDtype):
        categories = values.dtype.categories
        known = pa.large_string() if all(isinstance(one, str) for one in categories) else pa.array(categories).type
        return pa.dictionary(pa.from_numpy_dtype(pd.Categorical([], dtype=values.dtype).codes.dtype), known, values.dtype.ordered)
    if isinstance(values.dtype, pd.StringDtype) or values.dtype == object:
        return pa.large_string()
    return pa.array(pd.Series(values).iloc[:0], from_pandas=True).type  # the dtype says it, whatever the values are


def with_columns(table: Any, added: pd.DataFrame) -> Any:
    """Return a table with the columns of a frame, in place of its own of the same name."""
    import pyarrow as pa

    for name in added.columns:
        kind = arrow_type(added[name])
        field, values, at = pa.field(name, kind), arrow_array(added[name], kind), table.schema.get_field_index(name)
        table = table.append_column(field, values) if at < 0 else table.set_column(at, field, values)
    return table


def arrow_array(values: pd.Series, kind: Any) -> Any:
    """Return a column as an array of an Arrow type, where nested values may have become JSON texts."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        codes = pa.array(values.cat.codes, type=kind.index_type, mask=values.isna().to_numpy(dtype=bool))
        known = pa.array(values.cat.categories, type=kind.value_type)
        return pa.DictionaryArray.from_arrays(codes, known, ordered=kind.ordered)
    if values.dtype == object and pa.types.is_large_string(kind):
        texts = [None if value is None else json.dumps(value, default=str) for value in values]
        made = pa.array(texts, type=kind)
    else:
        made = pa.array(values, type=kind, from_pandas=True)
    return made.combine_chunks() if isinstance(made, pa.ChunkedArray) else made
