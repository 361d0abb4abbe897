"""The command ``tsn-frames`` as a process in a pipe: Ctrl-C, kill -9, a reader that goes away."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios

import pandas as pd
import pytest
from support.simulators import set_latency, slow_from
from support.waiting import wait_until

from tsn_frames.simulator import Simulator

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups and signals of POSIX")
CONCURRENCY = 8
LABEL = f"{sys.executable} -m tsn_frames label --text body --labels billing,delivery,other --concurrency {CONCURRENCY}"


@pytest.fixture
def slow():
    with Simulator(seed=0, latency=0.02) as sim:
        yield sim


@pytest.fixture
def folder(slow, tmp_path, monkeypatch):
    """A folder with its own cache and ledger, and the simulator as the service of the environment."""
    monkeypatch.setenv("TSN_BASE_URL", slow.base_url)
    monkeypatch.setenv("TSN_MODEL", "sim-small")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    return tmp_path


def write_rows(folder, number):
    frame = pd.DataFrame({"id": [f"{at:05}" for at in range(number)], "body": [f"message {at}" for at in range(number)]})
    frame.to_csv(folder / "in.csv", index=False)


def shell(line, folder):
    """Start a pipeline in a process group of its own, as an interactive shell does for the foreground."""
    command = ["bash", "-o", "pipefail", "-c", line]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, process_group=0)


def finish(line, folder):
    process = shell(line, folder)
    _, err = process.communicate()
    return process.returncode, err


def answers(sim, number, process):
    def reached():
        assert process.poll() is None, process.communicate()
        return sim.stats().answers >= number

    wait_until(reached)


def billed_twice(sim):
    return sum(number - 1 for number in sim.stats().billed_by_prompt.values())


def interrupt(process, _folder):
    os.killpg(process.pid, signal.SIGINT)


def kill(process, _folder):
    os.killpg(process.pid, signal.SIGKILL)


def check_interruption(sim, folder, rows, how):
    """Interrupt a pipeline at half, run it again, and count what was paid for twice."""
    write_rows(folder, rows)
    line = f"cat in.csv | {LABEL} > out.csv"
    slow_from(sim, rows // 2 + 1)
    process = shell(line, folder)
    answers(sim, rows // 2, process)
    how(process, folder)
    _, err = process.communicate()
    set_latency(sim, 0.02)
    assert (folder / "out.csv").read_text() == ""
    code, _ = finish(line, folder)
    out = pd.read_csv(folder / "out.csv", dtype=str)
    assert code == 0 and len(out) == rows and out["label"].notna().all() and out["id"].iloc[7] == "00007"
    return process.returncode, err


@pytest.mark.first
def test_ctrl_c_in_a_pipe_and_the_same_command_again_pay_for_nothing_twice(slow, folder):
    """What is in flight arrives and is kept, so the second run sends only the rest."""
    code, err = check_interruption(slow, folder, 400, interrupt)
    assert billed_twice(slow) == 0 and slow.stats().answers == 400
    assert "of 400 rows are answered, and the cache keeps them. Run the same command again" in err
    assert code in (130, -signal.SIGINT)


def test_kill_9_in_a_pipe_costs_at_most_what_was_in_flight(slow, folder):
    check_interruption(slow, folder, 400, kill)
    assert billed_twice(slow) <= CONCURRENCY


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("how", "most"), [(interrupt, 0), (kill, CONCURRENCY)], ids=["ctrl-c", "kill-9"])
def test_ten_thousand_rows_interrupted_are_paid_for_once(slow, folder, how, most):
    check_interruption(slow, folder, 10_000, how)
    print(f"10,000 rows, {how.__name__}: {slow.stats().answers} answers billed, {billed_twice(slow)} of them twice")
    assert billed_twice(slow) <= most


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_takes_the_first_lines_ends_the_command_quietly(slow, folder, monkeypatch, unbuffered):
    """As with any command: SIGPIPE's code for the shell, no traceback; and the answers are in the cache."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    pd.DataFrame({"id": range(6_000), "body": "where is it?"}).to_csv(folder / "in.csv", index=False)
    code, err = finish(f"{LABEL} in.csv --quiet | head -n 2 > out.csv; exit ${{PIPESTATUS[0]}}", folder)
    assert code == 141 and err == "" and slow.stats().answers == 1
    assert len((folder / "out.csv").read_text().splitlines()) == 2


def test_a_slow_reader_gets_every_row(slow, folder, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")  # then a write may take only what the pipe has room for
    pd.DataFrame({"id": range(6_000), "body": "where is it?"}).to_csv(folder / "in.csv", index=False)
    code, _ = finish(f"{LABEL} in.csv | (sleep 0.2; cat > out.csv)", folder)
    assert code == 0 and len(pd.read_csv(folder / "out.csv")) == 6_000


def test_the_output_is_what_it_was_until_the_new_one_is_whole(slow, folder):
    write_rows(folder, 400)
    (folder / "out.csv").write_text("yesterday\n")
    slow_from(slow, 101)
    process = shell(f"exec {LABEL} in.csv -o out.csv", folder)
    answers(slow, 100, process)
    interrupt(process, folder)
    _, err = process.communicate()
    assert process.returncode == 130 and "Traceback" not in err
    assert (folder / "out.csv").read_text() == "yesterday\n" and {path.name for path in folder.iterdir()} == {
        "in.csv", "out.csv", "cache", "ledger.db",
    }  # fmt: skip


def test_a_job_that_is_terminated_keeps_what_is_in_flight(slow, folder):
    """``timeout``, a scheduler's end of a job, a closed terminal: as Ctrl-C."""
    write_rows(folder, 400)
    slow_from(slow, 101)
    process = shell(f"exec {LABEL} in.csv -o out.csv", folder)
    answers(slow, 100, process)
    process.terminate()
    _, err = process.communicate()
    set_latency(slow, 0.02)
    assert process.returncode == 130 and "Stopped." in err and finish(f"{LABEL} in.csv -o out.csv", folder)[0] == 0
    assert billed_twice(slow) == 0 and slow.stats().answers == 400


def test_ctrl_c_between_parts_of_a_large_file_keeps_whole_parts(slow, folder):
    pd.DataFrame({"body": [f"message {at}" for at in range(400)]}).to_parquet(folder / "in.parquet")
    line = f"exec {sys.executable} -m tsn_frames complete in.parquet -p '{{body}}' -o out/ --chunksize 50 --concurrency {CONCURRENCY}"
    slow_from(slow, 151)
    process = shell(line, folder)
    answers(slow, 150, process)
    interrupt(process, folder)
    assert "Stopped. The parts in out/ are whole" in process.communicate()[1] and process.returncode == 130
    set_latency(slow, 0.02)
    assert 100 <= len(pd.read_parquet(folder / "out")) < 400
    code, err = finish(line, folder)
    assert (
        code == 0
        and "400 of 400 rows answered" in err
        and billed_twice(slow) == 0
        and len(pd.read_parquet(folder / "out")) == 400
    )


def test_ctrl_c_without_a_cache_says_that_nothing_is_kept(slow, folder):
    write_rows(folder, 400)
    slow_from(slow, 101)
    process = shell(f"exec {LABEL} in.csv -o out.csv --cache off", folder)
    answers(slow, 100, process)
    interrupt(process, folder)
    assert "with --cache off they are not kept" in process.communicate()[1]


def test_ctrl_c_while_the_input_is_read_sends_nothing(slow, folder, monkeypatch):
    monkeypatch.delenv("PYTHONWARNINGS")  # pathlib leaves the file open where it is interrupted
    os.mkfifo(folder / "in.csv")
    process = shell(f"exec {LABEL} in.csv", folder)
    with (folder / "in.csv").open("w"):  # returns when the command has opened it, too
        interrupt(process, folder)
        _, err = process.communicate()
    assert (process.returncode, err, slow.stats().requests) == (130, "Stopped. Nothing was sent.\n", 0)


def test_partial_writes_the_rows_so_far(slow, folder):
    write_rows(folder, 400)
    slow_from(slow, 101)
    process = shell(f"exec {LABEL} in.csv -o out.csv --partial", folder)
    answers(slow, 100, process)
    interrupt(process, folder)
    process.communicate()
    out = pd.read_csv(folder / "out.csv")
    assert process.returncode == 130 and len(out) == 400 and 90 <= out["label"].notna().sum() < 400
    assert out["label_error"].dropna().str.startswith("not_sent").all()


@pytest.fixture
def terminal(folder):
    """Start a command on a terminal of its own; it returns functions that type and that wait for what is shown."""
    pids = []

    def start(*command):
        pid, descriptor = pty.fork()
        if pid == 0:
            os.chdir(folder)
            os.execv(sys.executable, [sys.executable, "-m", "tsn_frames", *command])  # noqa: S606
        pids.append(pid)
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        shown = bytearray()

        def until(text):
            def found():
                if select.select([descriptor], [], [], 0.05)[0]:
                    shown.extend(os.read(descriptor, 4096))
                return text.encode() in shown

            try:
                wait_until(found)
            except AssertionError:
                raise AssertionError(f"{text!r} is not in {shown.decode()!r}") from None
            del shown[: shown.index(text.encode()) + len(text)]

        def end():
            return os.waitstatus_to_exitcode(os.waitpid(pids.pop(), 0)[1])

        return lambda keys: os.write(descriptor, keys), until, end

    yield start
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_chat_streams_stops_at_ctrl_c_and_ends_at_ctrl_d(terminal, folder, monkeypatch):
    with Simulator(latency=0.0, token_rate=10, answer=lambda _: "word " * 1000) as sim:
        monkeypatch.setenv("TSN_BASE_URL", sim.base_url)
        enter, until, end = terminal("chat", "--model", "sim-small")
        until("> ")
        enter(b"Hello\n")
        until("word word ")  # of an answer that takes minutes
        enter(b"\x03")
        until("[stopped; what has arrived is kept]")
        until("> ")
        enter(b"\x04")
        assert end() == 0 and sim.stats().requests == 1


def test_ctrl_c_on_a_terminal_ends_the_bar_and_says_what_is_kept(terminal, slow, folder):
    write_rows(folder, 1000)
    arguments = ["label", "in.csv", "--text", "body", "--labels", "a,b", "--concurrency", str(CONCURRENCY), "-o", "out.csv"]
    slow_from(slow, 101)
    enter, until, end = terminal(*arguments)
    until("/1000 [")
    wait_until(lambda: slow.stats().answers >= 100)
    enter(b"\x03")
    until("of 1,000 rows are answered, and the cache keeps them.")
    assert end() == 130 and not (folder / "out.csv").exists()
