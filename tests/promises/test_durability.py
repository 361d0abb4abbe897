"""Nothing paid for is lost and nothing is paid twice: kill -9, two processes, threads, fork, event loops."""

import asyncio
import json
import multiprocessing
import os
import subprocess
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import psutil
import pytest
from support.python_process import start_python
from support.simulators import set_latency, slow_from
from support.waiting import SECONDS, wait_until, wait_until_async

import tsn_frames as tsn
from tsn_frames.engine.cache.repair import scan
from tsn_frames.simulator import Simulator

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
    """Start a process that runs code over the same server, cache and ledger."""
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    return start_python(HEAD + textwrap.dedent(code), sim.base_url, folder, rows, warnings="error", **pipes)


def answers(sim, number, process):
    """Wait until the server has billed so many answers."""

    def reached():
        assert process.poll() is None, process.communicate()
        return sim.stats().answers >= number

    wait_until(reached)


def ended(process):
    out, err = process.communicate()
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def twice(sim):
    return sum(number - 1 for number in sim.stats().billed_by_prompt.values())


def cached_and_ledgered(client):
    return {key for key, *_ in scan(client.cache.file)}, {entry.request_key for entry in client.ledger.entries()}


# kill -9


def test_kill_9_at_half_costs_only_what_was_in_flight(slow, tmp_path):
    """What was answered is on disk; the next run sends the rest, and at most `concurrency` of them were paid already."""
    slow_from(slow, ROWS // 2 + 1)
    with child("ask()", slow, tmp_path) as process:
        answers(slow, ROWS // 2, process)
        process.kill()
    set_latency(slow, 0.03)
    client, billed = client_of(slow, tmp_path), slow.stats().answers
    cached, ledgered = cached_and_ledgered(client)
    assert cached <= ledgered and len(cached) >= billed - CONCURRENCY
    out = ask(frame(), client)
    print(f"kill -9: {billed} billed, {len(cached)} cached, {twice(slow)} billed twice")
    assert out["content"].notna().all() and out["cached"].sum() == len(cached)
    assert slow.stats().requests - billed <= ROWS - len(cached) + CONCURRENCY and twice(slow) <= CONCURRENCY
    assert len(client.ledger.to_frame()) >= ROWS


@pytest.mark.slow
def test_kill_9_again_and_again_ends(slow, tmp_path):
    """A process that dies every time still gets through its frame, and never loses a commit."""
    deaths = 4
    for _ in range(deaths):
        before = slow.stats().answers
        slow_from(slow, 61)
        with child("ask()", slow, tmp_path) as process:
            answers(slow, before + 60, process)
            process.kill()
        set_latency(slow, 0.03)
        cached, ledgered = cached_and_ledgered(client_of(slow, tmp_path))
        assert cached <= ledgered
    out = ask(frame(), client_of(slow, tmp_path))
    assert out["content"].notna().all() and twice(slow) <= deaths * CONCURRENCY


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
    """A forked child can't finish that run: it raises, and leaves the parent's run alone."""
    with Simulator(latency=60.0) as sim:
        run = start(frame(5), client_of(sim, tmp_path))

        def work():
            for wait in (lambda: run.wait(progress=False), run.result, lambda: asyncio.run(run.aresult())):
                with pytest.raises(tsn.RunError, match="in the process that started it"):
                    wait()

        assert forked(work)() == 0
        wait_until(lambda: sim.stats().requests == 1)  # the first goes alone
        run._engine.stop(grace=0.0)
        with pytest.warns(tsn.errors.TSNWarning, match="5 of 5 rows"):
            assert run.wait(SECONDS, progress=False)


def test_a_child_forked_during_a_run_is_refused_and_the_run_goes_on(slow, tmp_path):
    """SQLite in the child would take the parent's locks for its own, and lose what is written there."""
    client = client_of(slow, tmp_path)
    slow_from(slow, 21)
    run = start(frame(200), client)
    wait_until(lambda: run.progress.answered >= 20)
    chat = tsn.Chat(client)

    def work():
        for send in (lambda: start(frame(40), client), lambda: ask(frame(40), client), lambda: chat.send("Hi")):
            with pytest.raises(tsn.RunError, match="forked while a run of its parent went on"):
                send()
        assert chat.messages == []

    assert forked(work)() == 0 and not run.done
    set_latency(slow, 0.0)
    assert run.result(progress=False)["content"].notna().all()
    cached, ledgered = cached_and_ledgered(client)
    assert cached == ledgered and len(cached) == slow.stats().answers == 200


def test_a_child_forked_between_runs_can_complete(slow, tmp_path):
    """No file is open then, so that neither process takes the other's locks for its own; both use the cache and the ledger."""
    client = client_of(slow, tmp_path)
    ask(frame(20), client)
    assert not [file.path for file in psutil.Process().open_files() if file.path.startswith(str(tmp_path))]

    def work():
        out = ask(frame(40), client)
        assert out["content"].notna().all() and out["cached"].sum() == 20

    ended = forked(work)
    assert ask(pd.DataFrame({"text": [f"the parent's {i}" for i in range(40)]}), client)["content"].notna().all()
    assert ended() == 0
    cached, ledgered = cached_and_ledgered(client)
    assert cached == ledgered and len(cached) == slow.stats().answers == 80


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
        set_latency(slow, 1.0)
        task = asyncio.create_task(frame(60).tsn.acomplete(PROMPT, client=client, progress=False))
        await wait_until_async(lambda: slow.stats().requests > 20)
        assert not task.done()
        set_latency(slow, 0.0)
        return first, await task

    first, second = asyncio.run(cell())
    assert first["content"].notna().all() and second["content"].notna().all()
    assert slow.stats().requests == 60


def test_acomplete_blocks_none_of_the_callers_threads(slow, tmp_path):
    """Where all that the caller's loop has are busy, or many frames are awaited at once, a run still ends when it is over."""
    go = threading.Event()

    async def cell():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = loop.run_in_executor(None, go.wait)
        try:
            async with asyncio.timeout(SECONDS):
                return await frame(20).tsn.acomplete(PROMPT, client=client_of(slow, tmp_path), progress=False)
        finally:
            go.set()
            await busy

    assert asyncio.run(cell())["content"].notna().all()


def test_acomplete_that_is_cancelled_keeps_its_answers(slow, tmp_path):
    """Cancelling is the loop's Ctrl-C: what is in flight arrives, everything is kept."""
    client = client_of(slow, tmp_path)
    slow_from(slow, 101)

    async def cell():
        task = asyncio.create_task(frame().tsn.acomplete(PROMPT, client=client, progress=False))
        await wait_until_async(lambda: slow.stats().answers >= 100)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cell())
    kept = int(tsn.last_run().frame["content"].notna().sum())
    assert tsn.last_run().done and 99 <= kept < ROWS and slow.stats().answers == kept == client.cache.stats().answers
    set_latency(slow, 0.0)
    out = ask(frame(), client)
    assert out["content"].notna().all() and twice(slow) == 0


def test_acomplete_with_a_time_limit_keeps_its_answers(slow, tmp_path):
    """asyncio.timeout around it: the same."""
    client = client_of(slow, tmp_path)
    slow_from(slow, 21)

    async def over(limit):
        await wait_until_async(lambda: slow.stats().answers >= 20)
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
    slow_from(slow, 21)
    run = start(frame(), client)
    while run.progress.answered < 20:
        assert run.wait(0.05) is False and not run.done
    part = run.frame
    assert len(part) == ROWS and 0 < part["content"].notna().sum() < ROWS and list(part.columns) == list(run.frame.columns)
    assert run.progress.rows == ROWS and 0 < run.progress.answered < ROWS and "running" in repr(run)
    run.stop()
    with pytest.warns(tsn.errors.TSNWarning, match="not sent, since the run was stopped"):
        assert run.wait(SECONDS) is True and run.done and "stopped" in repr(run)
    set_latency(slow, 0.0)
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
    wait_until(lambda: left()[0] <= threads and left()[1] <= files + 2)
    assert not [thread for thread in threading.enumerate() if thread.name == "tsn_frames-writer"]
