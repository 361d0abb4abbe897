"""Ray Data: the rows of pandas on its workers, where the key is, what a lost worker costs, and the account's limits."""

from __future__ import annotations

import functools
import os
import pickle
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import pandas as pd
import pytest
from support import patient_ray
from support.canary import KEY
from support.other_engines import CALLS, TEXTS, same, service_with_key  # noqa: F401 - a fixture
from support.simulators import set_latency, slow_from
from support.waiting import wait_until

import tsn_frames as tsn
from tsn_frames.simulator import Quota, Simulator

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
pa = pytest.importorskip("pyarrow")
pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("default::ResourceWarning"),
    pytest.mark.filterwarnings("default::FutureWarning"),
    pytest.mark.filterwarnings("default::DeprecationWarning"),
]


def start(folder, tries=patient_ray.TRIES):
    """Start Ray, as often as a busy machine needs."""
    try:
        ray.init(
            num_cpus=2, include_dashboard=False, object_store_memory=200 * 2**20, _temp_dir=folder, logging_level="ERROR",
            log_to_driver=False,
        )  # fmt: skip
    except Exception as error:
        if tries == 1 or not patient_ray.GAVE_UP.search(str(error)):
            raise
        ray.shutdown()
        start(folder, tries - 1)


@pytest.fixture(scope="module")
def cluster():
    """Start Ray with two workers, which have the key in their environment only; its folder has a short path for its sockets."""
    folder = tempfile.mkdtemp(prefix="ray_")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"TSN_API_KEY": KEY, "RAY_AUTH_MODE": "disabled", **patient_ray.ENVIRONMENT}.items():
            patch.setenv(name, value)
        start(folder)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield Path(folder)
        ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def dataset(rows, blocks=2):
    return ray.data.from_arrow(pa.table({"id": range(len(rows)), "text": pa.array(rows, pa.string())})).repartition(blocks)


def rows_of(ds) -> pd.DataFrame:
    tables = [ray.get(ref) for ref in ds.to_arrow_refs()]
    return pa.concat_tables(tables, promote_options="permissive").to_pandas().sort_values("id", ignore_index=True)


@pytest.mark.parametrize("form", ["pyarrow", "pandas"])
@pytest.mark.parametrize("verb", CALLS)
def test_the_rows_are_those_of_pandas_and_nothing_is_paid_for_twice(verb, form, cluster, sim, client):
    function = functools.partial(CALLS[verb], client=client, missing="skip")
    out = rows_of(dataset(TEXTS).map_batches(function, batch_format=form, batch_size=None))
    sent = sim.stats().requests
    assert sent == sim.stats().answers > 0
    wanted = function(pd.DataFrame({"id": range(5), "text": TEXTS}))
    assert sim.stats().requests == sent, "pandas sends the same requests"
    assert out.columns.tolist() == wanted.columns.tolist()
    for name in wanted.columns:
        if wanted[name].dtype != object and not name.endswith(("cost", "cached", "answered_at")):
            assert same(out[name], wanted[name]), name
    rows_of(dataset(TEXTS).map_batches(function, batch_format=form, batch_size=None))
    assert sim.stats().requests == sent, "a second run sends nothing"


def test_tables_of_arrow_keep_types_and_long_integers(cluster, sim, client):
    ds = ray.data.from_arrow(pa.table({"id": [2**53 + 1, None, 3]}))
    ask = functools.partial(tsn.complete, prompt="Number {id}", missing="empty", client=client)
    (table,) = [ray.get(ref) for ref in ds.map_batches(ask, batch_format="pyarrow", batch_size=None).to_arrow_refs()]
    assert table["id"].to_pylist() == [2**53 + 1, None, 3]
    assert table.schema.field("error").type == pa.large_string(), "also where no row has an error"
    assert set(sim.stats().billed_by_prompt) == {f"Number {2**53 + 1}", "Number ", "Number 3"}


def test_a_dataset_says_how(cluster, client):
    with pytest.raises(tsn.errors.ParameterError, match=r"of ray: ds\.map_batches\("):
        tsn.complete(dataset(TEXTS), "{text}", client=client)


def test_an_error_reaches_the_driver_with_its_words(cluster, sim, client):
    wrong = functools.partial(tsn.complete, prompt="{txt}", client=client)
    with pytest.raises(Exception, match="txt") as raised:
        rows_of(dataset(TEXTS).map_batches(wrong, batch_format="pyarrow"))
    assert KEY not in str(raised.value)
    ended = functools.partial(tsn.complete, prompt="{text}", model="no-such-model", client=client)
    with pytest.raises(Exception, match="no-such-model"):
        rows_of(dataset(["a", "b"]).map_batches(ended, batch_format="pyarrow"))


def test_the_key_is_in_no_file_of_the_cluster(cluster, sim, client):
    ask = functools.partial(tsn.complete, prompt="{text}", client=client)
    assert KEY.encode() not in pickle.dumps(ask)
    out = rows_of(dataset(["a", "b"]).map_batches(ask, batch_format="pyarrow"))
    assert out["error"].isna().all(), "the workers have the key"
    files = [file for file in cluster.rglob("*") if file.is_file()]
    assert any(file.suffix == ".log" for file in files)
    assert not [file for file in files if KEY.encode() in file.read_bytes()]


def test_a_killed_worker_costs_at_most_what_it_had_in_flight(cluster, tmp_path):
    pids = tmp_path / "pids"
    pids.mkdir()
    with Simulator(latency=0.1, keys=[KEY]) as sim:
        slow_from(sim, 61)
        client = tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "cache", ledger=tmp_path / "ledger.db",
                            limits=tsn.Limits(8))  # fmt: skip

        def ask(table):
            Path(pids, str(os.getpid())).touch()
            return tsn.complete(table, "{text}", client=client)

        ds = dataset([f"text {at}" for at in range(300)]).map_batches(ask, batch_format="pyarrow", batch_size=None)
        found = []
        job = threading.Thread(target=lambda: found.append(rows_of(ds)))
        job.start()
        wait_until(lambda: sim.stats().answers >= 60, 120)
        os.kill(int(min(pids.iterdir()).name), signal.SIGKILL)
        set_latency(sim, 0.1)
        job.join(400)
        assert found and found[0]["content"].notna().all()
        assert found[0]["id"].tolist() == list(range(300))
        assert 300 <= sim.stats().answers <= 300 + 8


def test_the_limits_of_an_account_divided_by_the_processes_hold(cluster, tmp_path):
    """The formula of the how-to: ``size`` of the ``TaskPoolStrategy`` is the number of processes."""
    processes, quota = 2, Quota(requests=400, window=60.0, concurrency=8)
    with Simulator(latency=0.05, keys=[KEY], quota=quota) as sim:
        limits = tsn.Limits(concurrency=8 // processes, requests_per_minute=400 // processes)
        client = tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db", limits=limits)
        ask = functools.partial(tsn.complete, prompt="{text}", client=client)
        ds = dataset([f"text {at}" for at in range(200)], blocks=4)
        out = rows_of(
            ds.map_batches(ask, batch_format="pyarrow", batch_size=None, compute=ray.data.TaskPoolStrategy(size=processes))
        )
        assert out["content"].notna().all()
        assert sim.stats().refused == 0 and sim.stats().answers == 200
        assert sim.stats().peak_concurrency <= 8 and len(client.ledger.to_frame()) == 200
