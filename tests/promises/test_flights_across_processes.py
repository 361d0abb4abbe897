"""A request is sent by one of the processes that share a cache; the others wait for its answer."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing

import pytest
from support.python_process import start_python
from support.simulators import set_latency, slow_from
from support.suspending import suspend
from support.waiting import wait_until

from tsn_frames.simulator import Faults, Simulator

CHILD = """
import sys, pandas as pd, tsn_frames as tsn
from tsn_frames.engine.cache import in_flight_requests
url, folder, rows, seconds, order = sys.argv[1:]
in_flight_requests.LEASE_SECONDS = float(seconds)
client = tsn.Client(url, model="sim-small", cache=folder + "/cache", ledger=folder + "/ledger.db", limits=tsn.Limits(16),
                    retry=tsn.Retry(attempts=8, budget=10_000, backoff=0.01))
df = pd.DataFrame({"t": [f"text {i}" for i in range(int(rows))]}).sample(frac=1.0, random_state=int(order))
print("ready", flush=True)
input()
out = tsn.complete(df, "one of: a, b. {t}", client=client, progress=False)
print(out["content"].notna().sum(), tsn.last_run().summary.requests)
"""


def processes(sim, folder, rows, *, orders, seconds=15.0):
    """Start processes that begin their runs together, however long each takes to import."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    started = [start_python(CHILD, sim.base_url, folder, rows, seconds, order, **pipes) for order in orders]
    for one in started:
        assert one.stdout.readline() == "ready\n"
    for one in started:
        one.stdin.write("\n")
        one.stdin.flush()
    return started


def process(sim, folder, rows, *, seconds=15.0):
    return processes(sim, folder, rows, orders=[0], seconds=seconds)[0]


def ended(one):
    out, err = one.communicate()
    assert one.returncode == 0, err
    return tuple(map(int, out.split()))


def query(folder, sql):
    with closing(sqlite3.connect(folder / "cache" / "cache.db.flights")) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize("orders", [(0, 0, 0, 0), pytest.param((1, 2, 3, 4), marks=pytest.mark.slow)], ids=["equal", "shuffled"])
def test_four_processes_send_each_request_once(tmp_path, orders):
    with Simulator(latency=(0.05, 0.5)) as sim:
        ends = [ended(one) for one in processes(sim, tmp_path, 500, orders=orders)]
        assert [rows for rows, _ in ends] == [500] * 4
        assert sum(sent for _, sent in ends) == 500 == sim.stats().requests
        assert sum(sent > 0 for _, sent in ends) > 1, "they share the work"


def test_a_process_that_comes_later_waits_for_what_is_in_flight(tmp_path):
    with Simulator(latency=1.5) as sim:
        first = process(sim, tmp_path, 16)
        wait_until(lambda: sim.stats().requests > 0)
        assert ended(process(sim, tmp_path, 16)) == (16, 0) and ended(first) == (16, 16)
        assert sim.stats().requests == 16


@pytest.mark.slow
def test_failures_are_sent_again_by_any_of_them(tmp_path):
    with Simulator(latency=0.02, faults=Faults(error_500=0.2)) as sim:
        ends = [ended(one) for one in processes(sim, tmp_path, 300, orders=(1, 2, 3))]
        assert [rows for rows, _ in ends] == [300] * 3 and sim.stats().answers == 300


def expire(process, folder):
    """Let the lease of a suspended process expire at once."""
    with closing(sqlite3.connect(folder / "cache" / "cache.db.flights")) as connection, connection:
        connection.execute("UPDATE holders SET expires = 0 WHERE process LIKE ?", (f"% {process.pid}",))


@pytest.mark.parametrize("suspended", [False, True], ids=["killed", "suspended"])
def test_the_others_go_on_after_the_end_of_a_holder(tmp_path, suspended):
    """A killed process is known to be dead at once; one that is suspended is when its lease has expired."""
    with Simulator(latency=0.2) as sim:
        slow_from(sim, 101)
        first, second = processes(sim, tmp_path, 400, orders=(1, 2), seconds=60.0)
        wait_until(lambda: sim.stats().answers >= 100)
        if suspended:
            suspend(first, tmp_path / "cache" / "cache.db.flights", tmp_path / "cache" / "cache.db", tmp_path / "ledger.db")
            expire(first, tmp_path)
        else:
            first.kill()
            first.communicate()  # until then it is a zombie, which counts as alive until its lease expires
        set_latency(sim, 0.2)
        assert ended(second)[0] == 400
        assert 400 <= sim.stats().requests <= 400 + 16, "sent twice: at most what the dead one had in flight"
        first.kill()
        first.communicate()


def test_a_crash_delays_the_next_run_by_nothing(tmp_path):
    with Simulator(latency=0.2) as sim:
        slow_from(sim, 21)
        first = process(sim, tmp_path, 200, seconds=600.0)
        wait_until(lambda: sim.stats().answers >= 20)
        first.kill()
        first.communicate()
        set_latency(sim, 0.2)
        left = query(tmp_path, "SELECT holder FROM holders")
        assert len(left) == 1
        assert ended(process(sim, tmp_path, 200))[0] == 200
        assert query(tmp_path, "SELECT holder FROM holders") == left, "a run that ends, with no other in its way, removes itself"
        assert query(tmp_path, "SELECT holder FROM flights WHERE holder NOT IN (SELECT holder FROM holders)") == []
