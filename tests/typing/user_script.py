"""A user's script that mypy and pyright check: what a call returns, and which mistakes they find.

It is checked, not run. ``type: ignore`` marks a mistake; both checkers report one that is not needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type, cast

import pandas as pd
import polars as pl

import tsn_frames as tsn
from tsn_frames.accessor import FrameAccessor, SeriesAccessor

df = pd.DataFrame({"text": ["Where is my parcel?"], "heat": [0.5]})
client = tsn.Client("http://127.0.0.1:8000", model="sim-small", limits=tsn.Limits(4), prices={"sim-small": (0.25, 1.0)})
tsn.set_client(client)


def prompt(row: dict[str, Any]) -> str:
    return f"Topic of {row['text']}?"


# One verb, one result
assert_type(tsn.complete(df, "Topic? {text}"), pd.DataFrame)
assert_type(tsn.complete(df, prompt, temperature=0.2, seed=7, response_format={"type": "json_object"}, stream=True), pd.DataFrame)
assert_type(tsn.label(df, "text", ["a", "b"], name="topic"), pd.DataFrame)
assert_type(tsn.extract(df, "text", {"price": float}), pd.DataFrame)
assert_type(tsn.complete(pl.DataFrame({"text": ["Hi"]}), "Topic? {text}"), pl.DataFrame)
assert_type(tsn.start(tsn.label, pl.DataFrame({"text": ["Hi"]}), "text", ["a", "b"]).result(), pl.DataFrame)
assert_type(tsn.compare(df, "Topic? {text}", models=["sim-small", "sim-large"], gold="topic"), tsn.Comparison)
assert_type(tsn.complete_file("in.parquet", Path("out"), "Topic? {text}", chunksize=10), tsn.FileSummary)

# A value for each row: a Series, a function of the frame, an array, an expression of pandas 3
tsn.complete(df, "{text}", temperature=df["heat"], max_tokens=lambda d: d["heat"] * 10, repeat=df["heat"].to_numpy())
tsn.complete(df, "{text}", temperature=pd.col("heat") / 2, refresh=df["text"].notna(), tag=df["text"], missing={"text": "-"})

# start and estimate take the words of their verb
run = tsn.start(tsn.complete, df, "Topic? {text}", name="topic", max_cost=0.5)
assert_type(run.result(), pd.DataFrame)
assert_type(run.frame, pd.DataFrame)
assert_type(tsn.start(tsn.compare, df, "{text}", models=["sim-small"]).result(), tsn.Comparison)
assert_type(tsn.start(tsn.complete_file, "in.parquet", "out", "{text}").result(), tsn.FileSummary)
assert_type(tsn.estimate(tsn.complete, df, "{text}", max_tokens=10), tsn.Estimate)
assert_type(tsn.estimate(tsn.complete_file, "in.parquet", "out", "{text}"), tsn.Estimate)


def report(finished: tsn.Run) -> str:
    return str(finished.summary)


report(run)

# df.tsn is made by pandas at run time. To a type checker it is Any; a cast says what it is
llm = cast("FrameAccessor", df.tsn)
assert_type(llm.complete("Topic? {text}", temperature=0.2), pd.DataFrame)
assert_type(llm.start("Topic? {text}").result(), pd.DataFrame)
assert_type(llm.estimate("Topic? {text}", pilot=30, name="topic"), tsn.Estimate)
assert_type(llm.compare("{text}", models=["sim-small"]), tsn.Comparison)
assert_type(llm.gold_sample(100, dev=20, by="month"), pd.DataFrame)
assert_type(llm.evaluate(["topic", "other"], gold="gold", split=None), tsn.Evaluation)
assert_type(llm.shares("topic", gold="gold", of="population"), pd.DataFrame)
assert_type(llm.corrected("topic", gold="gold"), pd.DataFrame)
assert_type(llm.review("text", ["billing", "praise"], rater="ann").to_frame(), pd.DataFrame)
assert_type(llm.review("text", {1: "low", 2: None}, show="topic"), tsn.Review)
assert_type(tsn.start(llm.compare, "{text}", models=["sim-small"]).result(), tsn.Comparison)
assert_type(tsn.estimate(llm.complete, "{text}"), tsn.Estimate)
assert_type(cast("SeriesAccessor", df["text"].tsn).complete("Topic? {text}"), "pd.Series[Any]")


async def cell() -> pd.DataFrame:
    return await llm.acomplete("Topic? {text}", client=client)


try:
    tsn.complete(df, "{text}", errors="raise")
except tsn.errors.BudgetExceeded as error:
    print(error.partial)
except tsn.RunError as error:
    print(error.partial)
except tsn.errors.ParameterError:
    pass

# Mistakes that both find
tsn.complete([{"text": "Hi"}], "{text}")  # type: ignore[type-var]
tsn.complete(df, "{text}", temprature=1)  # type: ignore[call-arg]
tsn.complete(df, "{text}", temperature="hot")  # type: ignore[arg-type]
tsn.complete(df, "{text}", cache="no")  # type: ignore[arg-type]
tsn.complete(df, "{text}", background=True)  # type: ignore[call-arg]
tsn.compare(df, "{text}", models=["sim-small"], dry_run=True)  # type: ignore[call-arg]
tsn.start(tsn.complete, df, "{text}", max_tokens="many")  # type: ignore[arg-type]
tsn.estimate(tsn.complete_file, "in.parquet")  # type: ignore[call-arg]
tsn.start(llm.compare, "{text}")  # type: ignore[call-arg]
tsn.ParameterError  # type: ignore[attr-defined]
