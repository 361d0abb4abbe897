"""Races that a user can meet: a stop, an end or a second call that comes while another step is under way."""

import asyncio
import threading
import warnings
from contextlib import closing, nullcontext

import pandas as pd
import pytest
from support.waiting import run_loop_once, wait_until

import tsn_frames as tsn
from tsn_frames.engine.cache import repair
from tsn_frames.engine.cache.salvage_answers import salvage
from tsn_frames.engine.cache.store import Store
from tsn_frames.engine.chat.conversation import Conversation
from tsn_frames.engine.run import cache_lookup
from tsn_frames.engine.storage.sqlite import identity
from tsn_frames.engine.transport.connection import Connection
from tsn_frames.engine.transport.pool import ConnectionPool
from tsn_frames.secret import Secret
from tsn_frames.simulator import Faults, Simulator
from tsn_frames.verbs.run.run_handle import Run

pytestmark = pytest.mark.filterwarnings("ignore:.*not sent, since the run was stopped")


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


def test_a_stop_while_another_runs_answer_is_looked_up_delays_no_later_run(tmp_path, monkeypatch):
    """The flight was never finished: later callers of the same request in this process hung."""
    looking = Gate(cache_lookup.lookup, lambda _, index, __: len(index) == 1)
    monkeypatch.setattr(cache_lookup, "lookup", looking)
    with Simulator(latency=0.02) as sim:
        client = client_of(sim, tmp_path, limits=tsn.Limits(1))
        one = rows(20).tsn.start("{t}", client=client)
        other = rows(20)[::-1].tsn.start("{t}", client=client)
        looking.reached()  # one of them reads the row that the other one has answered
        one.stop()
        other.stop()
        run_loop_once()
        looking.open()
        assert one.wait(30, progress=False) and other.wait(30, progress=False)
        client.cache.prune(older_than=pd.Timedelta(0))
        again = rows(20).tsn.start("{t}", client=client)
        assert again.wait(30, progress=False), "it waits for an answer that nobody brings"
        assert again.frame["content"].notna().all()


@pytest.mark.parametrize("words", [{}, {"tag": lambda _: warnings.warn("a function of the user's own warns", stacklevel=2)}])
def test_a_warning_that_is_made_an_error_ends_a_file_before_its_part_is_sent(tmp_path, words):
    """The stop came while the part was in flight and did not reach it: all of its rows were paid for."""
    pd.DataFrame({"t": [*rows(30)["t"], None]}).to_parquet(tmp_path / "in.parquet")
    with Simulator(latency=0.05) as sim, warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((tsn.errors.TSNWarning, UserWarning)):
            tsn.complete_file(
                tmp_path / "in.parquet", tmp_path / "out", "{t}", client=client_of(sim, tmp_path), progress=False, **words
            )
        assert tsn.last_run() is None or tsn.last_run().wait(30, progress=False)
        assert sim.stats().requests == 0


def test_a_part_that_cannot_be_written_is_not_reported_as_whole(tmp_path, monkeypatch):
    from tsn_frames.verbs.files.parquet import Target

    def full(self, number, *given):
        if number:
            raise OSError("no space left on device")
        return real(self, number, *given)

    real = Target.write
    monkeypatch.setattr(Target, "write", full)
    rows(4).to_parquet(tmp_path / "in.parquet")
    words = {"chunksize": 2, "progress": False}
    with Simulator(latency=0.0) as sim, pytest.raises(OSError, match="no space") as caught:
        tsn.complete_file(tmp_path / "in.parquet", tmp_path / "out", "{t}", client=client_of(sim, tmp_path), **words)
    assert caught.value.__notes__[0].startswith("1 of 2 parts are whole")


@pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning")
def test_what_may_be_billed_in_one_part_of_a_file_is_not_spent_again_in_the_next(tmp_path):
    rows(12).to_parquet(tmp_path / "in.parquet")
    faults = Faults(cut_json=1.0, first_attempt_only=True)
    with Simulator(latency=0.0, faults=faults) as sim:
        client = client_of(sim, tmp_path, retry=tsn.Retry(backoff=0.01), prices={"sim-small": (1_000_000, 1_000_000)})
        words = {"max_tokens": 5, "max_cost": 1500, "chunksize": 4, "progress": False}
        with pytest.raises(tsn.BudgetExceeded):
            tsn.complete_file(tmp_path / "in.parquet", tmp_path / "out", "{t}", client=client, **words)
    bill = client.ledger.to_frame()
    assert 800 < bill["cost"].sum() + bill["held"].sum() <= 1500


def test_an_answer_that_is_being_written_when_a_run_is_cut_off_is_kept_and_shared(tmp_path, monkeypatch):
    """Its row had no answer, and another run that waited for it asked again, and paid again."""
    writing = Gate(Store.write)
    monkeypatch.setattr(Store, "write", lambda *given: writing(*given))
    with Simulator(latency=0.0) as sim:
        client = client_of(sim, tmp_path)
        one = rows(1).tsn.start("{t}", client=client)
        writing.reached()
        other = rows(1).tsn.start("{t}", client=client)
        wait_until(lambda: other.progress.to_send)
        run_loop_once()
        one._engine.stop(grace=0.0)  # as a second Ctrl-C does
        run_loop_once()
        writing.open()
        assert one.wait(30, progress=False) and other.wait(30, progress=False)
        assert sim.stats().requests == 1
        assert one.frame["content"].notna().all() and other.frame["content"].notna().all()


def test_an_answer_that_comes_in_the_moment_of_the_cut_is_kept():
    """The loop had it already, and the request that was cancelled in the same turn did not."""

    closed = []

    async def ask():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        transport = ConnectionPool(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", Secret(None), 10)
        try:
            post = asyncio.create_task(transport.post(b"{}", "key"))
            end, Connection.end = Connection.end, lambda *given, **words: (end(*given, **words), post.cancel())
            try:
                return await post
            finally:
                Connection.end = end
        finally:
            await transport.aclose()
            await asyncio.gather(*closed)
            server.close()
            await server.wait_closed()

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()
        closed.append(asyncio.ensure_future(writer.wait_closed()))

    assert asyncio.run(ask()).body == b"{}"


def stop_when(true):
    """Stop the newest run from another thread when something is true."""
    thread = threading.Thread(target=lambda: (wait_until(true), tsn.last_run().stop()))
    thread.start()
    return thread


def test_a_stop_of_a_part_is_the_end_of_its_file(tmp_path):
    """The part ended, and the next one was sent: only an interrupt could stop a file."""
    rows(300).to_parquet(tmp_path / "in.parquet")
    with Simulator(latency=0.1) as sim:
        client, words = client_of(sim, tmp_path, limits=tsn.Limits(1)), {"chunksize": 100, "progress": False}
        stopping = stop_when(lambda: sim.stats().answers)
        with pytest.raises(tsn.RunError, match=r"the run was stopped: \d+ of 100 rows") as caught:
            tsn.complete_file(tmp_path / "in.parquet", tmp_path / "out", "{t}", client=client, **words)
        stopping.join()
        assert sim.stats().requests < 100 and caught.value.__notes__[0].startswith("0 of 3 parts are whole")


def test_a_stop_of_one_models_run_is_the_end_of_the_comparison(tmp_path):
    with Simulator(latency=0.1) as sim:
        client = client_of(sim, tmp_path, limits=tsn.Limits(1))
        stopping = stop_when(lambda: sim.stats().answers)
        with pytest.raises(tsn.RunError, match=r"the run was stopped: \d+ of 100 rows") as caught:
            rows(100).tsn.compare("{t}", models=["sim-small", "sim-large"], client=client, progress=False)
        stopping.join()
        assert sim.stats().requests < 100 and list(caught.value.partial.table.index) == ["sim-small"]


@pytest.mark.parametrize("verb", ["complete_file", "compare"])
def test_a_stop_between_two_runs_of_one_call_is_heard(tmp_path, monkeypatch, verb):
    """The first run was over, and the second not begun: the stop had nothing to end, and the second was sent."""
    result = Run.result
    monkeypatch.setattr(Run, "result", lambda self, **words: (result(self, **words), self.stop(), run_loop_once())[0])
    with Simulator(latency=0.0) as sim:
        client = client_of(sim, tmp_path)
        rows(10).to_parquet(tmp_path / "in.parquet")
        with pytest.raises(tsn.RunError, match=r"the run was stopped: (5 of 5|10 of 10) rows"):
            if verb == "compare":
                rows(10).tsn.compare("{t}", models=["sim-small", "sim-large"], client=client, progress=False)
            else:
                tsn.complete_file(tmp_path / "in.parquet", tmp_path / "out", "{t}", client=client, chunksize=5, progress=False)
        assert sim.stats().requests == (10 if verb == "compare" else 5)


# A damaged cache


@pytest.fixture
def recovering(tmp_path, monkeypatch):
    """A cache that is being recovered in a thread: its answers are read, and it is still in its place."""
    copying = Gate(lambda *given: given)
    monkeypatch.setattr(repair, "salvage", lambda file: (copying(found := list(salvage(file))), found)[-1])
    store = Store(tmp_path)
    store.write([(bytes([i]) * 32, b"an answer", 1e9) for i in range(9)])
    damaged = identity(store.file)
    thread = threading.Thread(target=repair.recover, args=(tmp_path, damaged))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        thread.start()
        copying.reached()
        yield store, damaged, lambda: (copying.open(), thread.join(30))
        thread.join(30)
        store.close()


def test_what_is_written_while_a_cache_is_recovered_is_in_the_new_file_too(tmp_path, recovering):
    """Another run wrote on into the damaged file, and what it had paid for was put aside with it."""
    store, _, go_on = recovering
    store.write([(b"x" * 32, b"a new answer", 2e9)])
    go_on()
    assert store.was_replaced and len(list(repair.scan(store.file))) == 10


def test_two_processes_that_recover_one_cache_at_once_lose_nothing_that_the_first_of_them_wrote(
    tmp_path, recovering, monkeypatch
):
    """The second one put the first one's new file aside, with the answers that had come since."""
    store, damaged, go_on = recovering
    monkeypatch.setattr(repair, "_recovery_lock", nullcontext())  # the lock works within one process only
    repair.recover(tmp_path, damaged)
    with closing(Store(tmp_path)) as first:
        first.write([(b"x" * 32, b"a new answer", 2e9)])
        recovered = first.identity
    go_on()
    assert identity(store.file) == recovered and len(list(repair.scan(store.file))) == 10
    assert len(list(tmp_path.glob("*.corrupt-*[0-9]"))) == 1


# A conversation


def test_a_question_asked_when_an_answer_just_ends_does_not_take_its_place(tmp_path, monkeypatch):
    """The place of the question was looked up before the answer was there, and the answer, paid for, was forgotten."""
    with Simulator(latency=0.2) as sim:
        client = client_of(sim, tmp_path)
        chat = Conversation(client)
        first = chat.start("Is it cold? One of: yes, no.")
        key = Gate(tsn.Client.key)
        monkeypatch.setattr(tsn.Client, "key", lambda self: key(self))
        asking = threading.Thread(target=chat.send, args=("Is it warm? One of: yes, no.",))
        asking.start()
        key.reached()
        first.result(30)
        key.open()
        asking.join(30)
        assert [turn.role for turn in chat.turns] == ["user", "assistant"] * 2
        assert sum(client.ledger.to_frame()["completion_tokens"]) == sum(turn.completion_tokens or 0 for turn in chat.turns)
