"""The limits of an account and the budget of a graph hold over all workers, by the service's own count and bill."""

import signal
import time
import warnings
from decimal import Decimal

import pandas as pd
import pytest
from support.canary import KEY

import tsn_frames as tsn
from tsn_frames.simulator import Quota, Simulator

pytest.importorskip("distributed")
dd = pytest.importorskip("dask.dataframe")
from support.dask_cluster import forget_results, local_cluster  # noqa: E402
from support.waiting import wait_until  # noqa: E402

import tsn_frames.dask  # noqa: E402
from tsn_frames.dask.coordination import account_shares  # noqa: E402

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]
PRICE = Decimal(1000) / 1_000_000
PROMPT = "one of: a, b. {text}"


@pytest.fixture(scope="module")
def cluster():
    with local_cluster() as client:
        yield client


def uneven(rows, partitions, distinct):
    """A frame whose partitions have very different numbers of requests that no earlier one has."""
    texts = [f"parcel {int(distinct * (row / rows) ** 3)}" for row in range(rows)]
    return dd.from_pandas(pd.DataFrame({"text": pd.array(texts, dtype="string")}), npartitions=partitions), len(set(texts))


def settings(sim, tmp_path, **words):
    return tsn.Client(
        sim.base_url, api_key=KEY, model="sim-small", cache=tmp_path / "cache", ledger=tmp_path / "ledger.db", **words
    )


def bill(sim):
    stats = sim.stats()
    return (stats.billed_prompt_tokens + stats.billed_completion_tokens) * PRICE


def test_four_workers_keep_the_limits_of_one_account_and_use_them(cluster, tmp_path, monkeypatch):
    """A minute of 6 seconds: the coordinator's clock is in this process, with the cluster's scheduler."""
    monkeypatch.setattr(account_shares, "MINUTE", 6.05)
    ddf, distinct = uneven(4000, 16, 700)
    with Simulator(latency=0.05, quota=Quota(requests=300, window=6, concurrency=20)) as sim:
        client = settings(sim, tmp_path, limits=tsn.Limits(20, requests_per_minute=300))
        begun = time.monotonic()
        out = ddf.tsn.complete(PROMPT, client=client).compute()
        seconds = time.monotonic() - begun
        stats = sim.stats()
        assert out["content"].notna().all()
        assert stats.answers == distinct == len(list(client.ledger.entries()))
        assert stats.peak_concurrency <= 20 and stats.refused <= 0.01 * stats.requests
        windows = distinct / 300  # as many as must have begun when the last request is sent
        assert seconds > 6 * int(windows)
        forget_results(cluster)
        again = ddf.tsn.complete(PROMPT, client=client).compute()
        assert sim.stats().requests == stats.requests, "a second computation sends nothing"
        assert int((~again["cached"]).sum()) == 0, "rows that are not from the cache"


@pytest.mark.parametrize("seed", range(20))
def test_max_cost_of_a_graph_is_never_passed_and_most_of_it_is_used(cluster, tmp_path, seed):
    cap = 2
    ddf = dd.from_pandas(pd.DataFrame({"text": [f"{seed} {n}" for n in range(400)]}), npartitions=8)
    with Simulator(seed=seed, latency=(0.005, 0.3)) as sim:
        client = settings(sim, tmp_path, prices={"sim-small": (1000, 1000)}, limits=tsn.Limits(16))
        with pytest.raises(tsn.errors.BudgetExceeded, match="for this graph is used up"):
            ddf.tsn.complete(PROMPT, client=client, max_tokens=2, max_cost=cap).compute()
        wait_until(lambda: not any(cluster.processing().values()))
        assert Decimal("0.8") * cap <= bill(sim) <= cap
        assert sum(Decimal(str(line.cost)) for line in client.ledger.entries()) == bill(sim)
        spent = bill(sim)
        done = ddf.tsn.complete(PROMPT, client=client, max_tokens=2, max_cost=100).compute()
        assert done["content"].notna().all() and bill(sim) > spent and sim.stats().answers == 400


def test_a_budget_ends_a_graph_whose_partitions_share_their_requests(cluster, tmp_path):
    """Partitions wait for requests of others, which wait for money that the first ones hold."""
    ddf = dd.from_pandas(pd.DataFrame({"text": [f"parcel {n % 100}" for n in range(1200)]}), npartitions=12)
    with Simulator(latency=0.02) as sim:
        client = settings(sim, tmp_path, prices={"sim-small": (1000, 1000)}, limits=tsn.Limits(20))
        with pytest.raises(tsn.errors.BudgetExceeded):
            ddf.tsn.complete(PROMPT, client=client, max_tokens=2, max_cost=1).compute()
        assert Decimal("0.8") <= bill(sim) <= 1


def test_max_cost_without_prices_or_max_tokens_is_refused_before_money_is_spent(cluster, tmp_path, sim):
    ddf = dd.from_pandas(pd.DataFrame({"text": ["a", "b"]}), npartitions=2)
    with pytest.raises(tsn.errors.ConfigError, match="max_tokens="):
        ddf.tsn.complete(PROMPT, client=settings(sim, tmp_path), max_cost=1).compute()
    with pytest.raises(tsn.errors.ConfigError, match="above 0"):
        ddf.tsn.complete(PROMPT, client=settings(sim, tmp_path), max_cost=-1)
    assert sim.stats().requests == 0


def test_a_worker_killed_in_the_middle_costs_at_most_what_was_in_flight_there(tmp_path):
    texts = [f"parcel {n}" for n in range(400)]
    ddf = dd.from_pandas(pd.DataFrame({"text": texts}), npartitions=8)
    with Simulator(latency=0.1, bill_abandoned=True) as sim, local_cluster() as cluster:
        client = settings(sim, tmp_path, limits=tsn.Limits(16))
        future = cluster.compute(ddf.tsn.complete(PROMPT, client=client))
        wait_until(lambda: sim.stats().answers > 60)
        cluster.run(lambda: __import__("os").kill(__import__("os").getpid(), signal.SIGKILL),
                    workers=[next(iter(cluster.scheduler_info()["workers"]))], wait=False, on_error="ignore")  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = future.result(timeout=200)
        assert out["content"].notna().all() and out["text"].tolist() == texts
        extra = sim.stats().answers - len(texts)
        assert 0 <= extra <= 16, "all slots, which one worker has where the others have not begun"
