"""A run's life: its states, and that reference counting alone frees it."""

import gc
import json
import subprocess
import sys
import threading
import warnings
import weakref
from pathlib import Path

import pandas as pd
import pytest
from support.simulators import set_latency
from support.waiting import SECONDS, wait_until

import tsn_frames as tsn
from tsn_frames.engine.run.executor import RunState
from tsn_frames.engine.runtime.process import process_state
from tsn_frames.simulator import Faults, Simulator

ROW_PATH = Path(__file__).parents[3] / "benchmarks" / "row_path.py"


def rows(number):
    return pd.DataFrame({"t": [f"row {i}" for i in range(number)]})


def client_of(sim, tmp_path, **words):
    return tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db", **words)


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def done(sim, tmp_path):
    rows(50).tsn.complete("{t}", client=client_of(sim, tmp_path), progress=False)


def cached(sim, tmp_path):
    done(sim, tmp_path)
    done(sim, tmp_path)


def stopped(sim, tmp_path):
    set_latency(sim, 0.1)
    run = tsn.start(rows(50).tsn.complete, "{t}", client=client_of(sim, tmp_path, limits=tsn.Limits(1)))
    wait_until(lambda: run.progress.answered)
    run.stop()
    assert run.wait(SECONDS, progress=False)
    assert run._engine.state is RunState.STOPPED


def cancelled(sim, tmp_path):
    set_latency(sim, 0.1)
    run = tsn.start(rows(50).tsn.complete, "{t}", client=client_of(sim, tmp_path, limits=tsn.Limits(2)))
    wait_until(lambda: run.progress.answered)
    run._engine.stop(grace=0.0)
    assert run.wait(SECONDS, progress=False)


def over_budget(sim, tmp_path):
    client = client_of(sim, tmp_path, prices={"sim-small": (1, 2)})
    with pytest.raises(tsn.errors.BudgetExceeded):
        rows(50).tsn.complete("{t}", client=client, max_tokens=5, max_cost=0.0005, progress=False)


def broken(sim, tmp_path):
    with Simulator(seed=0, latency=0.0, faults=Faults(error_500=1.0)) as bad, pytest.raises(tsn.errors.ServerError):
        rows(5).tsn.complete("{t}", client=client_of(bad, tmp_path, retry=tsn.Retry(backoff=0.01, budget=0)), progress=False)


@pytest.mark.parametrize("ending", [done, cached, stopped, cancelled, over_budget, broken], ids=lambda ending: ending.__name__)
def test_a_finished_run_is_freed_by_reference_counting(sim, tmp_path, no_collector, ending):
    """No reference cycle holds a run: its frames and answers are free before the garbage collector looks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ending(sim, tmp_path)
    run = tsn.last_run()
    alive = [weakref.ref(thing) for thing in (run, run._engine, run._engine.answers)]
    process_state.last_run = None
    del run
    wait_until(lambda: not any(one() for one in alive))


def test_the_states_of_a_run(sim, tmp_path):
    seen = []
    run = tsn.start(rows(3).tsn.complete, "{t}", client=client_of(sim, tmp_path))
    seen.append(run._engine.state)
    assert run.wait(SECONDS, progress=False)
    assert set(seen) <= {RunState.CREATED, RunState.RUNNING, RunState.DONE} and run._engine.state is RunState.DONE
    run.stop()
    process_state.submit(_nothing()).result(SECONDS)
    assert run._engine.state is RunState.STOPPED, "a call of several runs sends no further one"
    assert run.progress.answered == 3


async def _nothing():
    pass


def test_an_earlier_stop_is_not_put_off_by_a_later_one(tmp_path):
    with Simulator(seed=0, latency=30.0) as sim:
        run = tsn.start(rows(2).tsn.complete, "{t}", client=client_of(sim, tmp_path))
        wait_until(lambda: run.progress.requests)
        run._engine.stop(grace=0.0)
        run._engine.stop(grace=600.0)
        with pytest.warns(tsn.errors.TSNWarning, match="not sent, since"):
            assert run.wait(SECONDS, progress=False)
    assert run._engine.state is RunState.STOPPED and run.progress.unknown == run.progress.requests


def test_a_request_that_another_run_answers_during_the_look_up_is_not_paid_for_twice(sim, tmp_path, monkeypatch):
    """A run counts as active before it looks its requests up, so an answer stored after that is announced to it."""
    client = client_of(sim, tmp_path)
    looked_up, go_on = threading.Event(), threading.Event()
    from tsn_frames.engine.run import cache_lookup as module

    look_up = module.lookup

    def slow(file, index, take):
        found = look_up(file, index, take)
        if threading.current_thread() is second:
            looked_up.set()
            assert go_on.wait(SECONDS)
        return found

    monkeypatch.setattr(module, "lookup", slow)
    out = []
    second = threading.Thread(target=lambda: out.append(rows(5).tsn.complete("{t}", client=client, progress=False)))
    second.start()
    assert looked_up.wait(SECONDS)
    rows(5).tsn.complete("{t}", client=client, progress=False)
    go_on.set()
    second.join(SECONDS)
    assert out[0]["content"].notna().all() and sim.stats().requests == 5


def test_a_row_passes_few_files_and_few_threads():
    printed = subprocess.run([sys.executable, ROW_PATH], capture_output=True, text=True, check=True, timeout=120).stdout
    found = json.loads(printed)
    assert found["missed"]["row"] <= 35 and found["cached"]["row"] <= 12
    assert found["missed"]["hand_overs"] <= 4 and found["cached"]["hand_overs"] <= 4
