"""A second server, so that client and simulator can't share a mistake: naive, threaded, standard library only.

It shares no code with the simulator and is built the other way round: one thread a connection, blocking
sleeps, a slot that is free only after the answer was written, and faults drawn by (seed, prompt, attempt).
"""

from __future__ import annotations

import hashlib
import json
import math
import socket
import struct
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Plan:
    """What the server does.

    ``window`` is (requests, seconds), of a ``kind``: fixed, sliding or a bucket; ``whole`` rounds its resets up to seconds.
    ``slots`` is a hidden concurrency limit, ``late`` the seconds that a slot is held after its answer; ``wait`` says where a refusal states its
    wait: in the ``header``, only in the ``message``, or nowhere. The shares are probabilities.
    """

    seed: int = 0
    latency: float = 0.03
    window: tuple[int, float] | None = None
    kind: str = "fixed"
    whole: bool = False
    slots: int | None = None
    late: float = 0.0
    wait: str = "header"
    headers: bool = True
    key: str | None = None
    balance: int | None = None
    failing: float = 0.0  # a: 500
    lone: float = 0.0  # b: 429 without a limit
    resetting: float = 0.0  # e: reset in mid-body
    truncated: float = 0.0  # f: valid HTTP, half of the JSON
    hanging: float = 0.0  # g: no byte, ever
    empty: float = 0.0  # h: null content, half of them without any choice
    down: tuple[float, float] = (0.0, 0.0)  # 503 between these seconds after the first request
    penalty: tuple[float, float] = (0.0, 0.0)  # the share of requests that start so many seconds in which all are refused


class Threads(ThreadingHTTPServer):
    """A thread a connection. A busy machine accepts late, and what is beyond the usual five that wait is reset meanwhile."""

    daemon_threads, request_queue_size = True, 128

    def handle_error(self, request, address):
        pass


class Server:
    """Runs a plan on loopback and counts."""

    def __init__(self, **plan):
        self.plan, self.lock = Plan(**plan), threading.Lock()
        self.statuses, self.attempts, self.billed = Counter(), Counter(), Counter()
        self.served: list[float] = []
        self.arrivals: defaultdict[str, list[float]] = defaultdict(list)  # of each prompt
        self.spans: list[tuple[float, float]] = []  # from when to when a slot was taken
        self.log: list[float] = []
        self.level, self.filled = math.inf, 0.0
        self.working = self.peak = self.used = self.requests = 0
        self.ends = self.begun = self.penalty_ends = 0.0
        self.over = threading.Event()

    def __enter__(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

            def do_POST(self):
                server.post(self)

            def log_message(self, *args):
                pass

        self.http = Threads(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        return self

    def __exit__(self, *_):
        self.over.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    @property
    def refused(self) -> int:
        return self.statuses[429]

    @property
    def twice(self) -> int:
        return sum(n - 1 for n in self.billed.values())

    def busy(self, since: float, until: float) -> float:
        """Return how many slots were taken on average between two times."""
        return sum(max(0.0, min(end, until) - max(begun, since)) for begun, end in self.spans) / (until - since)

    def post(self, http: BaseHTTPRequestHandler) -> None:
        body = json.loads(http.rfile.read(int(http.headers["content-length"])))
        prompt = body["messages"][-1]["content"]
        with self.lock:
            refusal = self._admit(http, prompt)
        if refusal:
            status, message, headers = refusal
            kind = {"message": message, "type": "error", "code": None}
            self._send(http, status, json.dumps({"error": kind}).encode(), headers)
            return
        begun = time.monotonic()
        try:
            self._answer(http, prompt)
        finally:
            self.spans.append((begun, time.monotonic()))
            if self.plan.late:
                threading.Timer(self.plan.late, self._free).start()
            else:
                self._free()

    def _free(self):
        with self.lock:
            self.working -= 1

    def _admit(self, http, prompt):
        plan, now = self.plan, time.monotonic()
        self.requests += 1
        self.arrivals[prompt].append(now)
        self.begun = self.begun or now
        if plan.key is not None and http.headers.get("authorization") != f"Bearer {plan.key}":
            return 401, f"Incorrect API key provided: {http.headers.get('authorization')}", {}
        if plan.balance is not None and sum(self.billed.values()) + self.working >= plan.balance:
            return 402, "Insufficient balance", {}
        if plan.down[0] <= now - self.begun < plan.down[1]:
            return 503, "Service unavailable", {}
        if plan.window:
            left, wait = self._room(now)
            if left < 1:
                return self._refusal(wait)
        if plan.slots is not None and self.working >= plan.slots:
            return self._refusal(1.0)
        if now < self.penalty_ends or self._dice("penalty", f"{self.requests}") < plan.penalty[0]:
            self.penalty_ends = self.penalty_ends if now < self.penalty_ends else now + plan.penalty[1]
            return self._refusal(plan.penalty[1])
        self.attempts[prompt] += 1
        if self._dice("lone", prompt) < plan.lone:
            return self._refusal(1.0)
        self._take(now)
        self.working += 1
        self.peak = max(self.peak, self.working)
        return None

    def _refusal(self, wait):
        seconds = max(1, math.ceil(wait))
        message = (
            f"Rate limit exceeded. Retry after {seconds} seconds." if self.plan.wait == "message" else "Rate limit exceeded."
        )
        return 429, message, {"retry-after": str(seconds)} if self.plan.wait == "header" else {}

    def _answer(self, http, prompt):
        plan = self.plan
        time.sleep(plan.latency * (0.5 + self._dice("time", prompt)))
        if self._dice("failing", prompt) < plan.failing:
            self._send(http, 500, b'{"error": {"message": "Internal error"}}', {})
            return
        with self.lock:
            self.billed[prompt] += 1
            self.served.append(time.monotonic())
        if self._dice("hanging", prompt) < plan.hanging:
            self.over.wait(60)
            http.close_connection = True
            return
        data = self._completion(prompt)
        if self._dice("truncated", prompt) < plan.truncated:
            data = data[: len(data) // 2]
        if self._dice("resetting", prompt) < plan.resetting:
            self._reset(http, data)
        else:
            self._send(http, 200, data, {})

    def _completion(self, prompt):
        content, choices = f"answer to {prompt}", None
        if self._dice("empty", prompt) < self.plan.empty:
            content, choices = None, [] if self._dice("choices", prompt) < 0.5 else None
        message = {"role": "assistant", "content": content}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}] if choices is None else choices
        usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
        return json.dumps({"object": "chat.completion", "model": "m", "choices": choices, "usage": usage}).encode()

    def _send(self, http, status, data, headers):
        with self.lock:
            self.statuses[status] += 1
            headers = {**headers, **self._limits()}
        http.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": len(data), **headers}.items():
            http.send_header(name, str(value))
        http.end_headers()
        http.wfile.write(data)

    def _limits(self):
        if self.plan.penalty[0]:  # always the same room
            return {
                "x-ratelimit-limit-requests": 1000,
                "x-ratelimit-remaining-requests": 900,
                "x-ratelimit-reset-requests": "60s",
            }
        if not self.plan.window or not self.plan.headers:
            return {}
        left, reset = self._room(time.monotonic())
        return {
            "x-ratelimit-limit-requests": self.plan.window[0],
            "x-ratelimit-remaining-requests": math.floor(left),
            "x-ratelimit-reset-requests": f"{math.ceil(reset)}s" if self.plan.whole else f"{math.ceil(reset * 1000)}ms",
        }

    def _room(self, now):
        """Return how many are left, and the seconds until there are more."""
        most, seconds = self.plan.window or (math.inf, 0.0)
        if self.plan.kind == "sliding":
            self.log = [t for t in self.log if t + seconds > now]
            return most - len(self.log), self.log[0] + seconds - now if self.log else 0.0
        if self.plan.kind == "bucket":
            self.level, self.filled = min(most, self.level + (now - self.filled) * most / seconds), now
            return self.level, (most - self.level) * seconds / most
        return (most - self.used, self.ends - now) if now < self.ends else (most, 0.0)

    def _take(self, now):
        if self.plan.window and now >= self.ends:
            self.used, self.ends = 0, now + self.plan.window[1]
        self.used, self.level = self.used + 1, self.level - 1
        self.log.append(now)

    def _reset(self, http, data):
        http.send_response(200)
        http.send_header("content-length", str(len(data)))
        http.end_headers()
        http.wfile.write(data[: len(data) // 2])
        http.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        http.close_connection = True
        http.connection.close()

    def _dice(self, name, prompt):
        text = f"{self.plan.seed}/{name}/{prompt}/{self.attempts[prompt]}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
