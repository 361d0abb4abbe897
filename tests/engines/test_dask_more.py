"""``ddf.tsn`` beside a run: one bar and summary, estimates, several hosts, nested tasks, event loops, other schedulers."""

import asyncio
import time
from pathlib import Path

import pandas as pd
import pytest
from support.canary import KEY

import tsn_frames as tsn
from tsn_frames.errors import ConfigError, ParameterError
from tsn_frames.simulator import Simulator

distributed = pytest.importorskip("distributed")
dd = pytest.importorskip("dask.dataframe")
from support.dask_cluster import local_cluster  # noqa: E402
from support.simulators import slow_from  # noqa: E402
from support.waiting import wait_until  # noqa: E402

import tsn_frames.dask as tsn_dask  # noqa: E402

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]
TEXTS = [f"Where is parcel {n}?" for n in range(40)]
PROMPT = "one of: a, b. {text}"


@pytest.fixture(scope="module")
def cluster():
    with local_cluster(2) as client:
        yield client


@pytest.fixture
def ddf():
    return dd.from_pandas(pd.DataFrame({"text": pd.array(TEXTS, dtype="string")}), npartitions=4)


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_one_summary_over_all_partitions_without_a_cluster(scheduler, ddf, client, sim, monkeypatch):
    monkeypatch.setattr("tsn_frames.dask.progress.cluster_client", lambda: None)
    with tsn_dask.Progress(client, shown=False) as progress:
        out = ddf.tsn.complete(PROMPT, client=client).compute(scheduler=scheduler)
    assert (progress.partitions, progress.summary.rows, progress.summary.answered) == (4, 40, len(out))
    assert progress.summary.requests == sim.stats().requests == 40
    assert "40 of 40 rows answered" in str(progress.summary)


def test_one_summary_over_all_partitions_of_a_cluster_and_none_of_an_earlier_graph(cluster, ddf, client, sim, capsys):
    ddf.tsn.complete("one of: c, d. {text}", client=client).compute()
    with tsn_dask.Progress(client, shown=True) as progress:
        ddf.tsn.label("text", ["billing", "delivery"], client=client).compute()
    assert (progress.partitions, progress.summary.rows, progress.summary.answered) == (4, 40, 40)
    assert progress.summary.prompt_tokens > 0
    shown = capsys.readouterr().err
    assert "40 of 40 rows answered" in shown and "4 partitions" in shown


def test_the_summary_of_a_graph_that_fails_has_what_was_done(cluster, ddf, client, sim):
    sim.balance = 7
    with pytest.raises(tsn.errors.BalanceError), tsn_dask.Progress(client, shown=False) as progress:
        ddf.tsn.complete(PROMPT, client=client).compute()
    assert 0 < progress.summary.answered <= 7


def test_an_estimate_is_lazy_and_sends_nothing(cluster, ddf, client, sim):
    lazy = ddf.tsn.estimate(PROMPT, max_tokens=5, client=client)
    found = lazy.compute()
    assert (found.rows, found.requests, found.to_send, sim.stats().requests) == (40, 40, 40, 0)
    here = ddf.compute().tsn.estimate(PROMPT, max_tokens=5, client=client)
    assert found.prompt_tokens.expected == pytest.approx(here.prompt_tokens.expected)
    with pytest.raises(ParameterError, match="get_partition"):
        ddf.tsn.estimate(PROMPT, pilot=5, client=client)
    with pytest.raises(tsn.errors.PromptError, match="txt"):
        ddf.tsn.estimate("{txt}", client=client)


def test_answers_of_hosts_with_other_cache_folders_are_collected(tmp_path, ddf):
    """Two workers whose Dask config names other folders stand for two hosts."""
    with Simulator(latency=0.01) as sim, local_cluster(2) as cluster:
        for number, worker in enumerate(cluster.scheduler_info()["workers"]):
            folder = str(tmp_path / f"host{number}")
            cluster.run(set_config, {"tsn-frames.cache": f"{folder}/cache", "tsn-frames.ledger": f"{folder}/ledger.db"},
                        workers=[worker])  # fmt: skip
        client = tsn.Client(sim.base_url, api_key=KEY, model="sim-small", cache=tmp_path / "home", ledger=tmp_path / "home.db")
        out = ddf.tsn.complete(PROMPT, client=client).compute()
        assert out["content"].notna().all() and not client.cache.file.exists()
        assert all((tmp_path / f"host{number}" / "cache" / "cache.db").exists() for number in (0, 1))
        assert tsn_dask.collect(client) == 40 and tsn_dask.collect(client) == 0
    with Simulator(latency=0.0) as other:
        home = tsn.Client(sim_url(sim), api_key=KEY, model="sim-small", cache=tmp_path / "home", ledger=tmp_path / "home.db")
        again = ddf.compute(scheduler="sync").tsn.complete(PROMPT, client=home, progress=False)
        assert again["cached"].all() and again["content"].tolist() == out["content"].tolist()
        assert other.stats().requests == 0


def sim_url(sim):
    return f"http://127.0.0.1:{sim._port}/v1"


def set_config(settings):
    import dask

    dask.config.set(settings)


def test_collecting_without_a_cluster_says_what_is_missing(client, monkeypatch):
    monkeypatch.setattr("tsn_frames.dask.merge_worker_caches.cluster_client", lambda: None)
    with pytest.raises(ConfigError, match=r"distributed\.Client"):
        tsn_dask.collect(client)


def test_a_key_of_the_workers_dask_config_is_used_and_stays_there(tmp_path, ddf):
    with Simulator(keys=[KEY], latency=0.0) as sim, local_cluster(2) as cluster:
        codes = [ord(letter) for letter in KEY]
        cluster.run(set_config, {})
        cluster.run(lambda: __import__("dask").config.set({"tsn-frames.api-key": "".join(map(chr, codes))}))
        client = tsn.Client(sim.base_url, api_key=KEY, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db")
        assert ddf.tsn.complete(PROMPT, client=client).compute()["content"].notna().all()
        assert KEY not in repr(cluster.get_events()) + repr(cluster.get_scheduler_logs()) + repr(cluster.get_worker_logs())


def test_a_cancelled_future_sends_nothing_more(cluster, client):
    with Simulator(latency=0.1) as sim:
        slow_from(sim, 41)
        ddf = dd.from_pandas(pd.DataFrame({"text": [f"parcel {n}" for n in range(2000)]}), npartitions=2)
        settings = tsn.Client(
            sim.base_url, model="sim-small", cache=client.cache, ledger=client.ledger.path, limits=tsn.Limits(8)
        )
        future = cluster.compute(ddf.tsn.complete(PROMPT, client=settings))
        wait_until(lambda: sim.stats().answers > 20)
        future.cancel()
        wait_until(lambda: all(run.ended is not None for run in settings.ledger.run_records()))
        sent = sim.stats().requests
        assert sent < 1000
        time.sleep(1)
        assert sim.stats().requests == sent == len(list(settings.ledger.entries()))


def test_a_graph_inside_a_task(cluster, ddf, client, sim):
    def nested(frame, client, prompt):
        import dask.dataframe as frames

        import tsn_frames.dask  # noqa: F401

        with distributed.worker_client():
            return frames.from_pandas(frame, npartitions=3).tsn.complete(prompt, client=client).compute()

    out = cluster.submit(nested, ddf.compute(), client, PROMPT).result(timeout=250)
    assert out["content"].isin(["a", "b"]).all() and sim.stats().answers == 40


def test_inside_a_running_event_loop_as_in_a_notebook(cluster, ddf, client, sim):
    async def cell():
        return ddf.tsn.complete(PROMPT, client=client).compute()

    assert asyncio.run(cell())["content"].isin(["a", "b"]).all()


def test_an_asynchronous_client_computes_and_a_bar_says_why_it_cannot_wait(cluster, ddf, client, sim):
    address = cluster.scheduler.address

    async def cell():
        async with distributed.Client(address, asynchronous=True) as dask_client:
            with pytest.raises(ConfigError, match="asynchronous"):
                tsn_dask.Progress(client).__enter__()
            return await dask_client.compute(ddf.tsn.complete(PROMPT, client=client))

    assert asyncio.run(cell())["content"].isin(["a", "b"]).all()


def test_the_processes_of_a_pool_share_limits_budget_and_answers(tmp_path, ddf, sim):
    """Without a cluster the coordinator is a file beside the cache."""
    client = tsn.Client(sim.base_url, api_key=KEY, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db",
                        limits=tsn.Limits(4, requests_per_minute=1000), prices={"sim-small": (1, 1)})  # fmt: skip
    out = ddf.tsn.complete(PROMPT, client=client, max_tokens=2, max_cost=1).compute(scheduler="processes", num_workers=2)
    assert out["content"].isin(["a", "b"]).all() and sim.stats().answers == 40
    assert sim.stats().peak_concurrency <= 4
    assert Path(tmp_path / "c" / "cache.db.shares").exists()


def test_runs_that_are_no_tasks_have_the_whole_limits_again(ddf, client, sim, tmp_path):
    """A cluster of threads is in the process of the user's other runs."""
    with local_cluster(1, processes=False):
        ddf.tsn.complete(PROMPT, client=client).compute()
        time.sleep(0.1)
    out = pd.DataFrame({"text": ["other"]}).tsn.complete(PROMPT, client=client, progress=False)
    assert out["content"].notna().all()
