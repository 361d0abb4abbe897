"""A service whose answers carry a signal: a simulator that answers by the text of the request, and counts."""

from __future__ import annotations

import re
from contextlib import contextmanager

import tsn_frames as tsn
from tsn_frames.simulator import Simulator

FENCED = re.compile(r"^--- text (\w+) ---\n(.*)\n--- end \1 ---$", re.DOTALL | re.MULTILINE)
PRICES = {"sim-small": (2, 8), "sim-large": (2, 8), "m": (2, 8)}


def text_of(body):
    """The text of the row that a request is about: the last one, after those of the examples."""
    found = [match[2] for message in body["messages"] if (match := FENCED.search(message["content"]))]
    return found[-1]


def is_repair(body):
    return body["messages"][-1]["content"].startswith("That is not valid")


@contextmanager
def service(answer, folder, **settings):
    """A simulator that answers with ``answer(body)``, and a client with prices, cache and ledger in a folder."""
    with Simulator(latency=0.0, answer=answer) as sim:
        yield sim, client_of(sim.base_url, folder, **settings)


def client_of(base_url, folder, **settings):
    known = {"model": "sim-small", "prices": PRICES, "cache": folder / "cache", "ledger": folder / "ledger.db"}
    return tsn.Client(base_url, **{**known, **settings})
