"""Requests that fail alone, against a real server: each gets its own error, and no other request waits."""

import asyncio
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler

import pandas as pd
import pytest
from support.independent_server import Threads

import tsn_frames as tsn
from tsn_frames.api import Completion, Request
from tsn_frames.engine.limits.circuit_breaker import CircuitBreaker
from tsn_frames.engine.progress.counts import Counts
from tsn_frames.engine.retry import Classification
from tsn_frames.engine.run.request_queue import PendingRequest, RetryQueue
from tsn_frames.engine.run.result_handler import ResultHandler
from tsn_frames.errors import RowError

OK = b'{"model":"m","choices":[{"message":{"content":"ok"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'


class Handler(BaseHTTPRequestHandler):
    """Answers 500 to what ``server.bad`` picks."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
        self.server.asked[text] += 1
        bad = self.server.bad(text)
        body = b'{"error": {"message": "Internal Server Error"}}' if bad else OK
        self.send_response(500 if bad else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Threads(("127.0.0.1", 0), Handler) as server:
        server.asked, server.bad = Counter(), lambda text: text.startswith("poison")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def client_of(server, tmp_path, **retry):
    return tsn.Client(f"http://127.0.0.1:{server.server_port}", model="m", cache=tmp_path / "c", ledger=tmp_path / "l.db",
                      retry=tsn.Retry(**{"backoff": 0.05, **retry}))  # fmt: skip


def poisoned(number, of):
    step = of // number
    return pd.DataFrame({"t": [f"{'poison' if i % step == step // 2 and i // step < number else 'row'} {i}" for i in range(of)]})


@pytest.mark.parametrize(("number", "of"), [(1, 200), (10, 200), (20, 1000)])
def test_rows_that_fail_alone_have_their_own_error_after_their_attempts(server, tmp_path, number, of):
    df = poisoned(number, of)
    with pytest.warns(tsn.errors.TSNWarning, match=f"{number} of {of:,} rows ha(s|ve) no answer"):
        out = df.tsn.complete("{t}", client=client_of(server, tmp_path), progress=False)
    bad = df["t"].str.startswith("poison")
    assert out.loc[~bad, "content"].eq("ok").all() and out.loc[bad, "error"].str.startswith("server: 500").all()
    assert {server.asked[text] for text in df.loc[bad, "t"]} == {6} and {server.asked[text] for text in df.loc[~bad, "t"]} == {1}
    assert tsn.last_run().summary.pauses <= 2, "two that fail one after another, and a third as the probe, may be a chance"


def test_rows_that_fail_alone_leave_the_runs_retries_to_the_others(server, tmp_path):
    """Ten rows with five retries each are more than the 20 + 10 retries of the run, and end nothing."""
    with pytest.warns(tsn.errors.TSNWarning):
        out = poisoned(10, 100).tsn.complete("{t}", client=client_of(server, tmp_path, budget=20), progress=False)
    assert out["content"].notna().sum() == 90 and tsn.last_run().summary.retried == 50


def test_a_server_that_fails_for_all_uses_the_runs_retries_up():
    """Others were answered before, but not since: the fault is the server's."""

    async def work():
        ends, items = [], [PendingRequest(i, Request(bytes([i]), b"", b"", "m")) for i in range(40)]
        queue = RetryQueue(items, lambda: 0.0)
        handler = ResultHandler(tsn.Client("http://127.0.0.1:9", model="m", retry=tsn.Retry(budget=5)), ["m"] * 40, queue,
                                CircuitBreaker(lambda: 0.0), counts=Counts(), finish=lambda *_: None, end=ends.append)  # fmt: skip
        answer = Classification("answer", completion=Completion("ok"))
        failure = Classification("retry", RowError("server", "500: no"))
        for item in items[:20]:
            assert await queue.next() is item and handler.may_send(item)
            handler.handle(item, answer)
        for item in items[20:]:
            assert await queue.next() is item and handler.may_send(item)
            handler.handle(item, failure)
            assert handler.may_send(item) and not item.fails_alone
        return ends

    (end, *_) = asyncio.run(work())
    assert isinstance(end, tsn.errors.ServerError) and "used up" in str(end)
