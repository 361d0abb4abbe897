"""Spark: the rows of pandas on executors, where the key is, what a lost worker costs, and the account's limits."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import sys
import threading
import urllib.request
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from support.canary import KEY
from support.other_engines import CALLS, TEXTS, same, service_with_key  # noqa: F401 - a fixture
from support.simulators import set_latency, slow_from
from support.waiting import wait_until

import tsn_frames as tsn
from tsn_frames.simulator import Quota, Simulator
from tsn_frames.spark import _Partition, map_batches, result_schema

pytest.importorskip("pyspark")
pa = pytest.importorskip("pyarrow")
pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java"),
    pytest.mark.filterwarnings("default::FutureWarning"),  # of Spark on pandas 3
    pytest.mark.filterwarnings("default::ResourceWarning"),
    pytest.mark.filterwarnings("default::DeprecationWarning"),
]

CALLS = {**CALLS, "scale": functools.partial(tsn.label, text="text", labels={1: "calm", 5: "angry"}, ordered=True)}


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    """Start Spark with two workers, which have the key in their environment only."""
    from pyspark.sql import SparkSession

    folder = tmp_path_factory.mktemp("spark")
    (folder / "events").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TSN_API_KEY", KEY)
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("SPARK_LOCAL_DIRS", str(folder))
        settings = {
            "spark.ui.port": "0", "spark.eventLog.enabled": "true", "spark.eventLog.dir": f"file://{folder}/events",
            "spark.local.dir": str(folder), "spark.sql.warehouse.dir": str(folder / "warehouse"), "spark.sql.shuffle.partitions": "2",
            "spark.ui.showConsoleProgress": "false",
        }  # fmt: skip
        builder = SparkSession.builder.master("local[2,4]")
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        yield session
        session.stop()


def frame(spark, rows):
    return spark.createDataFrame([(at, text) for at, text in enumerate(rows)], "id long, text string").repartition(2)


def rows_of(sdf) -> pd.DataFrame:
    return pd.DataFrame([row.asDict() for row in sdf.collect()], columns=sdf.columns).sort_values("id", ignore_index=True)


@pytest.mark.parametrize("verb", CALLS)
def test_the_rows_are_those_of_pandas_and_nothing_is_paid_for_twice(verb, spark, sim, client):
    function = functools.partial(CALLS[verb], client=client, missing="skip")
    sdf = frame(spark, TEXTS)
    planned = map_batches(sdf, function)
    assert sim.stats().requests == 0, "nothing is sent before Spark runs it"
    out = rows_of(planned)
    sent = sim.stats().requests
    assert sent == sim.stats().answers > 0
    wanted = function(pd.DataFrame({"id": range(5), "text": TEXTS}))
    assert sim.stats().requests == sent, "pandas sends the same requests"
    assert planned.columns == wanted.columns.tolist()
    for name in wanted.columns:
        if wanted[name].dtype != object and not name.endswith(("cost", "cached", "answered_at")):
            assert same(out[name], wanted[name]), name
    again = rows_of(planned)
    assert again.columns.tolist() == out.columns.tolist() and len(again) == len(out)
    assert sim.stats().requests == sent, "a second run sends nothing"


def test_the_schema_is_known_before(spark, client):
    sdf = frame(spark, TEXTS)
    found = {
        field.name: field.dataType.simpleString()
        for function in CALLS.values()
        for field in result_schema(sdf, function, client=client)
    }
    wanted = {
        "id": "bigint", "text": "string", "content": "string", "prompt_tokens": "bigint", "cost": "double", "cached": "boolean",
        "error": "string", "answered_at": "timestamp_ntz", "logprobs": "string", "topic": "string", "topic_votes": "bigint",
        "topic_agreement": "double", "label": "bigint", "n": "bigint", "price": "double", "party": "string", "words": "string",
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted


def test_map_in_pandas_takes_the_verb_and_the_schema(spark, sim, client):
    function = functools.partial(tsn.label, text="text", labels=["billing", "delivery"], client=client, missing="skip")
    sdf = frame(spark, TEXTS)
    out = rows_of(sdf.mapInPandas(lambda frames: map(function, frames), result_schema(sdf, function)))
    sent = sim.stats().requests
    wanted = function(pd.DataFrame({"text": TEXTS}))
    assert same(out["label"], wanted["label"]) and sim.stats().requests == sent


def test_long_integers_beside_gaps_are_exact(spark, sim, client):
    sdf = spark.createDataFrame([(2**53 + 1,), (None,), (3,)], "id long").coalesce(1)
    out = map_batches(sdf, tsn.complete, "Number {id}", missing="empty", client=client).collect()
    assert {row["id"] for row in out} == {2**53 + 1, None, 3}
    assert set(sim.stats().billed_by_prompt) == {f"Number {2**53 + 1}", "Number ", "Number 3"}


def test_an_argument_that_is_wrong_raises_on_the_driver(spark, client):
    with pytest.raises(tsn.errors.PromptError, match="txt"):
        map_batches(frame(spark, TEXTS), tsn.complete, "{txt}", client=client)
    with pytest.raises(tsn.errors.ParameterError, match="chunksize"):
        map_batches(frame(spark, TEXTS), tsn.complete, "{text}", client=client, chunksize=0)
    with pytest.raises(tsn.errors.ParameterError, match=r"DataFrame of pyspark.*tsn_frames.spark"):
        tsn.complete(frame(spark, TEXTS), "{text}", client=client)


def test_another_version_on_the_executor_is_an_error_before_anything_is_sent(sim, client):
    batch = pa.RecordBatch.from_pydict({"text": ["a"]})
    partition = _Partition(tsn.complete, ("{text}",), {"client": client}, 10, None, "0.0")
    with pytest.raises(tsn.errors.ConfigError, match=rf"executor has tsn_frames {tsn.__version__} and the driver 0\.0"):
        list(partition([batch]))
    assert sim.stats().requests == 0
    with pytest.raises(tsn.errors.ParameterError, match="returned 0 rows for 1"):
        list(replace(partition, function=lambda table: table.slice(1), args=(), kwargs={}, version=tsn.__version__)([batch]))


def test_empty_partitions_and_small_chunks_give_the_same_rows(spark, sim, client):
    sdf = frame(spark, [f"text {at}" for at in range(7)]).repartition(5, "id")
    out = rows_of(map_batches(sdf.repartition(20), tsn.complete, "{text}", client=client, chunksize=2))
    assert out["id"].tolist() == list(range(7)) and out["content"].notna().all()
    assert sim.stats().answers == 7
    none = map_batches(sdf.where("id < 0"), tsn.complete, "{text}", client=client)
    assert none.collect() == [] and "content" in none.columns


def test_the_default_client_of_the_driver_is_that_of_the_workers(spark, sim, client):
    tsn.set_client(client)
    out = rows_of(map_batches(frame(spark, ["a", "b"]), tsn.complete, "{text}"))
    assert out["content"].notna().all() and sim.stats().answers == 2


def test_the_key_is_in_no_event_no_page_and_no_plan(spark, sim, client, tmp_path):
    planned = map_batches(frame(spark, ["a", "b"]), tsn.complete, "{text}", client=client)
    assert rows_of(planned)["error"].isna().all(), "the workers have the key"
    context = spark.sparkContext
    assert KEY not in planned._jdf.queryExecution().toString()
    base = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}"
    for page in ("environment", "jobs", "stages", "sql?details=true", "allexecutors"):
        with urllib.request.urlopen(f"{base}/{page}", timeout=60) as reply:
            assert KEY.encode() not in reply.read(), page
    files = [file for file in Path(spark.conf.get("spark.local.dir")).rglob("*") if file.is_file()]
    assert any("events" in str(file) for file in files)
    assert not [file for file in files if KEY.encode() in file.read_bytes()]


def test_a_killed_worker_costs_at_most_what_it_had_in_flight(spark, tmp_path):
    pids, driver = tmp_path / "pids", os.getpid()
    pids.mkdir()
    with Simulator(latency=0.1, keys=[KEY]) as sim:
        slow_from(sim, 61)
        client = tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "cache", ledger=tmp_path / "ledger.db",
                            limits=tsn.Limits(8))  # fmt: skip

        def ask(table):
            if os.getpid() != driver:  # which gets a table without rows, for the schema
                Path(pids, str(os.getpid())).touch()
            return tsn.complete(table, "{text}", client=client)

        planned = map_batches(frame(spark, [f"text {at}" for at in range(300)]), ask)
        found = []
        job = threading.Thread(target=lambda: found.append(rows_of(planned)))
        job.start()
        wait_until(lambda: sim.stats().answers >= 60, 120)
        os.kill(int(min(pids.iterdir()).name), signal.SIGKILL)
        set_latency(sim, 0.1)
        job.join(400)
        assert found and found[0]["content"].notna().all()
        assert found[0]["id"].tolist() == list(range(300))
        assert len(list(pids.iterdir())) > 2, "the task was tried again, in a new worker"
        assert 300 <= sim.stats().answers <= 300 + 8


def test_the_limits_of_an_account_divided_by_the_processes_hold(spark, tmp_path):
    """The formula of the how-to: each process may have an equal part of the account's limits."""
    processes, quota = 2, Quota(requests=400, window=60.0, concurrency=8)
    with Simulator(latency=0.05, keys=[KEY], quota=quota) as sim:
        limits = tsn.Limits(concurrency=8 // processes, requests_per_minute=400 // processes)
        client = tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db", limits=limits)
        sdf = frame(spark, [f"text {at}" for at in range(200)])
        out = rows_of(map_batches(sdf, tsn.complete, "{text}", client=client))
        assert out["content"].notna().all()
        assert sim.stats().refused == 0 and sim.stats().answers == 200
        assert sim.stats().peak_concurrency <= 8 and len(client.ledger.to_frame()) == 200
