"""100,000 rows on four worker processes, against a service that enforces 20 requests at once and 3,000 a minute."""

import random
import time

import pandas as pd
import pytest

import tsn_frames as tsn
from tsn_frames.simulator import Quota, Simulator

pytest.importorskip("distributed")
dd = pytest.importorskip("dask.dataframe")
from support.dask_cluster import forget_results, local_cluster  # noqa: E402

import tsn_frames.dask  # noqa: E402

pytestmark = [pytest.mark.soak, pytest.mark.first, pytest.mark.timeout(590), pytest.mark.filterwarnings("ignore")]
ROWS, PARTITIONS, DISTINCT = 100_000, 50, 9_000
AT_ONCE, A_MINUTE, LATENCY = 20, 3_000, 0.2


def test_100_000_rows_keep_the_limits_of_the_account_share_them_and_pay_for_each_request_once(tmp_path):
    rng = random.Random(1)
    texts = [f"Where is parcel {int(DISTINCT * rng.random() ** 1.5)}?" for _ in range(ROWS)]
    distinct = len(set(texts))
    ddf = dd.from_pandas(pd.DataFrame({"text": pd.array(texts, dtype="string")}), npartitions=PARTITIONS)
    quota = Quota(requests=A_MINUTE, window=60, concurrency=AT_ONCE)
    with Simulator(latency=LATENCY, quota=quota) as sim, local_cluster(4) as cluster:
        client = tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "cache", ledger=tmp_path / "ledger.db",
                            limits=tsn.Limits(AT_ONCE, requests_per_minute=A_MINUTE))  # fmt: skip
        begun = time.monotonic()
        out = ddf.tsn.complete("one of: a, b. {text}", client=client).compute()
        seconds, stats = time.monotonic() - begun, sim.stats()
        print(f"{distinct} requests in {seconds:.1f} s, {distinct / seconds * 60:.0f} a minute, {stats}")
        assert len(out) == ROWS
        assert out["error"].value_counts().to_dict() == {}
        assert out["content"].isna().sum() == 0
        assert stats.answers == distinct == sum(1 for _ in client.ledger.entries())
        assert max(stats.billed_by_prompt.values()) == 1
        assert AT_ONCE / 4 < stats.peak_concurrency <= AT_ONCE, "more than the share of one worker, and no more than all"
        assert stats.refused <= 0.01 * stats.requests
        forget_results(cluster)
        again = ddf.tsn.complete("one of: a, b. {text}", client=client).compute()
        sent = sim.stats().requests - stats.requests
        assert sent == 0, "a second computation sends nothing"
        assert int((~again["cached"]).sum()) == 0, "rows that are not from the cache"
