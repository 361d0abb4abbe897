"""What comes at an unlucky moment: each test holds a hand-over open until the stop, the end or the second call has come."""

import threading

import pandas as pd
import pytest

import tsn_frames as tsn
from tsn_frames.engine import run as engine
from tsn_frames.engine.registry import here
from tsn_frames.simulator import Simulator

pytestmark = pytest.mark.filterwarnings("ignore:.*were not sent, since the run was stopped")


def rows(number):
    return pd.DataFrame({"t": [f"row {i}" for i in range(number)]})


def client_of(sim, folder, **words):
    return tsn.Client(sim.base_url, model="sim-small", cache=folder / "c", ledger=folder / "l.db", **words)


class Gate:
    """A function that waits, the first time that it is called, until it may go on."""

    def __init__(self, real, when=lambda *_: True):
        self._real, self._when = real, when
        self._reached, self._open = threading.Event(), threading.Event()

    def __call__(self, *given, **words):
        if not self._reached.is_set() and self._when(*given):
            self._reached.set()
            assert self._open.wait(30)
        return self._real(*given, **words)

    def reached(self):
        assert self._reached.wait(30)

    def open(self):
        self._open.set()


def let_the_loop_turn():
    """Wait until the engine's loop has done all that was handed to it so far."""

    async def turn():
        pass

    here.submit(turn()).result(30)


def test_a_stop_while_another_runs_answer_is_looked_up_holds_nobody_up_later(tmp_path, monkeypatch):
    """The request stayed on its way for good: whoever asked it later in this process waited for ever."""
    looking = Gate(engine.lookup, lambda _, index, __: len(index) == 1)
    monkeypatch.setattr(engine, "lookup", looking)
    with Simulator(latency=0.02) as sim:
        client = client_of(sim, tmp_path, limits=tsn.Limits(1))
        one = rows(20).tsn.complete("{t}", client=client, background=True)
        other = rows(20)[::-1].tsn.complete("{t}", client=client, background=True)
        looking.reached()  # one of them has come to what the other one has answered
        one.stop()
        other.stop()
        let_the_loop_turn()
        looking.open()
        assert one.wait(30, progress=False) and other.wait(30, progress=False)
        client.cache.prune(older_than=pd.Timedelta(0))
        again = rows(20).tsn.complete("{t}", client=client, background=True)
        assert again.wait(30, progress=False), "it waits for an answer that nobody brings"
        assert again.frame["content"].notna().all()
