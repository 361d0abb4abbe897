"""Ctrl-C in a script's process and the interrupt of a Jupyter kernel: nothing paid for is lost, and the next call works."""

import json
import os
import signal
import subprocess
import threading

import pandas as pd
import pytest
from jupyter_client.manager import KernelManager
from support.python_process import start_python
from support.simulators import at_request, set_latency, slow_from
from support.waiting import wait_until

import tsn_frames as tsn
from tsn_frames.engine.cache.repair import scan
from tsn_frames.simulator import Faults, Simulator

ROWS, CONCURRENCY = 200, 8
SECONDS = 60.0

HEAD = f"""
import json, threading, time
from pathlib import Path
import pandas as pd, tqdm, tsn_frames as tsn
from tsn_frames.engine.run.executor import RunExecutor
tsn.set_client(tsn.Client(url, model="sim-small", cache=folder + "/cache", ledger=folder + "/ledger.db", limits=tsn.Limits({CONCURRENCY})))
df = pd.DataFrame({{"text": [f"message {{i}}" for i in range({ROWS})]}})
df.to_parquet(folder + "/in.parquet")
chat = tsn.Chat()
def start(): return df.tsn.start("Say: {{text}}")
"""
CALLS = {
    "complete": 'df.tsn.complete("Say: {text}", progress=False)',
    "complete with a bar": 'df.tsn.complete("Say: {text}", progress=True)',
    "complete_file": 'tsn.complete_file(folder + "/in.parquet", folder + "/out", "Say: {text}", chunksize=40, progress=False)',
    "compare": 'df.tsn.compare("Say: {text}", models=["sim-small", "sim-large"], progress=False)',
    "wait": "start().wait(progress=False)",
    "result": "start().result(progress=False)",
    "compare, started": 'tsn.start(df.tsn.compare, "Say: {text}", models=["sim-small", "sim-large"]).result(progress=False)',
    "complete_file, started": """tsn.start(tsn.complete_file, folder + "/in.parquet", folder + "/out", "Say: {text}",
                                           chunksize=40).result(progress=False)""",
}
STATE = """
run = tsn.last_run()
print(json.dumps({"done": run.done, "kept": int(run.progress.answered), "unknown": run.summary.unknown, "bars": len(tqdm.tqdm._instances)}))
"""

REPL = """
import json, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
scope = {}
for line in sys.stdin:
    end = None
    try:
        exec(json.loads(line), scope)
    except BaseException as error:
        end = [type(error).__name__, str(error)]
    print("end:" + json.dumps(end), flush=True)
"""


class Script:
    """A Python process that executes code; Ctrl-C is a real SIGINT."""

    def __init__(self):
        self._process = start_python(REPL, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._process.pid

    def start(self, code):
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()

    def result(self):
        """Return the error's name and text, or None, and what was printed."""
        printed = []
        while not (line := self._process.stdout.readline()).startswith("end:"):
            assert line, f"the process ended: {self._process.wait(SECONDS)}"
            printed.append(line)
        return json.loads(line[4:]), "".join(printed)

    def interrupt(self):
        self._process.send_signal(signal.SIGINT)

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(SECONDS) == 0
        self._process.stdout.close()


class Kernel:
    """A Jupyter kernel that executes cells; the interrupt is the one of the notebook's Stop button."""

    def __init__(self):
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(stderr=subprocess.DEVNULL)
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=SECONDS)

    def start(self, code):
        self._cell = self._client.execute(code)

    def result(self):
        reply = self._client.get_shell_msg(timeout=SECONDS)
        while reply["parent_header"].get("msg_id") != self._cell:
            reply = self._client.get_shell_msg(timeout=SECONDS)
        printed, content = [], reply["content"]
        while True:
            message = self._client.get_iopub_msg(timeout=SECONDS)
            if message["parent_header"].get("msg_id") == self._cell:
                if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                    printed.append(message["content"]["text"])
                if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                    break
        end = None if content["status"] == "ok" else [content["ename"], content["evalue"]]
        return end, "".join(printed)

    def interrupt(self):
        self._manager.interrupt_kernel()

    def close(self):
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module", params=[Script, Kernel], ids=["script", "kernel"])
def shared_python(request):
    python = request.param()
    yield python
    python.close()


@pytest.fixture
def slow():
    with Simulator(seed=0, latency=0.03, token_rate=100.0) as sim:
        yield sim


@pytest.fixture
def python(shared_python, slow, tmp_path):
    """A Python with its own client, cache and ledger."""
    assert execute(shared_python, f"url, folder = {slow.base_url!r}, {str(tmp_path)!r}\n{HEAD}") == ""
    return shared_python


def execute(python, code):
    """Execute code that must not fail, and return what it prints."""
    python.start(code)
    end, printed = python.result()
    assert end is None, end
    return printed


def interrupted(python):
    """Return the text of the KeyboardInterrupt that the call ends with."""
    end, _ = python.result()
    assert end is not None and end[0] == "KeyboardInterrupt", end
    return end[1]


def on_disk(folder):
    """Return the keys in the cache, those of answers in the ledger, and how often the ledger says that the outcome is unknown."""
    entries = list(tsn.Ledger(folder / "ledger.db").entries())
    answered = {entry.request_key for entry in entries if entry.outcome == "answered"}
    return {key for key, *_ in scan(tsn.Cache(folder / "cache").file)}, answered, sum(e.outcome == "unknown" for e in entries)


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_at_half_loses_no_answer_and_the_next_call_goes_on(python, slow, tmp_path, call):
    models = 2 if call.startswith("compare") else 1
    total, half = (
        ROWS * models,
        ROWS // 2 + ROWS * (models - 1),
    )  # half of the second model's, as between two runs none is stopped
    slow_from(slow, half + 1, 0.5)
    python.start(CALLS[call])
    wait_until(lambda: slow.stats().answers >= half)
    python.interrupt()
    said = interrupted(python)
    set_latency(slow, 0.0)
    billed = slow.stats().answers
    assert half <= billed < total
    if call == "complete_file":
        assert " of 5 parts are whole" in said and "run the same call again" in said
    else:
        assert "are answered and kept" in said and "run the cell again" in said
    cached, answered, unknown = on_disk(tmp_path)
    assert cached == answered and (len(cached), unknown) == (billed, 0)
    state = json.loads(execute(python, STATE))
    assert state["done"] and (state["unknown"], state["bars"]) == (0, 0)
    execute(python, CALLS[call])
    assert slow.stats().requests == slow.stats().answers == total, "the next call sends only what has no answer yet"


@pytest.mark.parametrize("call", ["complete", "complete_file", "compare", "wait"])
def test_a_second_ctrl_c_ends_at_once_and_records_what_may_be_billed(python, slow, tmp_path, call):
    """The server hangs: the first Ctrl-C waits for what is in flight, ten minutes here, the second one does not."""
    execute(python, """
def watch(before):
    while tsn.last_run() is before or not tsn.last_run().progress.answered: time.sleep(0.01)
    while not tsn.last_run()._engine.stopped: time.sleep(0.01)
    Path(folder, "stopping").touch()
threading.Thread(target=watch, args=[tsn.last_run()], daemon=True).start()
usual, RunExecutor.stop.__defaults__ = RunExecutor.stop.__defaults__, (600.0,)
""")  # fmt: skip
    at_request(slow, 21, lambda: setattr(slow, "faults", Faults(hang=1.0)))
    python.start(CALLS[call])
    wait_until(lambda: slow.stats().faults.get("hang") == CONCURRENCY)
    python.interrupt()
    wait_until((tmp_path / "stopping").exists)
    python.interrupt()
    interrupted(python)
    cached, answered, unknown = on_disk(tmp_path)
    assert cached == answered and len(cached) >= 20 and 1 <= unknown <= CONCURRENCY
    assert json.loads(execute(python, STATE))["done"]
    slow.faults = Faults()
    execute(python, f"RunExecutor.stop.__defaults__ = usual\n{CALLS[call]}")


def test_ctrl_c_stops_the_chats_answer_and_the_next_question_is_answered(endless, python, slow, tmp_path):
    python.start('chat.send("Is tea good?")')
    wait_until(lambda: slow.stats().answers)
    python.interrupt()
    assert interrupted(python) == ""
    assert execute(python, "print(chat.messages[0]['content'], chat.to_frame()['state'].tolist())") == (
        "Is tea good? ['whole', 'stopped']\n"
    )
    assert on_disk(tmp_path)[2] == 1, "the part that came may be billed"


@pytest.mark.parametrize("shared_python", [Kernel], ids=["kernel"], indirect=True)
def test_the_kernels_interrupt_cancels_a_cell_that_awaits_a_run(python, slow, tmp_path):
    """IPython turns it into a CancelledError: what is in flight arrives and is kept."""
    slow_from(slow, ROWS // 2 + 1, 0.5)
    python.start(f"await {CALLS['complete'].replace('complete', 'acomplete')}")
    wait_until(lambda: slow.stats().answers >= ROWS // 2)
    python.interrupt()
    end, _ = python.result()
    assert end is not None and end[0] == "CancelledError", end
    set_latency(slow, 0.0)
    cached, answered, unknown = on_disk(tmp_path)
    assert cached == answered and (len(cached), unknown) == (slow.stats().answers, 0) and len(cached) < ROWS
    execute(python, CALLS["complete"])
    assert slow.stats().requests == slow.stats().answers == ROWS


def test_a_handler_of_the_users_own_stays_in_place(slow, tmp_path):
    """It is called at every signal, and the run goes on."""
    received, old = [], signal.getsignal(signal.SIGINT)
    client = tsn.Client(slow.base_url, model="sim-small", cache=tmp_path / "cache", ledger=tmp_path / "ledger.db")

    def press():
        wait_until(lambda: slow.stats().answers >= 20)
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, lambda *_: received.append(1))
    pressing = threading.Thread(target=press)
    try:
        pressing.start()
        out = pd.DataFrame({"text": [f"message {i}" for i in range(ROWS)]}).tsn.complete("{text}", client=client, progress=False)
        pressing.join()
    finally:
        signal.signal(signal.SIGINT, old)
    assert received == [1] and out["content"].notna().all()
