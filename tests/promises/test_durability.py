"""Nothing paid for is lost and nothing is paid twice: kill -9, Ctrl-C, two processes, threads, fork, event loops."""

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pandas as pd
import psutil
import pytest
from support.waiting import happened, until

import tsn_frames as tsn
from tsn_frames.engine.cache.store import scan
from tsn_frames.engine.ledger import file as ledger_file
from tsn_frames.engine.ledger.file import Entry
from tsn_frames.engine.runtime import process as registry
from tsn_frames.engine.sync import WriterPause
from tsn_frames.simulator import Faults, Simulator

ROWS, CONCURRENCY = 300, 8
PROMPT = "Say: {text}"
# What every child process begins with. A shell that runs us in the background may have SIGINT ignored.
HEAD = """
import json, os, signal, sys, threading, time, warnings
signal.signal(signal.SIGINT, signal.default_int_handler)
import pandas as pd, psutil, tsn_frames as tsn
url, folder, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = tsn.Client(url, model="sim-small", cache=folder + "/cache", ledger=folder + "/ledger.db", limits=tsn.Limits(8))
df = pd.DataFrame({"text": [f"message {i}" for i in range(rows)]})
def ask(**words): return df.tsn.complete("Say: {text}", client=client, progress=False, **words)
def start(**words): return df.tsn.start("Say: {text}", client=client, progress=False, **words)
"""


@pytest.fixture
def slow():
    with Simulator(seed=0, latency=0.03) as sim:
        yield sim


def frame(number=ROWS):
    return pd.DataFrame({"text": [f"message {i}" for i in range(number)]})


def client_of(sim, folder, **words):
    return tsn.Client(
        sim.base_url,
        model="sim-small",
        cache=folder / "cache",
        ledger=folder / "ledger.db",
        limits=tsn.Limits(CONCURRENCY),
        **words,
    )


def ask(df, client, **words):
    return df.tsn.complete(PROMPT, client=client, progress=False, **words)


def start(df, client, **words):
    return df.tsn.start(PROMPT, client=client, progress=False, **words)


def child(code, sim, folder, rows=ROWS):
    """Start a process of its own that runs code over the same server, cache and ledger."""
    command = [sys.executable, "-W", "error", "-c", HEAD + textwrap.dedent(code), sim.base_url, str(folder), str(rows)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answers(sim, number, process, seconds=30):
    """Wait until the server has billed so many answers."""
    until = time.monotonic() + seconds
    while sim.stats().answers < number:
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.005)


def ended(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def twice(sim):
    return sum(number - 1 for number in sim.stats().billed_by_prompt.values())


def cached_and_ledgered(client):
    return {key for key, *_ in scan(client.cache.file)}, {entry.request_key for entry in client.ledger.entries()}


# kill -9


def test_kill_9_at_half_costs_only_what_was_in_flight(slow, tmp_path):
    """What was answered is on disk; the next run sends the rest, and at most `concurrency` of them were paid already."""
    with child("ask()", slow, tmp_path) as process:
        answers(slow, ROWS // 2, process)
        process.kill()
    client, billed = client_of(slow, tmp_path), slow.stats().answers
    cached, ledgered = cached_and_ledgered(client)
    assert cached <= ledgered and len(cached) >= billed - CONCURRENCY
    out = ask(frame(), client)
    print(f"kill -9: {billed} billed, {len(cached)} cached, {twice(slow)} billed twice")
    assert out["content"].notna().all() and out["cached"].sum() == len(cached)
    assert slow.stats().requests - billed <= ROWS - len(cached) + CONCURRENCY and twice(slow) <= CONCURRENCY
    assert len(client.ledger.to_frame()) >= ROWS


def test_kill_9_again_and_again_comes_to_an_end(slow, tmp_path):
    """A process that dies every time still gets through its frame, and never loses a commit."""
    deaths = 0
    for deaths in range(1, 5):
        before = slow.stats().answers
        with child("ask()", slow, tmp_path) as process:
            answers(slow, before + 60, process)
            process.kill()
        cached, ledgered = cached_and_ledgered(client_of(slow, tmp_path))
        assert cached <= ledgered
    out = ask(frame(), client_of(slow, tmp_path))
    assert out["content"].notna().all() and twice(slow) <= deaths * CONCURRENCY


# Ctrl-C

INTERRUPTED = """
try:
    ask()
except KeyboardInterrupt as error:
    said, run = str(error), tsn.last_run()
    kept = int(run.frame["content"].notna().sum())
    again = ask()
    print(json.dumps({"said": said, "kept": kept, "done": run.done, "again": int(again["content"].notna().sum()),
                      "cached": int(again["cached"].sum()), "unknown": run.summary.unknown}))
"""


def test_an_interrupt_at_half_keeps_every_answer_and_the_next_run_works(slow, tmp_path):
    """Ctrl-C: one line says how many rows are kept; what was in flight arrived; the same process goes on from there."""
    process = child(INTERRUPTED, slow, tmp_path)
    answers(slow, ROWS // 2, process)
    process.send_signal(signal.SIGINT)
    told = ended(process)
    print(f"SIGINT: {told['kept']} kept, {twice(slow)} billed twice")
    assert f"stopped: {told['kept']:,} of {ROWS:,} rows" in told["said"] and "\n" not in told["said"]
    assert "tsn.last_run().frame" in told["said"] and "run the cell again" in told["said"]
    assert ROWS // 2 - 1 <= told["kept"] < ROWS and told["done"] and told["unknown"] == 0
    assert (told["again"], told["cached"]) == (ROWS, told["kept"])
    assert twice(slow) == 0 and slow.stats().answers == ROWS
    cached, ledgered = cached_and_ledgered(client_of(slow, tmp_path))
    assert cached == ledgered and len(cached) == ROWS


TWICE_INTERRUPTED = """
from tsn_frames.engine.run.executor import RunExecutor
RunExecutor.stop.__defaults__ = (600.0,)  # in a slow moment no grace may pass by itself
def tell():
    while not (tsn.last_run() and tsn.last_run()._engine._stopped): time.sleep(0.01)
    print("heard", flush=True)
threading.Thread(target=tell, daemon=True).start()
try:
    ask()
except KeyboardInterrupt:
    run = tsn.last_run()
    kept = int(run.frame["content"].notna().sum())
    print(json.dumps({"kept": kept, "unknown": run.summary.unknown, "done": run.done}))
"""


def test_a_second_interrupt_ends_at_once(slow, tmp_path):
    """While the server hangs, the second Ctrl-C doesn't wait for the grace to pass; the abandoned are told and on record."""
    process = child(TWICE_INTERRUPTED, slow, tmp_path)
    answers(slow, 100, process)
    slow.faults = Faults(hang=1.0)
    until(lambda: slow.stats().faults.get("hang") == CONCURRENCY)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "heard\n"  # two that come before the first is heard are one
    time.sleep(0.5)
    assert process.poll() is None  # it waits for what is in flight
    process.send_signal(signal.SIGINT)
    told = ended(process)
    assert told["kept"] >= 99 and told["done"]
    assert 1 <= told["unknown"] <= CONCURRENCY
    outcomes = client_of(slow, tmp_path).ledger.to_frame()["outcome"].value_counts()
    assert outcomes["unknown"] == told["unknown"] and outcomes["answered"] == told["kept"]


def test_an_interrupt_of_wait_stops_a_background_run(slow, tmp_path):
    """The same rules on Run.wait()."""
    code = """
    run = start()
    try: run.wait()
    except KeyboardInterrupt: print(json.dumps({"kept": int(run.frame["content"].notna().sum()), "done": run.done}))
    """
    process = child(code, slow, tmp_path)
    answers(slow, 60, process)
    process.send_signal(signal.SIGINT)
    told = ended(process)
    assert told["done"] and 59 <= told["kept"] < ROWS and slow.stats().answers == told["kept"]


# More than one at a time


def test_two_processes_share_one_folder_and_one_ledger(slow, tmp_path):
    """Started at once on a cache that doesn't exist yet, with half of the rows in common: no warning, nothing lost."""
    code = 'print(json.dumps({"answered": int(ask()["content"].notna().sum())}))'
    processes = [child(code, slow, tmp_path, rows) for rows in (120, 120, 80)]
    assert [ended(process)["answered"] for process in processes] == [120, 120, 80]
    client = client_of(slow, tmp_path)
    cached, ledgered = cached_and_ledgered(client)
    assert len(cached) == 120 and cached == ledgered
    assert len(client.ledger.to_frame()) == slow.stats().answers
    slow.reset_stats()
    assert ask(frame(120), client)["cached"].all() and slow.stats().requests == 0


def test_two_threads_on_one_frame_share_its_requests(slow, tmp_path):
    """Equal requests of two runs of a process are sent once; both get every answer."""
    client, outs = client_of(slow, tmp_path), []
    threads = [threading.Thread(target=lambda: outs.append(ask(frame(100), client))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [out["content"].notna().sum() for out in outs] == [100] * 3
    assert slow.stats().requests == 100 and twice(slow) == 0


def test_threads_with_folders_of_their_own_leave_the_umask_alone(slow, tmp_path):
    """Runs that open their caches at the same moment: the process's umask is not theirs to change."""
    before = os.umask(0o022)
    threads = [threading.Thread(target=ask, args=(frame(5), client_of(slow, tmp_path / str(i)))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.umask(before) == 0o022


def test_a_forked_child_can_complete(slow, tmp_path):
    """os.fork in mid-life, while a run of the parent goes on: both end, and the parent's answers are the child's."""
    client = client_of(slow, tmp_path)
    ask(frame(20), client)
    run = start(frame(200), client)
    while run.progress.answered < 60:
        run.wait(0.01)
    pid = os.fork()
    if not pid:
        code = 1
        try:
            out = ask(frame(40), client)
            code = 0 if out["content"].notna().all() and out["cached"].all() and tsn.last_run() is not run else 2
            code = code or (0 if ask(pd.DataFrame({"text": ["the child's own"]}), client)["content"].notna().all() else 3)
        finally:
            os._exit(code)
    assert run.result(progress=False)["content"].notna().all()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    cached, ledgered = cached_and_ledgered(client)
    assert cached == ledgered and len(cached) == 201


def forked(work):
    """Do something in a forked child, and return how it ended."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_forked_child_does_not_wait_for_its_parents_run(tmp_path):
    """Nobody brings that run to its end there: it says so, and leaves the parent's alone."""
    with Simulator(latency=60.0) as sim:
        run = start(frame(5), client_of(sim, tmp_path))

        def work():
            for wait in (lambda: run.wait(progress=False), run.result, lambda: asyncio.run(run.aresult())):
                with pytest.raises(tsn.RunError, match="in the process that began it"):
                    wait()

        assert forked(work)() == 0
        until(lambda: sim.stats().requests == 1)  # the first goes alone
        run._engine.stop(grace=0.0)
        with pytest.warns(tsn.TSNWarning, match="5 of 5 rows"):
            assert run.wait(30, progress=False)


def entry(number):
    return Entry(float(number), "run", "host", "model", "answered", 1, 2, 3, None, b"%032d" % number, None, 0.1)


def test_what_a_forked_child_writes_outlives_the_end_of_its_parents_run(slow, tmp_path):
    """SQLite in the child took the parent's locks for its own: the parent, when it closed, deleted the log that was written to."""
    client, ready, go = client_of(slow, tmp_path), os.pipe(), os.pipe()
    run = start(frame(60), client)
    until(lambda: run.progress.answered > 10)

    def work():
        with closing(client.ledger.open()) as file:
            file.write([entry(1)])
            os.write(ready[1], b"1")
            os.read(go[0], 1)
            file.write([entry(2)])

    ended = forked(work)
    os.read(ready[0], 1)
    assert run.result(progress=False)["content"].notna().all()
    os.write(go[1], b"1")
    assert ended() == 0
    assert len([line for line in client.ledger.entries() if line.run == "run"]) == 2 and len(client.ledger.to_frame()) == 62
    for end in (*ready, *go):
        os.close(end)


def test_a_fork_in_the_middle_of_a_commit_locks_the_child_out_of_nothing(slow, tmp_path, monkeypatch):
    """The child had the parent's lock, which nobody there could ever give back."""
    client, inside, go, real = client_of(slow, tmp_path), threading.Event(), threading.Event(), ledger_file._storable

    def storable(line):  # in the middle of the transaction
        inside.set()
        assert go.wait(30)
        return real(line)

    monkeypatch.setattr(ledger_file, "_storable", storable)
    run = start(frame(1), client)
    assert inside.wait(30)
    threading.Timer(0.2, go.set).start()  # a fork waits for the commit

    def work():
        monkeypatch.undo()
        with closing(client.ledger.open(0.5)) as file:
            file.write([entry(1)])

    assert forked(work)() == 0
    assert run.result(progress=False)["content"].notna().all()


def test_an_interrupt_of_a_fork_leaves_no_writer_at_rest(slow, tmp_path, monkeypatch):
    """Python drops what is raised before a fork; the run in the parent has to go on all the same."""

    class Interrupted(WriterPause):
        def __init__(self):
            super().__init__()
            self.begun.wait = interrupt

    def interrupt(_seconds):
        raise KeyboardInterrupt

    dropped = []
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)
    monkeypatch.setattr(registry, "WriterPause", Interrupted)
    run = start(frame(), client_of(slow, tmp_path))
    until(lambda: run.progress.answered > 10)
    assert forked(lambda: None)() == 0
    assert [one.exc_type for one in dropped] == [KeyboardInterrupt]
    assert run.wait(30, progress=False) and run.frame["content"].notna().all()


def _in_pool(client, text):
    return ask(pd.DataFrame({"text": [text]}), client)["content"].notna().all()


def test_a_pool_of_forked_processes_can_complete(slow, tmp_path):
    """multiprocessing with the fork context, after the parent has used the client."""
    client = client_of(slow, tmp_path)
    ask(frame(3), client)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert all(pool.starmap(_in_pool, [(client, f"message {i}") for i in range(9)]))
    assert slow.stats().requests == 9 and client.cache.stats().answers == 9


# Event loops


def test_it_works_inside_a_running_event_loop(slow, tmp_path):
    """In Jupyter a loop is running already: complete() blocks it and works, acomplete() doesn't block it."""
    client = client_of(slow, tmp_path)

    async def cell():
        first = ask(frame(20), client)
        ticks, task = 0, asyncio.create_task(frame(60).tsn.acomplete(PROMPT, client=client, progress=False))
        while not task.done():
            await asyncio.sleep(0.005)
            ticks += 1
        return first, await task, ticks

    first, second, ticks = asyncio.run(cell())
    assert first["content"].notna().all() and second["content"].notna().all() and ticks > 10
    assert slow.stats().requests == 60


def test_acomplete_waits_on_none_of_the_callers_threads(slow, tmp_path):
    """Where all that the caller's loop has are busy, or many frames are awaited at once, a run still ends when it is over."""
    go = threading.Event()

    async def cell():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = loop.run_in_executor(None, go.wait, 60)
        try:
            async with asyncio.timeout(30):
                return await frame(20).tsn.acomplete(PROMPT, client=client_of(slow, tmp_path), progress=False)
        finally:
            go.set()
            await busy

    assert asyncio.run(cell())["content"].notna().all()


def test_acomplete_that_is_cancelled_keeps_its_answers(slow, tmp_path):
    """Cancelling is the loop's Ctrl-C: what is in flight arrives, everything is kept."""
    client = client_of(slow, tmp_path)

    async def cell():
        task = asyncio.create_task(frame().tsn.acomplete(PROMPT, client=client, progress=False))
        while slow.stats().answers < 100:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cell())
    kept = int(tsn.last_run().frame["content"].notna().sum())
    assert tsn.last_run().done and 99 <= kept < ROWS and slow.stats().answers == kept == client.cache.stats().answers
    out = ask(frame(), client)
    assert out["content"].notna().all() and twice(slow) == 0


def test_acomplete_with_a_time_limit_keeps_its_answers(slow, tmp_path):
    """asyncio.timeout around it: the same."""
    client = client_of(slow, tmp_path)

    async def over(limit):
        await happened(lambda: slow.stats().answers >= 20)
        limit.reschedule(0)

    async def cell():
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as others:
            others.create_task(over(limit))
            await frame().tsn.acomplete(PROMPT, client=client, progress=False)

    with pytest.raises(TimeoutError):
        asyncio.run(cell())
    assert 20 <= client.cache.stats().answers == slow.stats().answers < ROWS


# In the background


def test_a_background_run_can_be_watched_stopped_and_resumed(slow, tmp_path):
    """.frame so far, .progress, .wait(timeout), .stop(), .result(); then another run pays only for the rest."""
    client = client_of(slow, tmp_path)
    run = start(frame(), client)
    while run.progress.answered < 20:
        assert run.wait(0.05) is False and not run.done
    part = run.frame
    assert len(part) == ROWS and 0 < part["content"].notna().sum() < ROWS and list(part.columns) == list(run.frame.columns)
    assert run.progress.rows == ROWS and 0 < run.progress.answered < ROWS and "going on" in repr(run)
    run.stop()
    with pytest.warns(tsn.TSNWarning, match="were not sent, since the run was stopped"):
        assert run.wait(30) is True and run.done and "done" in repr(run)
    kept, out = run.progress.answered, run.result(progress=False)
    assert out["content"].notna().sum() == kept == slow.stats().answers == client.cache.stats().answers
    assert out["error"].dropna().str.startswith("not_sent").all() and (out["content"].isna() == out["error"].notna()).all()
    rest = start(frame(), client).result(progress=False)
    assert rest["content"].notna().all() and slow.stats().requests == ROWS


def test_thirty_runs_leave_nothing_behind(sim, client):
    """No thread, no file, no socket more than after the first few; a pool of threads has its own limit."""
    process = psutil.Process()

    def runs(number):
        for _ in range(number):
            ask(pd.DataFrame({"text": [f"{sim.stats().requests} {j}" for j in range(5)]}), client)

    def left():
        threads = [thread.name for thread in threading.enumerate()]
        pool = sum(name.startswith("asyncio_") for name in threads)  # of a few, which come as they are needed
        return len(threads) - pool, process.num_fds()

    runs(10)
    threads, files = map(min, zip(*((left(), time.sleep(0.02))[0] for _ in range(20))))  # sockets are closed a moment later
    runs(30)
    until(lambda: left()[0] <= threads and left()[1] <= files + 2)
    assert not [thread for thread in threading.enumerate() if thread.name == "tsn_frames-writer"]
