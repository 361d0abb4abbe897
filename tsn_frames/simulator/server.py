"""The public class: a server on a private thread."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .app import PREFIX, App, PlainHandler, is_chat
from .chat_handler import ChatHandler
from .connection import Connection
from .dialects import DialectName
from .faults import Faults
from .options import MODELS, AnswerFunction, Latency, Options, StreamUsage
from .quota import TIERS, Quota, Tier

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from .http_parser import HttpRequest
    from .rate_limit_headers import RetryHint
    from .response_plan import RequestHandler
    from .stats import BillLine, Exchange, Stats

_BACKLOG = 4096
T = TypeVar("T")


class Simulator:
    """A local server that implements the TokenSuperNova chat API and is honest about being simulated.

    It runs on its own thread, so that any client in this process or another can talk to it. Answers depend on
    the seed and on the request only. Free text begins with "[simulated]". If the last user message or the
    system message says "one of: a, b, c" (up to a period or the end of the line), the answer is exactly one
    of these: the one that occurs first in the user's text as a whole word, else one chosen by hash.
    `response_format` gives JSON that fits.

    An answer is billed when its first byte is sent (a hang: at arrival). A client that leaves before is not
    billed, unless `bill_abandoned`; one that leaves a stream is billed for what was sent.

    Parameters
    ----------
    seed
        Chooses answers, latencies and faults.
    latency
        Seconds until an answer begins, or (median, sigma) of a lognormal distribution, seeded per request.
    host, port
        Where to listen; port 0 takes a free one.
    keys
        Keys that are known; None accepts any key, or none.
    echo_key
        Whether the 401 message repeats the key that was sent.
    balance
        Answers that can be billed before 402; answers in work count.
    tier, quota
        Limits, by the documented tier or in detail; None for no limits. Fixed windows, see `Quota`.
    retry_hint
        How a 429 says when to come back: "both" (seconds in a header and in the message), "header",
        "header-ms", "date", "duration" ("45s" in the header), "message", "none".
    lying_headers
        Whether the remaining numbers stay full although requests are refused.
    models
        Model ids; those with "reasoner" in them think first.
    list_models
        Whether GET /models exists.
    token_rate
        Tokens a second of streams; None sends everything at once.
    stream_usage
        What happens to `stream_options`: "send" the usage chunk, "reject" with 400, "ignore".
    cached_tokens
        Whether usage has prompt_tokens_details: the system message counts as cached once it was seen.
    replay_idempotent
        Whether a repeated Idempotency-Key gets the billed answer again, for free and without faults.
    bill_abandoned
        Whether a client that leaves before the first byte pays the whole answer.
    keep_log
        Exchanges to keep in `log`.
    max_body
        Largest request body in bytes; more is a 413.
    answer
        A function of the request body (a dict) that returns the text of the answer, or None for the simulated one.
    dialect
        The service whose way of writing answers, streams, errors and lists of models it has, such as "openrouter".
    faults
        What goes wrong; can be set later too.

    Raises
    ------
    ValueError
        If an option is out of its range, the dialect is unknown, or both tier and quota are given.

    Examples
    --------
    >>> from urllib.request import Request, urlopen
    >>> body = b'{"model": "sim-small", "messages": [{"role": "user", "content": "Tea, one of: hot, cold"}]}'
    >>> with Simulator(seed=1, latency=0.0) as sim:
    ...     reply = urlopen(Request(sim.base_url + "/chat/completions", body)).read()
    ...     sim.stats().answers
    1
    """

    def __init__(
        self,
        seed: int = 0,
        latency: Latency = 0.05,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        keys: Sequence[str] | None = None,
        echo_key: bool = False,
        balance: int | None = None,
        tier: Tier | None = None,
        quota: Quota | None = None,
        retry_hint: RetryHint = "both",
        lying_headers: bool = False,
        models: Sequence[str] = MODELS,
        list_models: bool = True,
        token_rate: float | None = None,
        stream_usage: StreamUsage = "send",
        cached_tokens: bool = False,
        replay_idempotent: bool = False,
        bill_abandoned: bool = False,
        keep_log: int = 10_000,
        max_body: int = 64 * 1024 * 1024,
        answer: AnswerFunction | None = None,
        dialect: DialectName = "openai",
        faults: Faults | None = None,
    ) -> None:
        if tier is not None and quota is not None:
            raise ValueError("give tier or quota, not both")
        settings = Options(
            seed=seed,
            latency=latency,
            keys=None if keys is None else _names("keys", keys),
            echo_key=echo_key,
            balance=balance,
            quota=quota if tier is None else TIERS[tier],
            retry_hint=retry_hint,
            lying_headers=lying_headers,
            models=_names("models", models),
            list_models=list_models,
            token_rate=token_rate,
            stream_usage=stream_usage,
            cached_tokens=cached_tokens,
            replay_idempotent=replay_idempotent,
            bill_abandoned=bill_abandoned,
            keep_log=keep_log,
            max_body=max_body,
            answer=answer,
            dialect=dialect,
        )
        self._app = App(settings, faults or Faults())
        self._host = host
        self._port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()

    # Start and end

    def start(self) -> Self:
        """Listen; does nothing if it does already."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="tsn-simulator", daemon=True)
            self._thread.start()
            try:
                self._run(self._listen())
            except BaseException:
                self.close()
                raise
        return self

    def close(self) -> None:
        """End every connection and the thread; does nothing if that is done."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._run(self._hang_up())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        self._loop = self._thread = None

    def stop_listening(self) -> None:
        """Stop as a crashed server does: open connections are reset, new ones refused."""
        self._run(self._hang_up())

    def resume_listening(self) -> None:
        """Listen on the same port again."""
        self._run(self._listen())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._loop is None else self.base_url
        return f"<Simulator {state}>"

    # State and settings

    @property
    def base_url(self) -> str:
        """Address to give to a client, such as http://127.0.0.1:8080/v1."""
        if self._loop is None:
            raise RuntimeError("the simulator does not run: use `with Simulator() as sim:` or call start()")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}{PREFIX}"

    @property
    def faults(self) -> Faults:
        """The faults; set them for the next requests."""
        return self._app.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._app.set_faults(faults)

    @property
    def balance(self) -> int | None:
        """Answers that can still be billed; set it to top up."""
        return self._app.balance

    @balance.setter
    def balance(self, answers: int | None) -> None:
        self._app.balance = answers

    def outage(self, seconds: float, status: int = 503) -> None:
        """Answer everything with an error status for some seconds from now; 0 ends it."""
        self._app.begin_outage(seconds, status)

    def stats(self) -> Stats:
        """Count what happened so far."""
        return self._app.tally.stats()

    def bill(self) -> list[BillLine]:
        """List every admitted attempt, in the order of arrival, with the tokens that it was billed."""
        return self._app.tally.lines()

    def reset_stats(self) -> None:
        """Count from zero and empty the log; limits, balance and attempts stay as they are."""
        self._app.tally.reset()

    @property
    def log(self) -> list[Exchange]:
        """The last chat requests, oldest first."""
        return self._app.tally.exchanges()

    # On the server's thread

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise RuntimeError("the simulator does not run")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._connect, self._host, self._port, backlog=_BACKLOG)
            self._port = self._server.sockets[0].getsockname()[1]

    async def _hang_up(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            loop = asyncio.get_running_loop()
            with suppress(NotImplementedError):  # where that isn't known, a connection is accepted and made in one
                for listening in server.sockets:
                    loop.remove_reader(listening)
            await asyncio.sleep(0)  # what is accepted is made now: a closed server would leave it half made
            server.close()
        while self._connections:  # some may be only half made and come up in a later round
            for connection in list(self._connections):
                connection.reset()
            await asyncio.sleep(0)

    def _connect(self) -> Connection:
        app = self._app
        app.tally.add("connections")
        loop = asyncio.get_running_loop()
        connection = Connection(self._accept, self._connections.discard, app.settings.max_body, loop)
        self._connections.add(connection)
        return connection

    def _accept(self, request: HttpRequest) -> RequestHandler:
        return ChatHandler(self._app, request) if is_chat(request) else PlainHandler(self._app, request)


def _names(title: str, values: Sequence[str]) -> tuple[str, ...]:
    """Refuse one string in place of several."""
    if isinstance(values, str):
        raise TypeError(f"{title} is a tuple of strings, not one string")
    return tuple(values)
