"""``ddf.tsn`` on a cluster of worker processes: the key stays out of it, errors keep their type, equal requests are sent once."""

import urllib.request

import pandas as pd
import pytest
from support.canary import KEY

import tsn_frames as tsn
from tsn_frames.simulator import Simulator

pytest.importorskip("distributed")
dd = pytest.importorskip("dask.dataframe")
from support.dask_cluster import local_cluster  # noqa: E402

import tsn_frames.dask  # noqa: E402

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]
TEXTS = [f"Where is parcel {n}?" for n in range(50)]
ROWS = pd.DataFrame({"text": pd.array(TEXTS * 8, dtype="string"), "n": range(400)})


@pytest.fixture(scope="module")
def cluster():
    with local_cluster() as client:
        yield client


@pytest.fixture
def key_on_workers(cluster):
    """Set the key in the environment of each worker, as a user's deployment does."""
    # A function of this module can't be imported there; one that is pickled by value can.
    codes = [ord(letter) for letter in KEY]  # so that the test itself doesn't send what it looks for
    cluster.run(lambda: __import__("os").environ.update(TSN_API_KEY="".join(map(chr, codes))))
    yield
    cluster.run(lambda: __import__("os").environ.pop("TSN_API_KEY"))


@pytest.fixture
def ddf():
    return dd.from_pandas(ROWS, npartitions=8)


def test_workers_give_the_rows_of_the_pandas_verb_and_share_what_is_paid(cluster, ddf, sim, client):
    out = ddf.tsn.label("text", ["billing", "delivery"], client=client).compute()
    assert sim.stats().answers == len(TEXTS)
    here = ROWS.tsn.label("text", ["billing", "delivery"], client=client, progress=False)
    changed = ["label_cost", "label_cached"]
    pd.testing.assert_frame_equal(out.drop(columns=changed), here.drop(columns=changed))
    assert len(list(client.ledger.entries())) == sim.stats().answers == len(TEXTS)


def test_a_background_run_is_a_future_of_dask(cluster, ddf, sim, client):
    future = cluster.compute(ddf.tsn.complete("One of: a, b. {text}", client=client))
    assert future.result()["content"].isin(["a", "b"]).all()


def test_a_worker_without_a_key_says_where_it_reads_one(cluster, ddf, tmp_path):
    client = tsn.Client("https://models.invalid", api_key=KEY, model="m", cache=tmp_path / "c", ledger=tmp_path / "l.db")
    with pytest.raises(tsn.errors.ConfigError, match="TSN_API_KEY in the environment of the worker"):
        ddf.tsn.complete("{text}", client=client).compute()


def test_an_error_keeps_its_type_however_large_its_partition_is(cluster, client, sim):
    sim.balance = 1
    ddf = dd.from_pandas(pd.DataFrame({"text": ["word " * 5000 + str(n) for n in range(8)]}), npartitions=2)
    with pytest.raises(tsn.errors.BalanceError, match="balance"):
        ddf.tsn.complete("{text}", client=client).compute()


PAGES = ["info/main/workers.html", "info/main/logs.html", "info/logs.json", "json/counts.json", "json/identity.json", "metrics", "status",
         "info/main/events.html"]  # fmt: skip


def test_the_key_is_in_no_task_log_event_or_page(cluster, key_on_workers, ddf, tmp_path):
    with Simulator(keys=[KEY], latency=0.0) as sim:
        client = tsn.Client(sim.base_url, api_key=KEY, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db")
        future = cluster.compute(ddf.tsn.complete("One of: a, b. {text}", client=client))
        assert len(future.result()) == len(ROWS)
        assert sim.stats().answers >= len(TEXTS), "the workers have the key"
        scheduler = cluster.run_on_scheduler(lambda dask_scheduler: repr([
            (one.key, one.run_spec and __import__("pickle").dumps(one.run_spec), one.annotations, one.metadata)
            for one in dask_scheduler.tasks.values()
        ]))  # fmt: skip
        events, logs = repr(cluster.get_events()), repr(cluster.get_worker_logs()) + repr(cluster.get_scheduler_logs())
        pages = [page for page in map(page_of(cluster), PAGES) if page]
    assert len(scheduler) > 500 and len(pages) > 3
    assert not [text[:80] for text in (scheduler, events, logs, *pages) if KEY in text]


def page_of(cluster):
    base = cluster.dashboard_link.removesuffix("status")

    def read(path):
        try:
            with urllib.request.urlopen(base + path, timeout=120) as page:
                return page.read().decode()
        except urllib.error.HTTPError:  # not every page is there without bokeh
            return ""

    return read
