"""Frames of Polars and tables of Arrow: the requests and the values of pandas, their own types kept."""

from __future__ import annotations

import datetime as dt
import functools
from decimal import Decimal
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from support.other_engines import TEXTS, same

import tsn_frames as tsn

pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

CALLS = {
    "complete": functools.partial(tsn.complete, prompt="One of: a, b. {text}", include=["model", "answered_at", "logprobs"]),
    "label": functools.partial(tsn.label, text="text", labels=["billing", "delivery"], name="topic", votes=3, probability=True),
    "multiple": functools.partial(tsn.label, text="text", labels={"a": "first", "b": "second"}, multiple=True),
    "scale": functools.partial(tsn.label, text="text", labels={1: "calm", 5: "angry"}, ordered=True, explain="quote"),
    "extract": functools.partial(
        tsn.extract,
        text="text",
        fields={"n": int, "price": float, "party": Literal["Con", "Lab"], "day": dt.date, "at": dt.datetime, "span": dt.timedelta,
                "paid": bool, "exact": Decimal, "words": list[str]},
    ),
}  # fmt: skip
FRAMES = {"polars": lambda columns: pl.DataFrame(columns), "pyarrow": lambda columns: pa.table(columns)}


@pytest.mark.parametrize("library", FRAMES)
@pytest.mark.parametrize("verb", CALLS)
def test_a_verb_gives_the_values_of_pandas_and_sends_the_same_requests(library, verb, client, sim):
    function = functools.partial(CALLS[verb], client=client, missing="skip")
    wanted = function(pd.DataFrame({"text": TEXTS, "row": range(5)}))
    sent = sim.stats().requests
    frame = FRAMES[library]({"text": TEXTS, "row": list(range(5))})
    out = function(frame)
    assert sim.stats().requests == sent, "its requests are those of pandas, and answered"
    assert type(out) is type(frame)
    found = out.to_pandas()
    assert found.columns.tolist() == wanted.columns.tolist()
    for name in wanted.columns:
        if wanted[name].dtype != object and not name.endswith(("cost", "cached")):
            assert same(found[name], wanted[name]), name


TYPES = {
    "content": "String", "finish_reason": "String", "prompt_tokens": "Int64", "cost": "Float64", "cached": "Boolean", "error": "String",
    "answered_at": "Datetime(time_unit='us', time_zone=None)", "logprobs": "String",
    "topic": "Enum(categories=['billing', 'delivery'])", "topic_votes": "Int64", "topic_agreement": "Float64",
    "topic_probability": "Float64", "label": "Int64", "label_quoted": "Boolean", "label_a": "Boolean",
    "n": "Int64", "price": "Float64", "party": "Enum(categories=['Con', 'Lab'])", "day": "Datetime(time_unit='us', time_zone=None)",
    "at": "Datetime(time_unit='us', time_zone=None)", "span": "Duration(time_unit='us')", "paid": "Boolean", "exact": "String",
    "words": "String",
}  # fmt: skip


@pytest.mark.parametrize("rows", [0, 4])
def test_the_types_are_the_same_whatever_the_rows_hold(client, rows):
    found = {}
    for function in CALLS.values():
        text = pl.Series("text", TEXTS[:rows], dtype=pl.String)
        out = functools.partial(function, client=client, missing="skip")(pl.DataFrame({"text": text}))
        found |= {name: str(dtype) for name, dtype in out.schema.items()}
    assert {name: found[name] for name in TYPES} == TYPES


def test_own_columns_keep_types_that_pandas_has_not(client):
    frame = pl.DataFrame(
        {
            "text": pl.Series(["a", "b"], dtype=pl.Categorical),
            "id": pl.Series([2**53 + 1, None], dtype=pl.Int64),
            "size": pl.Series(["S", "L"], dtype=pl.Enum(["S", "M", "L"])),
            "price": pl.Series([Decimal("1.50"), None], dtype=pl.Decimal(10, 2)),
            "tags": [["x"], []],
            "day": [dt.date(2026, 1, 2), None],
            "time": pl.Series([dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC), None], dtype=pl.Datetime("ms", "Europe/Berlin")),
        }
    )
    out = frame.pipe(tsn.complete, "One of: a, b. {text}", client=client)
    assert out.select(frame.columns).equals(frame)
    assert out.select(frame.columns).schema == frame.schema
    table = tsn.complete(frame.to_arrow(), "One of: a, b. {text}", client=client)
    assert table.select(frame.columns).equals(frame.to_arrow())


def test_a_value_is_sent_as_pandas_sends_it(client, sim):
    """An integer beside a gap is 3 and not 3.0, a number of 64 bits has all of its digits, a list is a list."""
    columns = {"n": [3, None, 2**53 + 1], "f": [0.1, 2.0, None], "d": [dt.date(2026, 1, 2)] * 3, "tags": [["x", "y"], [], None]}
    frame = pl.DataFrame(columns)
    ours = pd.DataFrame({name: pd.Series(values, dtype="Int64" if name == "n" else None) for name, values in columns.items()})
    ask = functools.partial(tsn.complete, prompt="{n}; {f}; {d}; {tags}", missing="empty", client=client)
    ask(frame)
    assert sim.stats().answers == 3
    assert ask(ours)["cached"].all()
    assert ours.tsn.messages("{n}; {f}; {d}; {tags}", missing="empty")[0][0]["content"] == "3; 0.1; 2026-01-02; ['x', 'y']"


def test_small_floats_keep_their_digits(client):
    frame = pl.DataFrame({"f": pl.Series([0.1, 0.2], dtype=pl.Float32)})
    tsn.complete(frame, "{f}", client=client)
    assert tsn.complete(pd.DataFrame({"f": np.array([0.1, 0.2], "float32")}), "{f}", client=client)["cached"].all()


def test_message_lists_are_columns_too(client, sim):
    frame = pl.DataFrame({"m": [[{"role": "user", "content": "Hi"}], [{"role": "user", "content": "Bye"}]]})
    assert tsn.complete(frame, messages="m", client=client)["content"].null_count() == 0
    assert sim.stats().answers == 2


def test_values_for_each_row_and_examples_come_from_polars_too(client, sim):
    frame = pl.DataFrame({"text": ["a", "b"], "heat": [0.1, 0.9]})
    ask = functools.partial(tsn.complete, prompt="One of: a, b. {text}", client=client)
    ask(frame, temperature=frame["heat"])
    assert ask(frame.to_pandas(), temperature=frame.to_pandas()["heat"])["cached"].all()
    out = ask(frame, temperature=frame["heat"], refresh=frame["text"] == "a")
    assert out["cached"].to_list() == [False, True]
    assert ask(frame, temperature=pl.col("heat"), tag=pl.lit("team"))["cached"].all()
    shown = pl.DataFrame({"text": ["x"], "label": ["one"]})
    tsn.label(frame, "text", ["one", "two"], examples=shown, client=client)
    sent = sim.stats().requests
    tsn.label(frame.to_pandas(), "text", ["one", "two"], examples=shown.to_pandas(), client=client)
    assert sim.stats().requests == sent


def test_columns_are_replaced_where_they_stand(client):
    frame = pl.DataFrame({"content": [7, 8], "text": ["a", "b"]})
    with pytest.raises(tsn.errors.ColumnError, match="overwrite=True"):
        tsn.complete(frame, "{text}", client=client)
    out = tsn.complete(frame, "One of: a, b. {text}", overwrite=True, usage=False, client=client)
    assert out.columns == ["content", "text", "error"]
    assert out.schema["content"] == pl.String


def test_start_and_estimate_take_the_frame(client, sim):
    frame = pl.DataFrame({"text": ["a", "b", "a"]})
    assert tsn.estimate(tsn.complete, frame, "{text}", max_tokens=10, client=client).to_send == 2
    for verb, words in ((tsn.complete, {"prompt": "{text}"}), (tsn.label, {"text": "text", "labels": ["x", "y"]})):
        run = tsn.start(verb, frame, **words, client=client)
        assert isinstance(run.result(), pl.DataFrame)
        assert run.frame.columns.tolist() == run.result().columns


def test_the_frame_of_an_error_is_of_polars(sim, client):
    frame = pl.DataFrame({"text": ["a", "b"]})
    for verb in (functools.partial(tsn.complete, prompt="{text}"), functools.partial(tsn.label, text="text", labels=["x", "y"])):
        with pytest.raises(tsn.RunError) as raised:
            verb(frame, model="no-such-model", client=client)
        assert isinstance(raised.value.partial, pl.DataFrame)
        assert raised.value.partial["text"].to_list() == ["a", "b"]


def test_a_query_that_has_not_run_says_how(client, sim):
    for verb in (functools.partial(tsn.complete, prompt="{text}"), functools.partial(tsn.label, text="text", labels=["x", "y"])):
        with pytest.raises(tsn.errors.ParameterError, match=r"got a LazyFrame of polars: .*lf\.collect\(\)"):
            verb(pl.LazyFrame({"text": ["a"]}), client=client)
    with pytest.raises(tsn.errors.ParameterError, match=r"got a RecordBatch of pyarrow: pyarrow\.Table\.from_batches"):
        tsn.complete(pa.RecordBatch.from_pydict({"text": ["a"]}), "{text}", client=client)
    assert sim.stats().requests == 0


def test_a_frame_of_another_library_says_how(client, sim):
    narwhals = pytest.importorskip("narwhals")
    with pytest.raises(tsn.errors.ParameterError, match=r"got a DataFrame of narwhals: df\.to_native\(\)"):
        tsn.complete(narwhals.from_native(pl.DataFrame({"text": ["a"]})), "{text}", client=client)
    with pytest.raises(tsn.errors.ParameterError, match=r"got a list$"):
        tsn.complete([{"text": "a"}], "{text}", client=client)
    assert sim.stats().requests == 0


def test_a_name_that_appears_twice_is_refused(client, sim):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    with pytest.raises(tsn.errors.ColumnError, match="'text' appears more than once"):
        tsn.complete(table, "{text}", client=client)
    assert sim.stats().requests == 0
