"""pandas' own ``to_excel`` writes every frame that a public function returns, and what is read back says the same."""

from __future__ import annotations

import datetime as dt
import json
import warnings

import pandas as pd
import pytest

import tsn_frames as tsn
from tsn_frames.frames.output_columns import FACTS
from tsn_frames.simulator import Simulator

pytest.importorskip("openpyxl")
TOPICS = ["delivery", "billing"]
EVALUATED = ("table", "labels", "confusion", "errors", "raters", "by_confidence", "pairs")
FIELDS = {"n": int, "price": float, "day": dt.date, "at": dt.datetime, "span": dt.timedelta, "words": list[str]}
FOUND = {"n": 1, "price": 2.5, "day": "2026-01-02", "at": "2026-01-02T03:04:05+02:00", "span": "PT90S", "words": ["a", "b"]}


def answer(body):
    """Answer with the fields where they are asked for; None stands for the simulator's own answer."""
    return json.dumps(FOUND) if all(name in json.dumps(body) for name in ("price", "span")) else None


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Return a frame of every kind, by the call that returned it."""
    folder = tmp_path_factory.mktemp("excel")
    with Simulator(latency=0.0, answer=answer) as sim, warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)
        prices = tsn.Prices({"sim-small": {"prompt": 1, "completion": 2, "valid_from": "2026-01-01"}}, currency="EUR")
        places = {"cache": folder / "cache", "ledger": folder / "ledger.db"}
        client = tsn.Client(sim.base_url, model="sim-small", prices=prices, keep_prompts=True, **places)
        return found(client, folder)


def found(client, folder):
    words = {"client": client, "progress": False}
    df = tsn.sample_messages()[["text", "topic", "channel"]].head(30)
    out = df.tsn.complete("Topic? {text}", tag=df["channel"], include=FACTS, **words)
    labelled = df.tsn.label("text", TOPICS, votes=3, explain="quote", **words)
    drawn = labelled.tsn.gold_sample(20)
    judged = drawn.assign(gold=labelled["label"].where(drawn["gold_split"].notna()))
    evaluated = judged.tsn.evaluate("label", gold="gold")
    compared = df.tsn.compare("Topic? {text}", models=["sim-small", "sim-large"], gold="topic", **words)
    estimated = df.tsn.estimate("Other: {text}", pilot=10, **words)
    review = df.tsn.review("text", TOPICS, file=folder / "review.jsonl")
    chat = df.tsn.chat(3, "Topic? {text}", client=client)
    chat.send("Which topic?")
    run = df.tsn.start("Third: {text}", client=client, include=["answered_at"])
    run.wait(progress=False)
    tsn.archive(folder / "study.zip", out, client=client)
    df.to_parquet(folder / "in.parquet")
    tsn.complete_file(folder / "in.parquet", folder / "out", "Topic? {text}", include=FACTS, **words)
    ledger = client.ledger
    return {
        "sample_messages": tsn.sample_messages(),
        "complete": out,
        "complete of an archive": df.tsn.complete("Topic? {text}", include=FACTS, client=tsn.load_archive(folder / "study.zip"), progress=False),
        "complete_file": pd.read_parquet(folder / "out"),
        "start": run.frame,
        "label": labelled,
        "extract": df.tsn.extract("text", FIELDS, **words),
        "messages": df.tsn.messages("Topic? {text}").to_frame("messages"),
        **{f"compare.{part}": getattr(compared, part) for part in ("table", "agreement", "answers")},
        **{f"compare.frames of {model}": frame for model, frame in compared.frames.items()},
        "estimate": estimated.to_frame(), "estimate.answers": estimated.answers,
        "gold_sample": drawn,
        **{f"evaluate.{part}": getattr(evaluated, part) for part in EVALUATED},
        "shares": judged.tsn.shares("label", gold="gold"),
        "cost": out.tsn.cost(by="channel").to_frame(), "cost.top": out.tsn.cost().top(5), "usage": out.tsn.usage().to_frame(),
        "review": review.to_frame(),
        "chat": chat.to_frame(), "chat, removed": chat.to_frame(removed=True),
        "runs": tsn.runs(client),
        "ledger": ledger.to_frame(), "summary by month": ledger.summary(["month", "tag"]), "summary by day": ledger.summary("day"),
        "cache": client.cache.to_frame(),
        "prices": client.prices.to_frame(),
    }  # fmt: skip


def test_there_is_a_time_in_the_frames_that_have_one(frames):
    """What the next test is about is there: of each frame at least one time."""
    timed = {name for name, frame in frames.items() if any(pd.api.types.is_datetime64_any_dtype(dtype) for dtype in frame.dtypes)}
    assert timed >= {"complete", "complete_file", "complete of an archive", "start", "extract", "runs", "ledger", "cache", "chat"}
    assert not [name for name, frame in frames.items() if any(isinstance(d, pd.DatetimeTZDtype) for d in frame.dtypes)]


def test_every_frame_is_written_and_read_back(frames, tmp_path):
    """As many rows and the same columns; numbers, texts and times to the millisecond, which is what Excel has."""
    for name, frame in frames.items():
        frame.to_excel(tmp_path / "a.xlsx")
        read = pd.read_excel(
            tmp_path / "a.xlsx", index_col=list(range(frame.index.nlevels)), keep_default_na=False, na_values=[""]
        )
        assert read.columns.tolist() == frame.columns.tolist() and len(read) == len(frame), name
        for column in frame.columns:
            values, again = frame[column], read[column]
            if pd.api.types.is_datetime64_any_dtype(values.dtype):
                gap = (pd.to_datetime(again.reset_index(drop=True)) - values.reset_index(drop=True)).abs()
                assert gap.dropna().le(pd.Timedelta("1ms")).all() and again.isna().sum() == values.isna().sum(), (name, column)
            elif pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
                expected = values.astype("float64").tolist()
                assert pd.to_numeric(again).astype("float64").tolist() == pytest.approx(expected, nan_ok=True), (name, column)


def test_times_are_those_of_utc(frames):
    """The same moment everywhere: of the answer in the frame, the cache and the ledger, and now."""
    out, ledger = frames["complete"], frames["ledger"].set_index("request_key")["time"]
    cache = frames["cache"].set_index("request_key")["answered_at"]
    now = pd.Timestamp.now("UTC").tz_localize(None)
    for key, when in out[["request_key", "answered_at"]].itertuples(index=False):
        assert (
            cache[key] == when
            and abs(ledger[key] - when) < pd.Timedelta("1ms")
            and pd.Timedelta(0) <= now - when < pd.Timedelta("10min")
        )
    began = frames["runs"]["began"].min()
    assert began <= out["answered_at"].min() + pd.Timedelta("1s")


def test_a_cost_report_reads_times_with_a_zone_too(frames):
    """As frames that an earlier release has saved have them; CSV files have texts."""
    out = frames["complete"]
    prices = {"sim-small": [{"prompt": 1, "completion": 2, "valid_from": "2026-01-01"}]}
    wanted = out.tsn.cost(basis="answers", prices=prices).total
    zoned = out.assign(answered_at=out["answered_at"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"))
    texts = out.assign(answered_at=out["answered_at"].astype(str))
    for frame in (zoned, texts, texts.assign(answered_at=zoned["answered_at"].astype(str))):
        assert frame.tsn.cost(basis="answers", prices=prices).total == pytest.approx(wanted)
    assert wanted > 0
