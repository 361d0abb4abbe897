"""Long runs with everything going wrong at once; not part of `make test`."""

import pandas as pd
import pytest

import tsn_frames as tsn
from tsn_frames.simulator import Faults, Quota, Simulator

pytestmark = [pytest.mark.soak, pytest.mark.first]
FAULTS = Faults(
    error_500=0.02, error_502=0.01, error_429=0.02, reset=0.01, reset_before=0.01, truncate=0.01, cut_json=0.005, html=0.005,
    no_usage=0.01, hang=0.0005, hang_seconds=5.0,
)  # fmt: skip


@pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning")
def test_fifty_thousand_rows_through_mixed_faults_are_all_answered_and_all_on_record(tmp_path):
    rows = pd.DataFrame({"text": [f"row {number % 45_000}" for number in range(50_000)]})
    with Simulator(seed=5, latency=(0.01, 0.5), faults=FAULTS, quota=Quota(requests=3_000, window=2.0)) as sim:
        client = tsn.Client(
            sim.base_url, model="sim-small", cache=tmp_path / "cache", ledger=tmp_path / "ledger.db", timeout=2.0,
            limits=tsn.Limits(64), retry=tsn.Retry(backoff=0.05, unreadable=6),
        )  # fmt: skip
        out = rows.tsn.complete("{text}", client=client, progress=False)
        stats, summary = sim.stats(), tsn.last_run().summary
        again = rows.tsn.complete("{text}", client=client, progress=False)
        assert sim.stats().requests == stats.requests
    assert out["error"].isna().all() and again["cached"].all()
    assert (summary.answered, summary.deduplicated) == (50_000, 5_000)
    ledger = client.ledger.to_frame()
    known = ledger[ledger["outcome"] == "answered"]
    assert len(known) == 45_000
    assert len(ledger) >= stats.answers  # each billed answer has a line; hangs and resets may have one and no bill
    print(f"\n{summary}\n{stats}")
