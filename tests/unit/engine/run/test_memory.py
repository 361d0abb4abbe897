"""What is alive while many rows are on their way: no task, request or record for each of them."""

from __future__ import annotations

import gc
import time
import weakref
from collections import Counter

import pandas as pd
import pytest
from support.waiting import wait_until

import tsn_frames as tsn
from tsn_frames.engine.runtime.process import process_state
from tsn_frames.simulator import Simulator

PROMPT = "Say: {text}"
OURS = ("PendingRequest", "Request", "Outcome", "Task", "Future", "PendingWrite", "Entry", "Classification", "Permit")


def frame(rows):
    return pd.DataFrame({"text": [f"message {i}" for i in range(rows)]})


def alive():
    return Counter(type(thing).__name__ for thing in gc.get_objects())


def most_alive(rows, workers, tmp_path):
    """The most objects of each kind that were seen while a run sent its rows."""
    with Simulator(latency=0.01) as sim:
        words = {"cache": tmp_path / str(rows), "ledger": tmp_path / "ledger.db", "limits": tsn.Limits(workers)}
        client = tsn.Client(sim.base_url, model="sim-small", **words)
        run = frame(rows).tsn.start(PROMPT, client=client)
        found = Counter()
        while not run.done:
            found |= alive()
            time.sleep(0.05)
        found |= alive()  # a look takes long where there is much to look at: the one before may be old
        assert run.result(progress=False)["content"].notna().all()
    return found


@pytest.mark.slow
def test_rows_that_are_sent_are_as_many_objects_as_workers(tmp_path):
    """Ten times the rows: no more of ours is alive at any moment, but for the answers."""
    few, many = most_alive(80, 8, tmp_path), most_alive(800, 8, tmp_path)
    assert many["Completion"] > 500
    for kind in OURS:
        assert many[kind] <= max(few[kind], 8) * 2 + 40, (kind, few[kind], many[kind])


@pytest.mark.slow
def test_a_cached_row_is_one_answer_and_nothing_else(sim, client):
    """Of a frame that comes from the cache no request, outcome or entry is kept for each row: a million are a few lists."""
    frame(3_000).tsn.complete(PROMPT, client=client, progress=False)
    gc.collect()
    before = alive()
    out = frame(3_000).tsn.complete(PROMPT, client=client, progress=False)
    gc.collect()
    grown = alive() - before
    assert out["cached"].all()
    assert grown["Completion"] <= 3_000 and sum(grown.values()) <= 3_000 + 1_000, grown.most_common(5)


def test_a_finished_run_is_freed_without_the_garbage_collector(client):
    """It is part of no reference cycle: of a file with a hundred parts, one part's answers are in memory."""
    gc.collect()
    gc.disable()
    try:
        frame(50).tsn.complete(PROMPT, client=client, progress=False)
        run = weakref.ref(tsn.last_run())
        process_state.last_run = None
        wait_until(lambda: run() is None)
    finally:
        gc.enable()
