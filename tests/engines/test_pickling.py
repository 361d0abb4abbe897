"""What another process gets: the verbs are plain functions that pickle with their arguments, and never with a key."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys

import pandas as pd
import pytest
from support.canary import KEY

import tsn_frames as tsn

ROWS = pd.DataFrame({"text": ["Where is my parcel?", "Two tickets for 40 euros", "Where is my parcel?"]})
CALLS = {
    "complete": ((tsn.complete,), {"prompt": "One of: a, b. {text}"}),
    "label": ((tsn.label,), {"text": "text", "labels": ["billing", "delivery"]}),
    "extract": ((tsn.extract,), {"text": "text", "fields": {"count": int, "price": float}}),
    "estimate": ((tsn.estimate, tsn.complete), {"prompt": "One of: a, b. {text}", "max_tokens": 10}),
}
WORKER = """
import pickle, sys
function, frame = pickle.load(sys.stdin.buffer)
pickle.dump(function(frame), sys.stdout.buffer)
"""


def partial_of(verb, client):
    args, words = CALLS[verb]
    return functools.partial(*args, **words, client=client)


@pytest.mark.parametrize("verb", [tsn.complete, tsn.label, tsn.extract, tsn.estimate], ids=lambda verb: verb.__name__)
def test_a_verb_is_pickled_by_its_name(verb):
    assert pickle.loads(pickle.dumps(verb)) is verb


@pytest.mark.parametrize("verb", CALLS)
@pytest.mark.parametrize("pickler", ["pickle", "cloudpickle"])
def test_a_pickled_call_has_its_client_and_no_key(verb, pickler, sim, tmp_path):
    library = pytest.importorskip(pickler)
    secrets = {"api_key": KEY, "headers": {"api-key": KEY}, "query": {"key": KEY}}
    client = tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "cache", ledger=tmp_path / "ledger.db", **secrets)
    stored = library.dumps(partial_of(verb, client))
    assert KEY.encode() not in stored
    loaded = pickle.loads(stored).keywords["client"]
    assert (loaded.base_url, loaded.model, loaded.cache.folder) == (client.base_url, client.model, client.cache.folder)


@pytest.mark.parametrize("verb", ["complete", "label", "extract"])
def test_a_worker_process_gives_the_same_rows_and_pays_for_none_twice(verb, client, sim):
    function = partial_of(verb, client)
    here = function(ROWS)
    paid = sim.stats().answers
    done = subprocess.run([sys.executable, "-c", WORKER], input=pickle.dumps((function, ROWS)), capture_output=True, check=True)
    there = pickle.loads(done.stdout)
    changed = [name for name in here.columns if name.endswith(("cost", "cached"))]
    pd.testing.assert_frame_equal(there.drop(columns=changed), here.drop(columns=changed))
    assert sim.stats().answers == paid
