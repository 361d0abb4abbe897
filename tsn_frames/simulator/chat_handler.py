"""Handle one chat request: checks, faults, response plan, billing and log."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING

from .answers import Answer, compose, prompt_key
from .api_errors import ApiError, empty_balance, server_error, unknown_model
from .app import App, bearer
from .fault_injection import WIRE, Reply, refusal, replacement, spoil, tamper, wire_steps
from .faults import UNBILLED, pick
from .http_responses import STREAM_TYPE, completion, dump, head
from .options import wait_of
from .quota import ESTIMATE, Charge
from .response_plan import NO_PLAN, Plan, Step
from .sse import LAST_CHUNK, Event, data_line, events, framed, rewritten
from .tokens import count_prompt
from .validation import ChatRequest, check, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .http_parser import HttpRequest
    from .stats import BillLine
    from .validation import Json

_STREAM_ERROR = server_error(500).payload()


class ChatHandler:
    """A chat request: the constructor decides the response, later calls bill and log it."""

    def __init__(self, app: App, request: HttpRequest) -> None:
        self._app = app
        self._http = request
        self._arrived = time.monotonic()
        self._prompt = ""
        self._charge: Charge | None = None
        self._admitted = False
        self._answer: Answer | None = None
        """The answer that is billed; None if none is."""
        self._line: BillLine | None = None
        self._paid = False
        self._billed_tokens = 0
        self._began = False
        self._replay_key = request.headers.get("idempotency-key")
        app.tally.arrive(self._replay_key)
        try:
            self.plan = self._decide()
        except ApiError as error:
            self.plan = self._error_plan(error)

    # Decide the response

    def _decide(self) -> Plan:
        app = self._app
        app.check_outage()
        app.check_key(self._http)
        chat = check(parse(self._http.body), app.settings.stream_usage)
        self._prompt = chat.user
        if chat.model not in app.settings.models:
            raise unknown_model(chat.model)
        replayed = app.replays.get(self._replay_key) if self._replay_key else None
        if app.balance == 0 and replayed is None:
            raise empty_balance()
        key = prompt_key(chat)
        answer = replayed or compose(chat, app.settings.seed, key, self._cached(chat), app.settings.answer)
        self._charge = app.admit(answer.prompt_tokens + (chat.max_tokens or ESTIMATE))
        self._admitted = True
        if replayed is not None:
            return self._plan("", chat, answer, f"{key[:24]}-replay", wait_of(app.settings, key, 0))
        return self._attempt(chat, answer, key)

    def _attempt(self, chat: ChatRequest, answer: Answer, key: str) -> Plan:
        app = self._app
        app.attempts[key] += 1
        attempt = app.attempts[key]
        fault = pick(app.faults, app.active_faults, app.settings.seed, (key, attempt), streamed=chat.stream)
        if fault:
            app.tally.fault(fault)
        self._line = app.tally.attempt(self._replay_key or "", self._prompt, fault)
        if fault not in UNBILLED:
            self._answer = answer
            if app.balance is not None:
                app.balance -= 1
        wait = wait_of(app.settings, key, attempt)
        return self._plan(fault, chat, answer, f"{key[:24]}-{attempt}", wait)

    def _plan(self, fault: str, chat: ChatRequest, answer: Answer, name: str, wait: float) -> Plan:
        app = self._app
        identity: Json = {"id": f"chatcmpl-sim-{name}", "created": int(time.time()), "model": chat.model}
        if not fault and not chat.stream:
            return Plan(200, partial(self._send, self._whole(chat, answer, identity), answer), wait)
        error = refusal(fault, app.faults, app.settings.retry_hint, time.time(), bearer(self._http) or "")
        if error is not None:
            return self._error_plan(error, wait)
        if chat.stream and fault in ("", "stream_error", *_CONTENT):
            return Plan(200, partial(self._stream, fault, chat, spoil(fault, answer), identity), wait)
        reply = replacement(fault, app.faults) or tamper(fault, self._whole(chat, spoil(fault, answer), identity))
        if fault not in WIRE:
            return Plan(reply.status, partial(self._send, reply, answer), wait)
        status = 0 if fault in ("hang", "reset_before") else 200
        return Plan(status, partial(self._wreck, fault, reply, answer), 0.0 if fault == "hang" else wait)

    def _error_plan(self, error: ApiError, wait: float = 0.0) -> Plan:
        reply = self._app.error_reply(error)
        return Plan(reply.status, lambda: iter((self._app.reply_step(reply, self._http),)), wait)

    def _cached(self, chat: ChatRequest) -> int | None:
        if not self._app.settings.cached_tokens:
            return None
        seen = chat.system in self._app.systems
        self._app.systems.add(chat.system)
        return count_prompt([chat.system]) if seen and chat.system else 0

    def _whole(self, chat: ChatRequest, answer: Answer, identity: Json) -> Reply:
        """Write the answer in one piece; a stream as all its events."""
        if chat.stream:
            data = b"".join(event.data for event in self._events(chat, answer, identity))
            return Reply(200, data, STREAM_TYPE, chunked=True)
        body = completion(answer, identity)
        plain = self._app.settings.dialect == "openai"
        return Reply(200, body if plain else dump(self._app.dialect.answer(json.loads(body))))

    def _events(self, chat: ChatRequest, answer: Answer, identity: Json) -> list[Event]:
        made = list(events(answer, identity, chat.include_usage))
        return made if self._app.settings.dialect == "openai" else rewritten(made, self._app.dialect.chunks)

    # Send it

    def _send(self, reply: Reply, answer: Answer) -> Iterator[Step]:
        yield self._app.reply_step(reply, self._http, answer.completion_tokens)

    def _wreck(self, fault: str, reply: Reply, answer: Answer) -> Iterator[Step]:
        start = reply.head(self._app.limit_lines(), self._http.closes)
        return wire_steps(fault, self._app.faults, start, reply.wire(), answer.completion_tokens)

    def _stream(self, fault: str, chat: ChatRequest, answer: Answer, identity: Json) -> Iterator[Step]:
        sent = self._events(chat, answer, identity)
        unsaid = answer.completion_tokens - sum(event.tokens for event in sent)
        sent[0] = Event(sent[0].data, unsaid)  # A content that a fault has taken away is paid all the same.
        if fault == "stream_error":
            sent = [*sent[: len(sent) // 2], Event(data_line(_STREAM_ERROR))]
        rate = self._app.settings.token_rate
        start = head(200, STREAM_TYPE, None, self._app.limit_lines(), self._http.closes)
        if rate is None:
            data = framed(b"".join(event.data for event in sent))
            yield Step(0.0, start + data + LAST_CHUNK, "done", sum(event.tokens for event in sent))
            return
        for event in sent:
            yield Step(event.tokens / rate, start + framed(event.data), tokens=event.tokens)
            start = b""
        yield Step(0.0, LAST_CHUNK, "done")

    # Billing and log

    def on_step(self, step: Step) -> None:
        """Bill an answer when its first step is sent, and the tokens of a stream as they go."""
        if step.data and not self._began:
            self._began = True
            self._app.tally.status(self.plan.status)
        if self._answer is not None:
            self._pay(self._answer, step.tokens)

    def _pay(self, answer: Answer, tokens: int) -> None:
        self._billed_tokens += tokens
        prompt_tokens = 0 if self._paid else answer.prompt_tokens
        self._app.tally.bill(self._prompt, prompt_tokens, tokens, first=not self._paid, line=self._line)
        self._paid = True
        if self._replay_key and self._app.settings.replay_idempotent:
            self._app.replays[self._replay_key] = answer

    def on_end(self, left: bool) -> None:
        """Bill or refund, release the quota, write the log."""
        app, answer = self._app, self._answer
        if left and answer is not None and not self._paid and app.settings.bill_abandoned:
            self._pay(answer, answer.completion_tokens)
        if answer is not None and not self._paid and app.balance is not None:
            app.balance += 1
        if self._admitted:
            owed = self._billed_tokens + answer.prompt_tokens if answer is not None and self._paid else 0
            app.release(self._charge, owed)
        self._log()
        if left:
            app.tally.add("disconnects")  # last: a test that waits for it finds all other counts complete
        # The plan refers to this handler: break the reference cycle.
        self.plan = NO_PLAN

    def _log(self) -> None:
        headers = self._http.headers
        key_sent = headers.pop("authorization", None) is not None
        lines = "\n".join([f"{name}:{value}" for name, value in headers.items()])
        status = self.plan.status if self._began else 0
        seconds = time.monotonic() - self._arrived
        self._app.tally.log((self._http.body, lines, status, seconds, self._paid, key_sent))


_CONTENT = ("no_choices", "null_content", "filtered", "no_usage", "absurd_usage")
"""Faults of the answer's content, which a stream can carry."""
