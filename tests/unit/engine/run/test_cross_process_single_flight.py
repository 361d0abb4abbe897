"""Claims of one run's requests while another process has the file of in_flight_requests."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing

import pandas as pd
import pytest
from support.python_process import run_python
from support.waiting import SECONDS

from tsn_frames.engine.cache import in_flight_requests
from tsn_frames.engine.run import executor
from tsn_frames.engine.run.cross_process_single_flight import ProcessFlights

ASK = """
import sys
import pandas as pd, tsn_frames as tsn
client = tsn.Client(sys.argv[1], model="sim-small", cache=sys.argv[2], ledger=sys.argv[3])
pd.DataFrame({"t": ["a", "b", "c"]}).tsn.complete("{t}", client=client, progress=False)
"""


@pytest.fixture
def shared(client, monkeypatch):
    """The file of a cache that another process uses too."""
    monkeypatch.setattr(in_flight_requests, "BUSY_TIMEOUT", 0.05)
    file = client.cache.folder / in_flight_requests.FLIGHTS
    with closing(in_flight_requests.Flights(file.parent)), closing(sqlite3.connect(file, isolation_level=None)) as connection:
        expires = time.time() + in_flight_requests.LEASE_SECONDS
        connection.execute("INSERT INTO holders VALUES ('other', 'elsewhere 1', ?, 1)", (expires,))
        yield connection


def test_cached_answers_are_found_while_another_process_holds_the_lock_of_the_file(client, shared):
    async def claims(key):
        one = ProcessFlights(client.cache)
        shared.execute("BEGIN IMMEDIATE")
        try:
            return [await one.claim(each) for each in (b"x" * 32, key)]
        finally:
            shared.execute("ROLLBACK")
            await one.close()

    out = pd.DataFrame({"t": ["a"]}).tsn.complete("{t}", include="request_key", client=client, progress=False)
    first, second = asyncio.run(claims(bytes.fromhex(out["request_key"].iloc[0])))
    assert first is True and second[0].content == out["content"].iloc[0]


def test_flights_that_ended_while_the_file_was_locked_are_removed_later(client, shared):
    key = b"x" * 32

    async def end_while_locked():
        one = ProcessFlights(client.cache)
        assert await one.claim(key) is True
        shared.execute("BEGIN IMMEDIATE")
        one.end(key)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            one._renew(one._file, [])
        shared.execute("ROLLBACK")
        assert shared.execute("SELECT COUNT(*) FROM flights").fetchone() == (1,)
        one._renew(one._file, [])
        assert shared.execute("SELECT COUNT(*) FROM flights").fetchone() == (0,)
        await one.close()

    asyncio.run(end_while_locked())


def test_the_loop_goes_on_while_a_run_that_ends_waits_for_the_file(client, shared, monkeypatch):
    """The call of a task that was cancelled still has the file, and only the loop can let it come to its end."""
    monkeypatch.setattr(in_flight_requests, "BUSY_TIMEOUT", SECONDS)
    monkeypatch.setattr(in_flight_requests, "CLOSING_TIMEOUT", SECONDS)

    async def end_while_locked():
        one = ProcessFlights(client.cache)
        holders = shared.execute("SELECT COUNT(*) FROM holders").fetchone()[0]
        shared.execute("BEGIN IMMEDIATE")
        claim = asyncio.create_task(one.claim(b"x" * 32))
        await asyncio.sleep(0.1)
        claim.cancel()
        closing_it = asyncio.create_task(one.close())
        await asyncio.sleep(0.1)
        assert not closing_it.done()
        shared.execute("ROLLBACK")
        await closing_it
        assert shared.execute("SELECT COUNT(*) FROM holders").fetchone()[0] == holders - 1

    asyncio.run(end_while_locked())


def test_answers_of_a_process_that_ends_before_this_run_is_among_the_flights_are_not_paid_for_again(sim, client, monkeypatch):
    """It announces nothing, since it is alone; its answers come after this run has looked up the cache."""
    df = pd.DataFrame({"t": ["a", "b", "c"]})

    def after_another_process(cache):
        assert run_python(ASK, client.base_url, cache.folder, client.ledger.path).returncode == 0
        return ProcessFlights(cache)

    monkeypatch.setattr(executor, "ProcessFlights", after_another_process)
    out = df.tsn.complete("{t}", client=client, progress=False)
    assert out["cached"].all() and sim.stats().requests == 3
