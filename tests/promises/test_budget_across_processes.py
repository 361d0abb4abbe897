"""A day's budget holds over all processes that share a ledger, by the service's own bill."""

import signal
import sqlite3
import subprocess
from contextlib import closing
from decimal import Decimal

import pytest
from support.clock import zone_at_noon
from support.python_process import run_python, start_python
from support.simulators import set_latency, slow_from
from support.suspending import suspend
from support.waiting import wait_until

from tsn_frames.simulator import Faults, Simulator

PRICE = Decimal(1000) / 1_000_000
ZONE = zone_at_noon()  # no day ends in it during a test
CHILD = """
import sys, warnings, pandas as pd, tsn_frames as tsn
from tsn_frames.engine.budget import leases
warnings.simplefilter("ignore", tsn.errors.TSNWarning)
url, folder, name, rows, cap, seconds, zone = sys.argv[1:]
leases.LEASE_SECONDS = float(seconds)
client = tsn.Client(url, model="sim-small", cache=folder + "/cache" + name, ledger=folder + "/ledger.db", limits=tsn.Limits(16),
                    prices={"sim-small": (1000, 1000)}, budget={"day": cap, "month": 2 * float(cap), "timezone": zone},
                    retry=tsn.Retry(attempts=3, budget=10_000, backoff=0.01))
df = pd.DataFrame({"t": [f"{name} {i}" for i in range(int(rows))]})
try:
    out, end = tsn.complete(df, "one of: a, b. {t}", client=client, max_tokens=2, progress=False), "all"
except tsn.RunError as error:
    out, end = error.partial, type(error).__name__ + ": " + str(error)
print(out["content"].notna().sum(), end)
"""


def process(sim, folder, name, rows, cap, seconds=60.0):
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    return start_python(CHILD, sim.base_url, folder, name, rows, cap, seconds, ZONE, **pipes)


def ended(one):
    out, err = one.communicate()
    assert one.returncode == 0, err
    answers, _, end = out.partition(" ")
    return int(answers), end.strip()


def bill(sim):
    stats = sim.stats()
    return (stats.billed_prompt_tokens + stats.billed_completion_tokens) * PRICE


def is_used_up(end):
    return f"a day ({ZONE}) is used up" in end


def query(folder, sql):
    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        return connection.execute(sql).fetchall()


def recorded(folder):
    """Return what the ledger's lines add up to, and the leases in it."""
    lines = query(folder, "SELECT coalesce(cost, held) FROM attempts")
    return sum(Decimal(amount) for (amount,) in lines), query(folder, "SELECT run FROM budget_leases")


def test_four_processes_never_pass_a_cap_and_use_most_of_it(tmp_path):
    cap = 10  # a process alone would pass it; a request holds a sixtieth of it
    with Simulator(latency=(0.005, 0.05)) as sim:
        ends = [ended(one) for one in [process(sim, tmp_path, name, 1000, cap) for name in "abcd"]]
        assert Decimal("0.9") * cap <= bill(sim) <= cap
        assert all(is_used_up(end) for _, end in ends), ends
        assert recorded(tmp_path) == (bill(sim), [])


@pytest.mark.slow
def test_answers_that_never_arrive_count_in_every_process(tmp_path):
    faults = Faults(reset=0.05, error_500=0.05, truncate=0.05, cut_json=0.05, no_usage=0.05, error_503=0.05)
    with Simulator(latency=(0.005, 0.05), faults=faults) as sim:
        ends = [ended(one) for one in [process(sim, tmp_path, name, 1000, 10) for name in "abcd"]]
        assert bill(sim) <= recorded(tmp_path)[0] <= 10
        assert all(is_used_up(end) for _, end in ends), ends


@pytest.mark.first
@pytest.mark.parametrize("sign", ["SIGKILL", "SIGSTOP"])
def test_a_process_that_dies_or_is_suspended_costs_the_others_its_lease_until_that_expires(tmp_path, sign):
    """The other process waits for the money, and spends it then; the suspended one goes on with what is left."""
    with Simulator(latency=(0.05, 0.1)) as sim:
        slow_from(sim, 101)
        first = process(sim, tmp_path, "first", 2000, 10, seconds=3)
        wait_until(lambda: sim.stats().answers >= 100)
        if sign == "SIGSTOP":
            suspend(first, tmp_path / "ledger.db")
        else:
            first.kill()
        set_latency(sim, 0.05)
        (lease,) = query(tmp_path, "SELECT run, authorized FROM budget_leases WHERE period = 'day'")
        answers, end = ended(process(sim, tmp_path, "second", 2000, 10, seconds=3))
        assert lease[0] not in [run for (run,) in query(tmp_path, "SELECT run FROM budget_leases")]
        assert answers > 0 and is_used_up(end)
        assert recorded(tmp_path)[0] > 10 - Decimal("0.25")  # all of the lease that isn't spent was used
        if sign == "SIGSTOP":
            first.send_signal(signal.SIGCONT)
            assert is_used_up(ended(first)[1])
            assert bill(sim) == recorded(tmp_path)[0]
        else:
            first.communicate()
        in_flight = 16 * Decimal("0.02")
        assert bill(sim) <= 10 + in_flight


EXITS = (
    CHILD.split("try:", maxsplit=1)[0]
    + """
run = tsn.start(tsn.complete, df, "one of: a, b. {t}", client=client, max_tokens=2)
while not run.progress.requests:
    pass
"""
)


def test_a_script_that_ends_during_a_run_leaves_no_lease(tmp_path):
    with Simulator(latency=(0.05, 0.1)) as sim:
        done = run_python(EXITS, sim.base_url, tmp_path, "exits", 1000, 10, 60, ZONE)
        assert done.returncode == 0, done.stderr
        assert bill(sim) <= recorded(tmp_path)[0] <= 10 and recorded(tmp_path)[1] == []
