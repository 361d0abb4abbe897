"""DuckDB: a relation goes out as a table of Arrow, and the table that comes back is a table of the database."""

from __future__ import annotations

import functools
from typing import Literal

import pandas as pd
import pytest

import tsn_frames as tsn

duckdb = pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

QUERY = "select id, text, price, size, day, seen from messages order by id"
FIELDS = {"n": int, "price_said": float, "party": Literal["Con", "Lab"], "words": list[str]}
CALLS = {
    "complete": functools.partial(tsn.complete, prompt="One of: a, b. {id}, {price}, {day}: {text}", include="answered_at"),
    "label": functools.partial(tsn.label, text="text", labels=["billing", "delivery"], name="topic"),
    "extract": functools.partial(tsn.extract, text="text", fields=FIELDS),
}


@pytest.fixture
def con():
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(
            "create table messages as select * from (values"
            " (9007199254740993, 'Where is my parcel?', 1.50::decimal(10, 2), 'S', date '2026-01-02', timestamptz '2026-01-02 03:04:05Z'),"
            " (null, 'Two tickets for 40 euros', null, 'L', null, null), (3, null, 2.00, null, date '2026-01-03', null)"
            ") t (id, text, price, size, day, seen)"
        )
        connection.execute("alter table messages alter size type enum ('S', 'M', 'L')")
        yield connection


@pytest.mark.parametrize("verb", CALLS)
def test_a_query_is_answered_and_stored(verb, con, client, sim):
    function = functools.partial(CALLS[verb], client=client, missing="empty")
    table = con.sql(QUERY).to_arrow_table()
    con.register("plain", table)
    con.register("answered", function(table))
    con.execute("create table answers as select * from answered")
    sent = sim.stats().requests
    types = {
        name: dict(con.sql(f"describe {name}").project("column_name, column_type").fetchall()) for name in ("plain", "answers")
    }
    assert types["plain"].items() <= types["answers"].items(), "own columns are as DuckDB reads them from Arrow"
    assert con.sql(f"{QUERY.replace('messages', 'answers')}").fetchall() == con.sql(QUERY).fetchall()
    wanted = function(nullable(con))
    assert sim.stats().requests == sent, "the requests are those of pandas"
    assert len(con.sql("from answers")) == len(wanted)
    for name in wanted.columns[6:]:
        if wanted[name].dtype != object and not name.endswith(("cost", "cached", "answered_at")):
            got = [value for (value,) in con.sql(f'select "{name}" from answers order by answers.id').fetchall()]
            assert got == [None if pd.isna(value) else value for value in wanted[name]], name


def nullable(con) -> pd.DataFrame:
    """Return the messages as a person would load them with pandas, with exact integers."""
    frame = con.sql(QUERY).to_df()
    rows = con.sql(QUERY).fetchall()
    for at, name, dtype in ((0, "id", "Int64"), (2, "price", object), (4, "day", object)):
        frame[name] = pd.Series([row[at] for row in rows], dtype=dtype)
    return frame


def test_the_columns_are_types_of_the_database(con, client):
    found = {}
    for function in CALLS.values():
        con.register("answered", functools.partial(function, client=client, missing="skip")(con.sql(QUERY).to_arrow_table()))
        found |= dict(con.sql("describe answered").project("column_name, column_type").fetchall())
    wanted = {
        "content": "VARCHAR", "prompt_tokens": "BIGINT", "cost": "DOUBLE", "cached": "BOOLEAN", "error": "VARCHAR",
        "answered_at": "TIMESTAMP", "topic": "VARCHAR", "n": "BIGINT", "price_said": "DOUBLE",
        "words": "VARCHAR",
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted


def test_a_relation_that_has_not_run_says_how(con, client, sim):
    with pytest.raises(tsn.errors.ParameterError, match=r"of duckdb: .*relation\.to_arrow_table\(\)"):
        tsn.complete(con.sql(QUERY), "{text}", client=client)
    assert sim.stats().requests == 0
