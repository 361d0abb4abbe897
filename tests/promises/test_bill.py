"""The ledger against the service's own bill, to the token: faults, retries, kill -9, and two processes at once.

What the ledger knows, plus what the service billed for the attempts that the ledger lists as unknown, is the whole bill.
Only what was in flight at a kill -9 is missing, and that is at most a request a worker.
"""

import asyncio
import random
import subprocess
from collections import defaultdict

import pytest
from support.python_process import start_python
from support.waiting import wait_until

import tsn_frames as tsn
from tsn_frames.simulator import Faults, Simulator

ROWS, WORKERS = 150, 8
FAULTS = dict(
    error_500=0.04, error_503=0.03, error_502=0.02, error_429=0.03, html=0.01, reset_before=0.03, hang=0.01, half_open=0.01,
    reset=0.03, truncate=0.03, cut_json=0.02, malformed=0.02, empty_body=0.02, null_content=0.03, filtered=0.02, no_usage=0.03,
    absurd_usage=0.02, hang_seconds=60.0,
)  # fmt: skip
# What isn't billed and is in the ledger as unknown all the same: the client can't know.
DOUBTFUL = {"html", "reset_before"}
TIMEOUT = 0.8
CHILD = """
import sys, warnings
import pandas as pd, tsn_frames as tsn
warnings.simplefilter("ignore", tsn.errors.TSNWarning)
url, folder, seed, seconds = sys.argv[1:]
client = tsn.Client(url, model="sim-small", cache=folder + "/cache", ledger=folder + "/ledger.db", limits=tsn.Limits(8),
                    timeout=float(seconds), retry=tsn.Retry(attempts=9, unreadable=9, budget=10_000, backoff=0.01, backoff_max=0.05))
df = pd.DataFrame({"text": [f"message {i % 140} {'words ' * (i % 7)}" for i in range(150)]}).sample(frac=1, random_state=int(seed))
out = df.tsn.complete("Say: {text}", client=client, progress=False, tag=seed)
print(int(out["content"].notna().sum()))
"""


def started(sim, folder, seed):
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    return start_python(CHILD, sim.base_url, folder, seed, TIMEOUT, **pipes)


def ended(process):
    out, err = process.communicate()
    assert process.returncode == 0, err
    return int(out)


def killed_at(sim, process, number):
    """Kill a process when the service has begun so many attempts."""

    def reached():
        assert process.poll() is None, process.communicate()
        return len(sim.bill()) >= number

    wait_until(reached)
    process.kill()
    process.communicate()


def settled(sim):
    """Wait until the service has nothing in work that could still be billed: the processes have ended, and their connections with them."""

    def idle():
        for _ in range(5):
            sim._run(asyncio.sleep(0))  # what has arrived is accepted and read first
        return not sim._connections

    wait_until(idle)


def by_key(sim, ledger):
    """Attempts that were billed or are in doubt, and lines of the ledger, each by request key in their order."""
    attempts, lines = defaultdict(list), defaultdict(list)
    for line in sim.bill():
        if line.prompt_tokens or line.fault in DOUBTFUL:  # not billed: errors, and whom a kill left before the answer
            attempts[line.key[:64]].append(line)
    for entry in ledger.entries():
        lines[entry.request_key.hex()].append(entry)
    return attempts, lines


def known(entry):
    return entry.prompt_tokens is not None and entry.completion_tokens is not None


def balance(sim, ledger):
    """Return (the whole bill, what the ledger accounts for, attempts that it has no line of, their tokens).

    All attempts of a request are billed the same, so it does not matter which of them a line stands for. A connection that
    is reset at once, before a request can have arrived, needs no line. Where the machine stands still for longer than the
    client waits, an attempt that does not hang is given up too: billed by then or not, its line is one of unknown outcome.
    """
    attempts, lines = by_key(sim, ledger)
    assert set(lines) <= set(attempts)
    accounted = missing = lost = 0
    for key, some in attempts.items():
        seen = [a for a in some if a.fault in ("", "null_content", "filtered")]  # their usage arrives
        unseen = [a for a in some if a not in seen and a.fault != "reset_before"]
        found = [entry for entry in lines[key] if known(entry)]
        given_up = sum(entry.seconds >= TIMEOUT for entry in lines[key] if not known(entry))
        late = max(0, given_up - sum(a.fault in ("hang", "half_open") for a in unseen))
        assert len(found) <= len(seen) and len(lines[key]) - late <= len(some), key
        in_time = max(len(found), len(seen) - late)
        seen, unseen = seen[:in_time], [*unseen, *seen[in_time:]]
        unknown = min(len(lines[key]) - len(found), len(unseen))
        assert {(e.prompt_tokens, e.completion_tokens) for e in found} <= {(a.prompt_tokens, a.completion_tokens) for a in seen}
        accounted += sum(e.prompt_tokens + e.completion_tokens for e in found)
        accounted += sum(a.prompt_tokens + a.completion_tokens for a in unseen[:unknown])
        gone = [*seen[len(found) :], *unseen[unknown:]]
        missing, lost = missing + len(gone), lost + sum(a.prompt_tokens + a.completion_tokens for a in gone)
    stats = sim.stats()
    whole = stats.billed_prompt_tokens + stats.billed_completion_tokens
    assert whole == sum(line.prompt_tokens + line.completion_tokens for line in sim.bill())  # the service agrees with itself
    return whole, accounted, missing, lost


def service(seed, **changes):
    return Simulator(seed=seed, latency=(0.02, 0.5), faults=Faults(**FAULTS | changes))


def ledger_of(folder):
    return tsn.Ledger(folder / "ledger.db")


SOAK = [pytest.param(seed, marks=pytest.mark.soak) for seed in range(100, 110)]


@pytest.mark.parametrize("seed", [1, *SOAK])
def test_through_faults_and_retries_the_ledger_is_the_bill(seed, tmp_path):
    """One process that lives: nothing at all is missing."""
    with service(seed) as sim:
        answered = ended(started(sim, tmp_path, seed))
        settled(sim)
        whole, accounted, missing, _ = balance(sim, ledger_of(tmp_path))
        unknown = sum(not known(entry) for entry in ledger_of(tmp_path).entries())
        print(f"{answered} answered, {whole:,} tokens billed, {whole - accounted} not accounted for, {unknown} unknown attempts")
        assert missing == 0 and accounted == whole and unknown >= 10 and answered >= 0.85 * ROWS


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, *SOAK])
def test_kill_9_and_two_processes_leave_only_what_was_in_flight(seed, tmp_path):
    """Two processes over the same rows and files; one is killed again and again, the other lives; then one ends the work."""
    dice, kills = random.Random(seed), 3
    with service(seed, html=0.0, reset_before=0.0) as sim:
        living = started(sim, tmp_path, 50)
        for number in range(kills):
            killed_at(sim, started(sim, tmp_path, number), len(sim.bill()) + dice.randint(5, 40))
        assert ended(living) >= 0.8 * ROWS and ended(started(sim, tmp_path, 51)) >= 0.85 * ROWS
        settled(sim)
        whole, accounted, missing, lost = balance(sim, ledger_of(tmp_path))
    print(f"{kills} kills: {missing} attempts and {whole - accounted} of {whole:,} tokens are missing")
    assert whole == accounted + lost and missing <= kills * WORKERS
    cards = list(ledger_of(tmp_path).run_records())
    assert sum(card.ended is None for card in cards) <= kills and [card.end for card in cards if card.ended] == ["done"] * 2
