"""A run as its user holds it: what it says before, while and after."""

import itertools
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pandas as pd
import pytest
from support.dialect_service import DialectService, completion, plain
from support.independent_server import Threads
from support.python_process import start_python
from support.waiting import SECONDS, run_loop_once, wait_until

import tsn_frames as tsn
from tsn_frames.engine.runtime.process import process_state
from tsn_frames.simulator import Quota, Simulator


def rows(number):
    return pd.DataFrame({"t": [f"row {i}" for i in range(number)]})


@pytest.fixture
def slow(tmp_path):
    """An account of 60 requests a minute."""
    with Simulator(latency=0.0, quota=Quota(requests=60, window=60.0)) as sim:
        yield tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db", limits=tsn.Limits(4))


def stop_soon():
    """Stop the next run when it has warned how long it takes."""
    before = tsn.last_run()

    def stop():
        wait_until(lambda: tsn.last_run() is not before and tsn.last_run()._warned_long)
        tsn.last_run().stop()

    threading.Thread(target=stop).start()


def test_a_run_of_over_ten_minutes_says_so_with_the_arithmetic_and_the_way_out(slow):
    stop_soon()
    with pytest.warns(tsn.errors.TSNWarning) as caught:
        rows(900).tsn.complete("{t}", client=slow, progress=False)
    texts = [str(one.message) for one in caught]
    assert any(
        ("about 15 minutes" in text or "about 14 minutes" in text) and "at 60 a minute" in text and "df.tsn.start(...)" in text
        for text in texts
    ), texts
    assert caught[0].filename == __file__


def test_limits_that_the_user_sets_count_too(client):
    limited = tsn.Client(client.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path,
                         limits=tsn.Limits(requests_per_minute=20))  # fmt: skip
    stop_soon()
    with pytest.warns(tsn.errors.TSNWarning, match="at 20 a minute|since the run was stopped"):
        rows(400).tsn.complete("{t}", client=limited, progress=False)


def test_a_limit_of_an_earlier_run_that_is_no_longer_stated_is_no_reason_to_warn(tmp_path, recwarn):
    """An account that had been raised from 20 requests a minute: the next run in the same kernel was to take 24 minutes."""
    stated = {"x_ratelimit_limit_requests": "20", "x_ratelimit_remaining_requests": "19", "x_ratelimit_reset_requests": "60s"}
    with DialectService(lambda _, number: plain(completion(), **(stated if number == 1 else {}))) as service:
        client = tsn.Client(service.url, model="m", cache=tmp_path / "c", ledger=tmp_path / "l.db")
        rows(1).tsn.complete("{t}", client=client, progress=False)
        assert rows(501).tsn.estimate("{t}", client=client).minutes == 25
        rows(500).tsn.complete("{t}", client=client, progress=False)
    assert service.requests == 500 and not recwarn.list


def test_a_short_run_says_nothing(client, recwarn):
    rows(50).tsn.complete("{t}", client=client, progress=False)
    assert not recwarn.list


def test_a_run_that_was_stopped_returns_what_it_has_and_the_next_one_goes_on(sim, client):
    run = rows(30).tsn.start("{t}", client=client)
    run.stop()
    with warnings.catch_warnings():  # it may have been over already
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)
        partial = run.result(progress=False)
    again = rows(30).tsn.complete("{t}", client=client, progress=False)
    assert partial["content"].notna().sum() + partial["error"].str.startswith("not_sent").sum() == 30
    assert again["content"].notna().all()
    assert max(sim.stats().billed_by_prompt.values()) == 1


@pytest.mark.parametrize("moment", ["check_within_limits", "check_bounded"])
def test_a_stop_is_heard_while_a_run_still_gets_ready(sim, client, monkeypatch, moment):
    """It was lost between the look into the cache and the first worker: the whole run was sent, and paid for."""
    from tsn_frames.engine.run import preflight

    reached, go, real = threading.Event(), threading.Event(), getattr(preflight, moment)
    monkeypatch.setattr(preflight, moment, lambda *given: (reached.set(), go.wait(SECONDS), real(*given))[-1])
    words = {"max_cost": 1, "max_tokens": 5} if moment == "check_bounded" else {}
    priced = tsn.Client(sim.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path,
                        prices={"sim-small": (1, 1)})  # fmt: skip
    run = rows(30).tsn.start("{t}", client=priced, **words)
    assert reached.wait(SECONDS)
    run.stop()
    run_loop_once()
    go.set()
    with pytest.warns(tsn.errors.TSNWarning, match="30 of 30 rows were not sent, since the run was stopped"):
        assert run.wait(SECONDS, progress=False)
    assert sim.stats().requests == 0 and run.frame["error"].str.startswith("not_sent").all()


def test_the_summary_says_what_was_waited_for(slow):
    run = rows(70).tsn.start("{t}", client=slow)
    limiter = process_state.account(slow.base_url, slow.key()).limiter
    wait_until(lambda: limiter._blocked and limiter._blocked[0] == "requests" and run.progress.answered == 60)
    run.wait(1.2)
    run.stop()
    with pytest.warns(tsn.errors.TSNWarning, match="10 of 70 rows were not sent"):
        run.result(progress=False)
    summary = run.summary
    assert summary.waited["requests"] > 1 and "s for requests" in str(summary)
    assert summary.answered == 60 and summary.not_sent == 10


@pytest.mark.slow
def test_answers_that_may_have_been_billed_are_counted(tmp_path):
    from tsn_frames.simulator import Faults

    with Simulator(latency=0.0, faults=Faults(reset=1.0, first_attempt_only=True)) as sim:
        client = tsn.Client(
            sim.base_url, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db", retry=tsn.Retry(backoff=0.01)
        )
        rows(3).tsn.complete("{t}", client=client, progress=False)
    summary = tsn.last_run().summary
    assert (summary.answered, summary.retried, summary.unknown) == (3, 3, 3)
    assert "3 possibly billed without an answer" in str(summary)


def test_the_bar_shows_rows_tokens_and_the_summary(client, capsys):
    rows(5).tsn.complete("{t}", client=client, progress=True)
    shown = capsys.readouterr().err
    assert "5/5" in shown and "tokens" in shown and "5 of 5 rows answered" in shown


def test_the_bar_shows_the_cost_its_forecast_and_the_rate(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # a narrow terminal cuts the line
    asked = itertools.count()

    def answer(_):
        if next(asked) == 20:  # the bar shows a forecast before the run goes on
            wait_until(lambda: " a minute" in sys.stderr.getvalue())

    with Simulator(latency=0.02, answer=answer) as sim:
        client = tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db",
                            prices={"sim-small": (0.25, 1)}, limits=tsn.Limits(4))  # fmt: skip
        rows(60).tsn.complete("{t}", client=client, progress=True)
    shown = capsys.readouterr().err
    said = re.findall(r"([\d.]+) spent of about ([\d.]+), ([\d.]+) a minute", shown)
    total = tsn.last_run().summary.cost
    assert said, shown
    assert float(said[-1][0]) == pytest.approx(total, rel=0.06) == pytest.approx(float(said[-1][1]), rel=0.06)
    assert float(said[0][0]) < total / 1.5 and float(said[0][1]) == pytest.approx(total, rel=0.5)
    assert float(said[-1][2]) > total  # it took less than a minute


def test_no_bar_is_shown_without_a_terminal(client, capsys):
    rows(5).tsn.complete("{t}", client=client)
    assert capsys.readouterr() == ("", "")


def test_several_returned_models_are_warned_of_with_counts_and_dates(client, tmp_path):
    """A cache that is filled over months holds the answers of more than one version of a model."""
    from tsn_frames.frames.prompt import render
    from tsn_frames.verbs.run.plan import plan

    requests = plan(client, render(rows(4), "{t}", None, None, "skip"), {"model": "sim-small"}, {}).requests
    store = client.cache.open()
    body = '{{"model":"{}","choices":[{{"message":{{"content":"x"}},"finish_reason":"stop"}}]}}'
    store.write(
        [(request.key, body.format(f"sim-small-{i % 2}").encode(), 1.7e9 + i * 1e7) for i, request in enumerate(requests)]
    )
    store.close()
    with pytest.warns(tsn.errors.TSNWarning, match="several models: 'sim-small-0' x 2 .2023-11-1.*'sim-small-1' x 2"):
        out = rows(4).tsn.complete("{t}", client=client, include=["model"])
    assert out["model"].nunique() == 2


def test_a_stopped_run_raises_where_rows_must_not_fail(slow):
    run = rows(70).tsn.start("{t}", client=slow, errors="raise")
    wait_until(lambda: run.progress.answered)
    run.stop()
    with pytest.raises(tsn.RunError, match=r"the run was stopped: .* of 70 rows answered") as caught:
        run.result(progress=False)
    assert len(caught.value.partial) == 70


class Alarm(Exception):
    """The exception of a user's own signal handler."""


def test_whatever_ends_the_waiting_ends_the_spending(tmp_path):
    def ring(*_):
        raise Alarm

    with Simulator(latency=0.2) as sim:
        client = tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db", limits=tsn.Limits(2))
        old = signal.signal(signal.SIGALRM, ring)
        clock = threading.Thread(target=lambda: (wait_until(lambda: sim.stats().answers), os.kill(os.getpid(), signal.SIGALRM)))
        clock.start()
        try:
            with pytest.raises(Alarm):
                rows(300).tsn.complete("{t}", client=client, progress=False)
        finally:
            signal.signal(signal.SIGALRM, old)
        wait_until(lambda: tsn.last_run().done)
        sent = sim.stats().requests
        time.sleep(0.7)
        assert sim.stats().requests == sent < 300


def test_a_warning_that_is_made_an_error_does_not_hide_the_end_of_the_run(client, sim):
    sim.balance = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", tsn.errors.TSNWarning)
        with pytest.raises(tsn.errors.BalanceError) as caught:
            rows(30).tsn.complete("{t}", client=client, max_tokens=1, progress=False)
    assert caught.value.partial["content"].notna().sum() == 1


def test_a_script_that_ends_in_the_middle_of_a_run_leaves_it_on_record(tmp_path):
    with Simulator(latency=60.0, bill_abandoned=True) as sim:
        code = f"""
            import time, pandas as pd, tsn_frames as tsn
            client = tsn.Client({sim.base_url!r}, model="sim-small", cache={str(tmp_path / "c")!r}, ledger={str(tmp_path / "l.db")!r})
            pd.DataFrame({{"t": list("abc")}}).tsn.start("{{t}}", client=client)
            input()
        """
        script = start_python(textwrap.dedent(code), stdin=subprocess.PIPE)
        wait_until(lambda: sim.stats().requests)
        script.communicate("\n", timeout=30)
        assert (script.returncode, sim.stats().requests) == (0, 1)
    assert tsn.Ledger(tmp_path / "l.db").to_frame()["outcome"].tolist() == ["unknown"]


def test_time_stands_still_when_a_run_is_over(client):
    run = rows(3).tsn.start("{t}", client=client)
    assert run.wait(30, progress=False)
    before = run.summary.seconds
    time.sleep(0.3)
    assert run.summary.seconds == before


@contextmanager
def refusing(words):
    """Serve answers, but refuse each prompt with one of the words by a 503."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            request = self.rfile.read(int(self.headers["Content-Length"]))
            bad = any(word in request for word in words)
            answer = b'{"model": "m", "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}'
            body = b'{"error": {"message": "no"}}' if bad else answer
            self.send_response(503 if bad else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = Threads(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def rows_left_of_300(url, tmp_path, **limits):
    """Run 300 rows until 289 are answered or the run has ended, and return how many are not."""
    client = tsn.Client(url, model="m", cache=tmp_path / "c", ledger=tmp_path / "l.db", limits=tsn.Limits(**limits))
    run = rows(300).tsn.start("{t} of 300", client=client)
    ends = time.monotonic() + 60
    while run.progress.answered < 289 and not run.done and time.monotonic() < ends:
        time.sleep(0.05)
    left = 300 - run.progress.answered
    run.stop()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)
        run.wait(15, progress=False)
    return left


def test_a_row_that_is_always_refused_delays_no_other_row_and_fails_alone(tmp_path):
    """A prompt that the service refuses with 503 every time is the row's own problem."""
    with refusing([b"row 7"]) as url:
        assert rows_left_of_300(url, tmp_path) == 11, "rows 7 and 70 to 79; all others are answered while those wait"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("first", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_rows_that_are_always_refused_and_occupy_every_worker_hold_no_other_row_back(tmp_path, first):
    words = [b"row %d of" % i for i in range(11)] if first else [b"row 7"]
    with refusing(words) as url:
        assert rows_left_of_300(url, tmp_path, concurrency=4) == 11


def test_two_runs_out_of_step_pay_once(tmp_path):
    with Simulator(latency=0.02) as sim:
        client = tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db", limits=tsn.Limits(4))
        run = rows(120).tsn.start("{t}", client=client)
        out = rows(120)[::-1].tsn.complete("{t}", client=client, progress=False)
        run.result(progress=False)
        assert sim.stats().requests == 120 and out["content"].notna().all()
