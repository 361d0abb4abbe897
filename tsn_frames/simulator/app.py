"""The simulated service: its state, and the handlers of all endpoints but chat."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from .api_errors import ApiError, bad_key, rate_limited, server_error, unknown_path, wrong_method
from .dialects import Failure
from .dialects import checked as dialect_named
from .fault_injection import Reply
from .http_responses import dump, model_list
from .quota import Charge, Meter, Refusal
from .rate_limit_headers import limit_headers, retry_headers, retry_message
from .response_plan import Plan, Step
from .stats import Tally

if TYPE_CHECKING:
    from .answers import Answer
    from .faults import Faults
    from .http_parser import HttpRequest
    from .options import Options

PREFIX = "/v1"
CHAT = f"{PREFIX}/chat/completions"
MODELS_PATH = f"{PREFIX}/models"


class App:
    """The state between requests; only the server's thread changes it."""

    def __init__(self, settings: Options, faults: Faults) -> None:
        self.settings = settings
        self.dialect = dialect_named(settings.dialect)
        self.set_faults(faults)
        self.tally = Tally(settings.keep_log)
        self.meter = None if settings.quota is None else Meter(settings.quota)
        self.balance = settings.balance
        """Answers that can still be billed; those in progress are subtracted already."""
        self.attempts: Counter[str] = Counter()
        self.replays: dict[str, Answer] = {}
        self.systems: set[str] = set()
        """System messages seen, for the cached tokens."""
        self._working = 0
        self._outage = (float("-inf"), 503)

    def set_faults(self, faults: Faults) -> None:
        """Set the faults; the active ones are found once, not for every request."""
        self.faults, self.active_faults = faults, faults.active()

    def begin_outage(self, seconds: float, status: int) -> None:
        """Fail every request for some time from now on."""
        self._outage = (time.monotonic() + seconds, status)

    def check_outage(self) -> None:
        """Fail while an outage lasts."""
        until, status = self._outage
        if time.monotonic() < until:
            raise server_error(status)

    def check_key(self, request: HttpRequest) -> None:
        """Refuse keys that are not in the list."""
        keys = self.settings.keys
        if keys is None or bearer(request) in keys:
            return
        shown = f" provided: {bearer(request)}" if self.settings.echo_key else ""
        raise bad_key(f"Invalid API key{shown}.")

    def admit(self, tokens: int) -> Charge | None:
        """Admit a request or refuse it with 429."""
        charge = None if self.meter is None else self.meter.admit(tokens, time.monotonic())
        if isinstance(charge, Refusal):
            style, wait = self.settings.retry_hint, charge.wait
            raise rate_limited(retry_message(style, wait), retry_headers(style, wait, time.time()))
        self._working += 1
        self.tally.working(self._working)
        return charge

    def release(self, charge: Charge | None, tokens: int) -> None:
        """Note that an admitted request has ended."""
        self._working -= 1
        if self.meter is not None and charge is not None:
            self.meter.settle(charge, tokens, time.monotonic())

    def limit_lines(self) -> str:
        """Return the header lines that every answer carries."""
        if self.meter is None:
            return ""
        return limit_headers(self.meter, time.monotonic(), self.settings.lying_headers)

    def error_reply(self, error: ApiError) -> Reply:
        """Write an error in the JSON of the dialect."""
        status, payload = self.dialect.error(Failure(error.status, error.message, error.kind, error.code))
        return Reply(status, dump(payload), extra=error.headers)

    def reply_step(self, reply: Reply, request: HttpRequest, tokens: int = 0) -> Step:
        """Send a whole answer at once."""
        data = reply.head(self.limit_lines(), request.closes) + reply.wire()
        return Step(0.0, data, "done", tokens)


class PlainHandler:
    """A request to anything but chat: answered at once, without state."""

    def __init__(self, app: App, request: HttpRequest) -> None:
        self._tally = app.tally
        try:
            reply = _small_reply(app, request)
        except ApiError as error:
            reply = app.error_reply(error)
        self.plan = Plan(reply.status, lambda: iter((app.reply_step(reply, request),)))

    def on_step(self, step: Step) -> None:  # noqa: ARG002 - the protocol's signature
        """Count the status."""
        self._tally.status(self.plan.status)

    def on_end(self, left: bool) -> None:
        """Do nothing: nothing is billed."""


def _small_reply(app: App, request: HttpRequest) -> Reply:
    app.check_outage()
    if request.path == CHAT:
        raise wrong_method(request.method, "POST")
    if request.path != MODELS_PATH or not app.settings.list_models:
        raise unknown_path(request.method, request.path)
    if request.method != "GET":
        raise wrong_method(request.method, "GET")
    app.check_key(request)
    return Reply(200, dump(app.dialect.models(model_list(app.settings.models))))


def bearer(request: HttpRequest) -> str | None:
    """Return the key that was sent."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def is_chat(request: HttpRequest) -> bool:
    """Return whether this asks for a completion."""
    return request.path == CHAT and request.method == "POST"
