"""What comes at an unlucky moment: each test holds a hand-over open until the stop, the end or the second call has come."""

import asyncio
import gc
import os
import threading
import warnings
from contextlib import closing, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import tqdm
from support.waiting import let_the_loop_turn, until

import tsn_frames as tsn
from tsn_frames import sandbox
from tsn_frames._gc import gc_paused
from tsn_frames.engine.cache import repair
from tsn_frames.engine.cache import store as store_room
from tsn_frames.engine.cache.salvage import carve as carved
from tsn_frames.engine.cache.store import Store
from tsn_frames.engine.chat.conversation import Conversation
from tsn_frames.engine.chat.pending_answer import PendingAnswer
from tsn_frames.engine.run import executor as engine
from tsn_frames.engine.run.progress import Progress
from tsn_frames.engine.runtime.process import process_state
from tsn_frames.engine.storage.sqlite import identity
from tsn_frames.engine.transport.connection import Connection
from tsn_frames.engine.transport.pool import ConnectionPool
from tsn_frames.secret import Secret
from tsn_frames.simulator import Faults, Simulator
from tsn_frames.verbs.compare import metrics
from tsn_frames.verbs.files.parts import PartRunner
from tsn_frames.verbs.run.run import Run

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


def test_a_stop_while_another_runs_answer_is_looked_up_holds_nobody_up_later(tmp_path, monkeypatch):
    """The request stayed on its way for good: whoever asked it later in this process waited for ever."""
    looking = Gate(engine.lookup, lambda _, index, __: len(index) == 1)
    monkeypatch.setattr(engine, "lookup", looking)
    with Simulator(latency=0.02) as sim:
        client = client_of(sim, tmp_path, limits=tsn.Limits(1))
        one = rows(20).tsn.start("{t}", client=client)
        other = rows(20)[::-1].tsn.start("{t}", client=client)
        looking.reached()  # one of them has come to what the other one has answered
        one.stop()
        other.stop()
        let_the_loop_turn()
        looking.open()
        assert one.wait(30, progress=False) and other.wait(30, progress=False)
        client.cache.prune(older_than=pd.Timedelta(0))
        again = rows(20).tsn.start("{t}", client=client)
        assert again.wait(30, progress=False), "it waits for an answer that nobody brings"
        assert again.frame["content"].notna().all()


@pytest.mark.parametrize("words", [{}, {"tag": lambda _: warnings.warn("a function of the user's own warns", stacklevel=2)}])
def test_a_warning_that_is_made_an_error_ends_a_file_before_its_part_is_sent(tmp_path, words):
    """It was told when the part was on its way already, and nobody stopped that: all of its rows were paid for."""
    pd.DataFrame({"t": [*rows(30)["t"], None]}).to_parquet(tmp_path / "in.parquet")
    with Simulator(latency=0.05) as sim, warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((tsn.TSNWarning, UserWarning)):
            tsn.complete_file(
                tmp_path / "in.parquet", tmp_path / "out", "{t}", client=client_of(sim, tmp_path), progress=False, **words
            )
        assert tsn.last_run() is None or tsn.last_run().wait(30, progress=False)
        assert sim.stats().requests == 0


def test_a_part_that_cannot_be_written_is_not_told_as_whole(tmp_path, monkeypatch):
    from tsn_frames.verbs.files.parquet import Target

    def full(self, number, *given):
        if number:
            raise OSError("no space left on device")
        return real(self, number, *given)

    real = Target.write
    monkeypatch.setattr(Target, "write", full)
    rows(4).to_parquet(tmp_path / "in.parquet")
    words = {"chunksize": 2, "progress": False}
    with Simulator(latency=0.0) as sim, pytest.raises(OSError, match="no space") as told:
        tsn.complete_file(tmp_path / "in.parquet", tmp_path / "out", "{t}", client=client_of(sim, tmp_path), **words)
    assert told.value.__notes__[0].startswith("1 of 2 parts are whole")


@pytest.mark.filterwarnings("ignore::tsn_frames.TSNWarning")
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


def interrupted(submit):
    """Return what hands work over, and is interrupted then: the loop's thread has the processor, and Ctrl-C comes meanwhile."""

    def hand_over(work):
        submit(work)
        raise KeyboardInterrupt

    return hand_over


def test_an_interrupt_while_a_run_is_handed_over_stops_it(tmp_path, monkeypatch):
    """Nobody waited yet, so nobody stopped it: the whole run was sent after Ctrl-C, and paid for."""
    with Simulator(latency=0.1) as sim:
        client = client_of(sim, tmp_path, limits=tsn.Limits(1))
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(process_state, "begin", interrupted(process_state.begin))
            rows(30).tsn.complete("{t}", client=client, progress=False)
        run = tsn.last_run()
        until(lambda: run.progress.done == 30)
        assert sim.stats().requests <= 1
        assert run.wait(30, progress=False) and run.frame["error"].notna().sum() >= 29


def test_an_interrupt_before_a_run_is_handed_over_leaves_nobody_waiting(tmp_path, monkeypatch):
    def begin(_work):
        raise KeyboardInterrupt

    with Simulator(latency=0.0) as sim:
        client = client_of(sim, tmp_path)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="0 of 5 rows are answered"):
            patch.setattr(process_state, "begin", begin)
            rows(5).tsn.complete("{t}", client=client, progress=False)
        assert tsn.last_run().wait(30, progress=False) and tsn.last_run().summary.not_sent == 5
        assert sim.stats().requests == 0


def test_an_interrupt_between_two_steps_of_a_call_lets_nothing_be_sent(tmp_path, monkeypatch):
    """The run was handed over in the first step and waited for in the second: it went on, and was paid for to its end."""

    def wait(*_, **__):
        raise KeyboardInterrupt

    with Simulator(latency=0.0) as sim:
        client = client_of(sim, tmp_path)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Run, "wait", wait)
            rows(5).tsn.complete("{t}", client=client, progress=False)
        let_the_loop_turn()
        assert (sim.stats().requests, process_state.going) == (0, {})


def test_who_waits_takes_no_lock_that_an_interrupt_would_leave_locked(tmp_path, monkeypatch):
    """A Future's lock is taken in Python: Ctrl-C just then, and the engine's thread waited for it to the end of the kernel."""
    entered, enter, main = [], threading.Condition.__enter__, threading.get_ident()

    def noted(self):
        if threading.get_ident() == main:
            entered.append(self)
        return enter(self)

    def begun(work):
        monkeypatch.setattr(threading.Condition, "__enter__", noted)
        begin(work)

    with Simulator(latency=0.05) as sim:
        client, begin = client_of(sim, tmp_path), process_state.begin
        let_the_loop_turn()  # it is there already
        monkeypatch.setattr(process_state, "begin", begun)
        rows(3).to_parquet(tmp_path / "in.parquet")
        tsn.complete_file(tmp_path / "in.parquet", tmp_path / "out", "{t}", client=client, progress=False)
        monkeypatch.setattr(threading.Condition, "__enter__", enter)
        Conversation(client).send("Is it cold? One of: yes, no.")
        monkeypatch.undo()
        assert entered == []


def test_a_file_changes_no_filter_of_warnings_while_a_part_is_waited_for(tmp_path, monkeypatch):
    """Ctrl-C, when they were just being put back, and the kernel told no warning any more."""
    wait, seen = Run.wait, []
    monkeypatch.setattr(
        Run, "wait", lambda self, *given, **words: (seen.append(warnings.filters), wait(self, *given, **words))[1]
    )
    rows(3).to_parquet(tmp_path / "in.parquet")
    with Simulator(latency=0.0) as sim:
        tsn.complete_file(tmp_path / "in.parquet", tmp_path / "out", "{t}", client=client_of(sim, tmp_path), progress=False)
    assert seen and all(filters is warnings.filters for filters in seen)


def once_interrupted(monkeypatch, owner, name):
    """Have a function be interrupted as it returns from its first call."""
    real, called = getattr(owner, name), []

    def interrupted_once(*given, **words):
        found = real(*given, **words)
        called.append(given)
        if len(called) == 1:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(owner, name, interrupted_once)


def test_an_interrupt_when_all_is_answered_says_so(tmp_path, monkeypatch):
    """It came when only the sums were still to be made, and neither the parts nor the comparison were told of."""
    rows(4).to_parquet(tmp_path / "in.parquet")
    once_interrupted(monkeypatch, PartRunner, "_summary")
    once_interrupted(monkeypatch, metrics, "table")
    with Simulator(latency=0.0) as sim:
        client = client_of(sim, tmp_path)
        with pytest.raises(KeyboardInterrupt, match="2 of 2 parts are whole"):
            tsn.complete_file(tmp_path / "in.parquet", tmp_path / "out", "{t}", client=client, chunksize=2, progress=False)
        with pytest.raises(KeyboardInterrupt) as told:
            rows(4).tsn.compare("{t}", models=["sim-small", "sim-large"], client=client, progress=False)
    assert told.value.partial.table["answered"].tolist() == [4, 4]


def test_an_interrupt_at_the_end_of_a_run_that_failed_is_one(tmp_path, monkeypatch):
    """It came out as the run's own error, and a loop over many calls that expects those went on and spent."""
    once_interrupted(monkeypatch, Run, "_say_all")
    with Simulator(latency=0.0, keys=["another"]) as sim, pytest.raises(KeyboardInterrupt):
        rows(2).tsn.complete("{t}", client=client_of(sim, tmp_path), progress=False)


def test_an_interrupt_just_when_an_export_is_begun_leaves_no_file(tmp_path, monkeypatch):
    cache = tsn.Cache(tmp_path / "c")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        once_interrupted(patch, os, "close")
        cache.export(tmp_path / "answers.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_of_a_simulation_that_begins_ends_its_simulator(monkeypatch):
    servers = [thread for thread in threading.enumerate() if thread.name == "tsn-simulator"]
    once_interrupted(monkeypatch, sandbox, "Client")
    with pytest.raises(KeyboardInterrupt):
        tsn.simulate()
    assert process_state.client is None
    assert [thread for thread in threading.enumerate() if thread.name == "tsn-simulator"] == servers


def test_an_interrupt_leaves_no_bar_open(tmp_path, monkeypatch):
    """The collector closed it, on the engine's thread: where Ctrl-C had left tqdm's lock locked, that waited for it for ever."""
    once_interrupted(monkeypatch, Progress, "update")
    before = set(tqdm.tqdm._instances)
    with Simulator(latency=0.5) as sim, pytest.raises(KeyboardInterrupt):
        rows(2).tsn.complete("{t}", client=client_of(sim, tmp_path), progress=True)
    assert set(tqdm.tqdm._instances) == before


def test_a_bar_that_an_interrupt_left_half_made_holds_nobody_up():
    """Ctrl-C inside tqdm leaves its lock locked; then the collector takes the bar away, on the engine's thread."""
    bar = Progress(True, 2)._made()
    lock = bar.get_lock()
    lock.acquire()
    bar.itself = bar
    del bar

    async def collect():
        return gc.collect()

    try:
        assert process_state.submit(collect()).result(30)
    finally:
        lock.release()


def test_an_interrupt_just_when_the_collector_is_held_lets_it_go(monkeypatch):
    def disable():
        real()
        raise KeyboardInterrupt

    real = gc.disable
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(gc, "disable", disable)
        with gc_paused():
            pass
    assert gc.isenabled()


def test_an_answer_that_is_being_written_when_a_run_is_cut_off_is_kept_and_shared(tmp_path, monkeypatch):
    """Its row had no answer, and another run that waited for it asked again, and paid again."""
    writing = Gate(Store.write)
    monkeypatch.setattr(Store, "write", lambda *given: writing(*given))
    with Simulator(latency=0.0) as sim:
        client = client_of(sim, tmp_path)
        one = rows(1).tsn.start("{t}", client=client)
        writing.reached()
        other = rows(1).tsn.start("{t}", client=client)
        until(lambda: other.progress.to_send)
        let_the_loop_turn()
        one._engine.stop(grace=0.0)  # as a second Ctrl-C does
        let_the_loop_turn()
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
            end, Connection._end = Connection._end, lambda *given, **words: (end(*given, **words), post.cancel())
            try:
                return await post
            finally:
                Connection._end = end
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
    thread = threading.Thread(target=lambda: (until(true), tsn.last_run().stop()))
    thread.start()
    return thread


def test_a_stop_of_a_part_is_the_end_of_its_file(tmp_path):
    """The part ended, and the next one was sent: nobody could stop a file but by an interrupt."""
    rows(30).to_parquet(tmp_path / "in.parquet")
    with Simulator(latency=0.1) as sim:
        client, words = client_of(sim, tmp_path, limits=tsn.Limits(1)), {"chunksize": 10, "progress": False}
        stopping = stop_when(lambda: sim.stats().answers)
        with pytest.raises(tsn.RunError, match=r"the run was stopped: \d+ of 10 rows") as told:
            tsn.complete_file(tmp_path / "in.parquet", tmp_path / "out", "{t}", client=client, **words)
        stopping.join()
        assert sim.stats().requests < 10 and told.value.__notes__[0].startswith("0 of 3 parts are whole")


def test_a_stop_of_one_models_run_is_the_end_of_the_comparison(tmp_path):
    with Simulator(latency=0.1) as sim:
        client = client_of(sim, tmp_path, limits=tsn.Limits(1))
        stopping = stop_when(lambda: sim.stats().answers)
        with pytest.raises(tsn.RunError, match=r"the run was stopped: \d+ of 10 rows") as told:
            rows(10).tsn.compare("{t}", models=["sim-small", "sim-large"], client=client, progress=False)
        stopping.join()
        assert sim.stats().requests < 10 and list(told.value.partial.table.index) == ["sim-small"]


@pytest.mark.parametrize("verb", ["complete_file", "compare"])
def test_a_stop_between_two_runs_of_one_call_is_heard(tmp_path, monkeypatch, verb):
    """The first run was over, and the second not begun: the stop had nothing to end, and the second was sent."""
    result = Run.result
    monkeypatch.setattr(Run, "result", lambda self, **words: (result(self, **words), self.stop(), let_the_loop_turn())[0])
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
def mending(tmp_path, monkeypatch):
    """A cache that is just being mended, in a thread: all of it is read, and it is still in its place."""
    carve = Gate(lambda *given: given)
    monkeypatch.setattr(store_room, "carve", lambda file: (carve(found := list(carved(file))), found)[-1])
    store = Store(tmp_path)
    store.write([(bytes([i]) * 32, b"an answer", 1e9) for i in range(9)])
    damaged = identity(store.file)
    thread = threading.Thread(target=repair.mend, args=(tmp_path, damaged, store_room._fill))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        thread.start()
        carve.reached()
        yield store, damaged, lambda: (carve.open(), thread.join(30))
        thread.join(30)
        store.close()


def test_what_is_written_while_a_cache_is_mended_is_in_the_new_file_too(tmp_path, mending):
    """Another run wrote on into the damaged file, and what it had paid for was put aside with it."""
    store, _, go_on = mending
    store.write([(b"x" * 32, b"a new answer", 2e9)])
    go_on()
    assert store.was_replaced and len(list(store_room.scan(store.file))) == 10


def test_two_processes_that_mend_one_cache_at_once_lose_nothing_that_the_first_of_them_wrote(tmp_path, mending, monkeypatch):
    """The second one put the first one's new file aside, with the answers that had come since."""
    store, damaged, go_on = mending
    monkeypatch.setattr(repair, "_one_at_a_time", nullcontext())  # which holds in one process only
    repair.mend(tmp_path, damaged, store_room._fill)
    with closing(Store(tmp_path)) as first:
        first.write([(b"x" * 32, b"a new answer", 2e9)])
        mended = first.identity
    go_on()
    assert identity(store.file) == mended and len(list(store_room.scan(store.file))) == 10
    assert len(list(tmp_path.glob("*.corrupt-*[0-9]"))) == 1


@pytest.mark.parametrize(("owner", "name", "aside"), [(os, "mkdir", 0), (Path, "rename", 1)])
def test_an_interrupt_while_a_damaged_cache_is_put_aside_leaves_one_in_its_place(tmp_path, monkeypatch, owner, name, aside):
    """There was none, and all answers were paid for again."""
    with closing(Store(tmp_path)) as store:
        store.write([(bytes([i]) * 32, b"an answer", 1e9) for i in range(9)])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        once_interrupted(patch, owner, name)
        repair.mend(tmp_path, identity(store.file), store_room._fill)
    assert len(list(store_room.scan(store.file))) == 9
    assert len(list(tmp_path.glob("*.corrupt-*[0-9]"))) == aside and not list(tmp_path.glob(".mending-*"))


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


def test_a_question_that_could_not_be_begun_leaves_the_chat_as_it_was(tmp_path, monkeypatch):
    """Nobody brought an answer, and until the end of the kernel every other question was told to wait for it."""
    with Simulator(latency=0.0) as sim:
        chat = Conversation(client_of(sim, tmp_path))
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="can't start"):

            def full(_work):
                raise RuntimeError("can't start new thread")

            patch.setattr(process_state, "begin", full)
            chat.start("Is it cold? One of: yes, no.")
        assert (chat.turns, chat.streaming) == ((), False)
        assert chat.send("Is it cold? One of: yes, no.") in ("yes", "no")


def test_an_interrupt_while_a_question_is_handed_over_takes_it_back(tmp_path, monkeypatch):
    with Simulator(latency=0.1) as sim:
        chat = Conversation(client_of(sim, tmp_path))
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(process_state, "begin", interrupted(process_state.begin))
            chat.send("Is it cold? One of: yes, no.")
        assert (chat.turns, chat.streaming) == ((), False)
        chat.send("Is it warm? One of: yes, no.")
        assert [turn.role for turn in chat.turns] == ["user", "assistant"]


def test_an_interrupt_just_after_a_question_was_asked_stops_its_answer(tmp_path, monkeypatch):
    """Nobody waited for it yet, and it went on: the next cell was told to wait."""

    def answer(_):
        raise KeyboardInterrupt

    with Simulator(latency=0.2) as sim:
        chat = Conversation(client_of(sim, tmp_path))
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(PendingAnswer, "answer", answer)
            chat.send("Is it cold? One of: yes, no.")
        assert (chat.streaming, chat.turns[1].state) == (False, "stopped")


def test_an_interrupt_while_a_chats_page_is_told_of_a_question_takes_it_back(tmp_path, monkeypatch):
    """Nobody had begun to bring the answer, and every other question was told to wait for it."""
    with Simulator(latency=0.0) as sim:
        chat = Conversation(client_of(sim, tmp_path))
        chat.listen(SimpleNamespace(**dict.fromkeys(("began", "grew", "ended", "changed"), lambda *_: None)))
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(process_state, "call", interrupted(process_state.call))
            chat.send("Is it cold? One of: yes, no.")
        assert (chat.turns, chat.streaming) == ((), False)
        assert chat.send("Is it warm? One of: yes, no.") in ("yes", "no")
