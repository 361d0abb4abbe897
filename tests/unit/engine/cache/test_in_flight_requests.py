"""Flights of several processes: which of them may send a request."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pandas as pd
import pytest

from tsn_frames.engine.cache.in_flight_requests import FLIGHTS, LEASE_SECONDS, Flights

KEY = b"k" * 32


@pytest.fixture
def flights(tmp_path):
    with closing(Flights(tmp_path / "cache")) as made:
        yield made


def execute(flights, sql, *values):
    with closing(sqlite3.connect(flights.file)) as connection, connection:
        return connection.execute(sql, values).fetchall()


def another(flights, *, process="elsewhere 1", expires=LEASE_SECONDS, announces=1):
    """A holder of another process, with the flight of the key."""
    execute(flights, "INSERT INTO holders VALUES ('other', ?, ?, ?)", process, time.time() + expires, announces)
    execute(flights, "INSERT INTO flights VALUES (?, 'other')", KEY)


def test_a_request_that_another_process_sends_is_not_sent(flights):
    another(flights)
    assert flights.claim(KEY) is False and flights.claim(b"x" * 32) is True
    assert flights.others() == {"other": True}


@pytest.mark.parametrize("expires", [-1.0, 100 * LEASE_SECONDS])
def test_a_lease_that_has_expired_or_is_longer_than_any_holds_nothing(flights, expires):
    another(flights, expires=expires)
    assert flights.claim(KEY) is True and flights.others() == {}


def test_a_holder_in_this_process_is_not_another_process(flights):
    another(flights, process=flights._process)
    assert flights.claim(KEY) is True and flights.others() == {}


def test_a_flight_that_has_ended_is_free_and_a_renewed_lease_goes_on(flights):
    with closing(Flights(flights.file.parent)) as second:
        second._process = "elsewhere 1"
        execute(flights, "UPDATE holders SET process = 'elsewhere 1' WHERE holder = ?", second._holder)
        second.announce([KEY])
        assert flights.claim(KEY) is False
        second.renew([KEY])
        assert flights.claim(KEY) is True and second.claim(KEY) is False
    assert execute(flights, "SELECT COUNT(*) FROM holders") == [(1,)]


def test_a_holder_that_another_process_took_for_dead_announces_its_flights_again(flights):
    with closing(Flights(flights.file.parent)) as second:
        second._process = "elsewhere 1"
        second.announce([KEY])
        execute(flights, "UPDATE holders SET expires = 0 WHERE holder = ?", second._holder)
        Flights(flights.file.parent).close()
        assert execute(flights, "SELECT COUNT(*) FROM flights") == [(0,)]
        second.renew([], [KEY])
        assert flights.others() == {second._holder: True} and flights.claim(KEY) is False


def test_holders_that_are_gone_leave_nothing(flights):
    another(flights, expires=-1.0)
    with closing(Flights(flights.file.parent)) as second:
        assert not second.announces and execute(flights, "SELECT COUNT(*) FROM flights") == [(0,)]


def test_an_answer_is_found_before_its_flight(client):
    out = pd.DataFrame({"t": ["a"]}).tsn.complete("{t}", include="request_key", client=client, progress=False)
    with closing(Flights(client.cache.folder)) as flights:
        body, when = flights.claim(bytes.fromhex(out["request_key"].iloc[0]))
        assert out["content"].iloc[0].encode() in body and abs(when - time.time()) < 600


@pytest.mark.parametrize("content", [b"no database" * 1000, b"", None])
def test_a_file_that_cannot_be_used_does_not_stop_a_run(client, content):
    file = client.cache.folder / FLIGHTS
    file.parent.mkdir(parents=True)
    file.mkdir() if content is None else file.write_bytes(content)
    out = pd.DataFrame({"t": ["a", "b"]}).tsn.complete("{t}", client=client, progress=False)
    assert out["content"].notna().all()


def test_a_foreign_holder_that_never_announces_delays_a_run_by_a_lease_at_most(client, monkeypatch):
    monkeypatch.setattr("tsn_frames.engine.cache.in_flight_requests.LEASE_SECONDS", 0.5)
    with closing(Flights(client.cache.folder)) as flights:
        another(flights, expires=1.0, announces=0)
    out = pd.DataFrame({"t": ["a"]}).tsn.complete("{t}", client=client, progress=False)
    assert out["content"].notna().all()
