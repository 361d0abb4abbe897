"""A labelling that is there costs at most twice the CPU that ``complete`` needs for as many cached answers."""

from __future__ import annotations

import gc
import json
import time

import pandas as pd
import pytest
from support.labelling import service

ROWS, VOTES, TIMES = 10_000, 3, 2
TOPICS = ["billing", "delivery", "praise"]

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]


def cpu(work):
    began = time.process_time()
    work()
    return time.process_time() - began


def test_a_second_labelling(tmp_path):
    df = pd.DataFrame({"text": [f"message {n} of a customer about something that went wrong" for n in range(ROWS)]})
    longer = pd.DataFrame({"text": [f"message {n} of a customer about something that went wrong" for n in range(ROWS * VOTES)]})
    with service(lambda body: json.dumps({"label": TOPICS[len(body["messages"][-1]["content"]) % 3]}), tmp_path) as (sim, client):

        def label():
            return df.tsn.label("text", TOPICS, votes=VOTES, client=client)

        def complete():
            return longer.tsn.complete("Which topic? {text}", client=client, temperature=1.0)

        label(), complete()
        sent = sim.stats().requests
        assert sent == 2 * ROWS * VOTES
        gc.collect()
        gc.freeze()  # the simulator's log in this process is not part of what is measured
        seconds = [min(cpu(work) for _ in range(3)) for work in (label, complete)]
        gc.unfreeze()
        assert sim.stats().requests == sent
    print(f"{ROWS:,} rows x {VOTES} votes from the cache: label {seconds[0]:.2f} s, complete {seconds[1]:.2f} s of CPU")
    assert seconds[0] <= TIMES * seconds[1]
