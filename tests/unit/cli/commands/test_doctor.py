"""``doctor``: what it finds out about the key, the service, its clock and its limits, with one GET."""

from email.utils import formatdate
from time import time

import pytest
from support.raw_server import RawServer, http

from tsn_frames.simulator import Simulator

MODELS = b'{"data": [{"id": "sim-small"}, {"id": "other"}]}'


@pytest.fixture
def doctor(shell, monkeypatch):
    """Run ``doctor`` against a server that answers with these headers; a function makes its header when it answers."""

    def run(*headers, status=b"200 OK"):
        async def script(peer):
            await peer.request()
            made = [header() if callable(header) else header for header in headers]
            await peer.send(http(MODELS, *made, status=status))

        with RawServer(script) as server:
            monkeypatch.setenv("TSN_BASE_URL", server.url)
            ended = shell("doctor")
            assert len(server.asked) == 1 and server.asked[0].startswith(b"GET /v1/models ")
        return ended

    return run


def date(ahead):
    return lambda: b"Date: " + formatdate(time() - ahead, usegmt=True).encode()


def test_all_is_well_with_the_simulator(shell):
    code, out, _ = shell("doctor")
    assert code == 0 and "FAIL" not in out and "model: sim-small, one of 3" in out and "cache: intact, 0 answers" in out


def test_limits_of_the_service_are_shown(shell, monkeypatch):
    with Simulator(latency=0.0, tier="pro") as server:
        monkeypatch.setenv("TSN_BASE_URL", server.base_url)
        assert "limits: 300 requests, 300 left; 1,000,000 tokens" in shell("doctor").out


@pytest.mark.parametrize(
    ("ahead", "state", "text"),
    [(0, "ok", "within 1 s"), (20, "ok", "s ahead of the service's"), (3600, "FAIL", "s ahead of"), (-3600, "FAIL", "s behind")],
)
def test_the_clock_is_compared_with_the_date_of_the_service(doctor, ahead, state, text):
    code, out, _ = doctor(date(ahead))
    [line] = [line for line in out.splitlines() if "clock:" in line]
    assert line.startswith(state) and text in line and code == (state == "FAIL")


def test_a_service_without_a_date_is_noted(doctor):
    assert "note  clock: the service sends no Date" in doctor().out


@pytest.mark.parametrize(
    ("status", "text"), [(b"401 Unauthorized", "refused the key (401)"), (b"503 Busy", "answers with an error (503)")]
)
def test_a_service_that_refuses_is_a_failure(doctor, status, text):
    code, out, _ = doctor(date(0), status=status)
    assert code == 1 and "FAIL  127.0.0.1" in out and text in out


def test_a_model_that_the_service_has_not_is_noted(doctor, monkeypatch):
    monkeypatch.setenv("TSN_MODEL", "sim-smal")
    assert "model: sim-smal is not in the service's list; did you mean 'sim-small'?" in doctor().out


def test_a_missing_key_is_a_failure_and_nothing_is_sent(shell, monkeypatch):
    monkeypatch.delenv("TSN_BASE_URL")
    code, out, _ = shell("doctor")
    assert code == 1 and "FAIL  there is no API key for api.tokensupernova.com" in out and "answers in" not in out


def test_a_server_that_is_not_there_is_a_failure(shell):
    code, out, _ = shell("doctor", "--base-url", "http://127.0.0.1:1")
    assert code == 1 and "127.0.0.1:1 can't be reached" in out
