"""Shared fixtures: a real server on loopback, and a client whose cache and ledger are the test's own."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from support.canary import KEY

import tsn_frames as tsn
from tsn_frames.engine.runtime.process import process_state
from tsn_frames.simulator import Simulator, count_tokens
from tsn_frames.simulator import chat_handler as simulated
from tsn_frames.simulator.answers import Choice

# The same examples in every run, so that a red one is about the change; `make hunt` draws new ones. No law is about time,
# and a machine that stands still for a moment must not be taken for a slow test.
patient = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", derandomize=True, **patient)
settings.register_profile("hunt", max_examples=2000, **patient)
settings.load_profile("same")

collect_ignore = ["typing"]  # a script that type checkers read; it never runs


def pytest_configure(config):
    """Keep the user's cache and ledger out of the doctests too, and let Ctrl-C be what it is in a notebook."""
    gc.disable()  # until all tests are collected: their objects stay, and each pass over them is in vain
    folder = tempfile.TemporaryDirectory(prefix="tsn_doctests_", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs us in the background has it ignored
    os.environ.update(
        TSN_CACHE_DIR=f"{folder.name}/cache", TSN_LEDGER=f"{folder.name}/ledger.db", TSN_REVIEWS=f"{folder.name}/reviews"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Deal the tests marked ``first`` out over the starts of the equal slices of the list that xdist's workers begin with."""
    workers = int(getattr(config, "workerinput", {}).get("workercount", 1))
    longest = [item for item in items if item.get_closest_marker("first")]
    others = [item for item in items if item not in longest]
    number = len(items)
    items.clear()
    for worker in range(workers):
        slice_of_worker = (number - len(items)) // (workers - worker)
        mine = longest[worker::workers]
        rest = max(0, slice_of_worker - len(mine))
        items += [*mine, *others[:rest]]
        del others[:rest]


def pytest_collection_finish():
    """Leave modules and collected tests out of the garbage collector's passes, also of those that a test asks for."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def apart(monkeypatch, tmp_path):
    """No test reads the user's settings, cache or ledger, or another test's client, or limits of an earlier server on its port."""
    proxies = [f"{kind}_proxy" for kind in ("http", "https", "all", "no")]
    ours = ("TSN_API_KEY", "TSN_BASE_URL", "TSN_MODEL", "TSN_PRICES")
    for name in (*ours, *proxies, *map(str.upper, proxies), "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TSN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TSN_LEDGER", str(tmp_path / "ledger.db"))
    monkeypatch.setenv("TSN_REVIEWS", str(tmp_path / "reviews"))
    yield
    process_state.client, process_state.key = None, tsn.secret.Secret(None)
    process_state.accounts.clear()


@pytest.fixture
def one_day():
    """Start away from midnight in UTC, where the spending of a test would be in two days, or two months."""
    if (left := 86_400 - time.time() % 86_400) < 20:
        time.sleep(left)


@pytest.fixture
def sim():
    with Simulator(seed=0, latency=0.0) as server:
        yield server


@pytest.fixture
def endless(monkeypatch):
    """Every answer that streams goes on for minutes: however slow the machine is, it doesn't end before it is stopped."""

    def compose(*given):
        text = "[simulated] " + " ".join(f"word{n}" for n in range(3000))
        return replace(whole(*given), choices=(Choice(text, "stop"),), completion_tokens=count_tokens(text))

    whole = simulated.compose
    monkeypatch.setattr(simulated, "compose", compose)


@pytest.fixture
def client(sim, tmp_path):
    return tsn.Client(sim.base_url, model="sim-small", api_key=KEY, cache=tmp_path / "cache", ledger=tmp_path / "ledger.db")
