"""One TCP connection: reads requests, sends the steps of their plans, detects a client that disconnects."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from .http_parser import BrokenRequestError, HttpRequest, RequestReader
from .http_responses import JSON_TYPE, dump, head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .response_plan import RequestHandler, Step

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BUFFER = 16 * 1024
_LINGER = 0.5
"""Seconds to go on reading after a refusal, since closing with unread bytes would reset it away."""


class Connection(asyncio.BufferedProtocol):
    """Serves one client; `accept` returns the handler of a request, `gone` is called when the connection ends."""

    def __init__(
        self,
        accept: Callable[[HttpRequest], RequestHandler],
        gone: Callable[[Connection], None],
        max_body: int,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._accept = accept
        self._gone = gone
        self._loop = loop
        self._reader = RequestReader(max_body)
        self._buffer = bytearray(_BUFFER)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._handler: RequestHandler | None = None
        self._steps: Iterator[Step] = iter(())
        self._waiting = bytearray()
        self._closes = False
        self._deaf = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - the base class asks for it
        """Lend a small buffer; a plain protocol would get 256 KB of fresh memory for every packet."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take in received bytes."""
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Read on; bytes that come during an answer wait until it is complete."""
        if self._deaf:
            return
        if self._handler is not None:
            self._waiting += data
            return
        try:
            request = self._reader.feed(data)
        except BrokenRequestError as error:
            self._refuse(error)
            return
        if request is not None:
            self._start(request)
        elif self._reader.wants_continue:
            self._reader.wants_continue = False
            self._write(_CONTINUE)

    def eof_received(self) -> bool:
        """Treat a half-closed connection as a disconnect, as most gateways do."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the base class asks for it
        """Stop at once, and end the handler if the response is not complete."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.on_end(left=True)
        self._gone(self)

    def reset(self) -> None:
        """End the connection with a TCP reset; it does not count as a disconnect of the client."""
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.on_end(left=False)
        transport = self._transport
        if transport is not None:
            with suppress(OSError):  # closed by the client in this moment
                raw = transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()

    def _start(self, request: HttpRequest) -> None:
        self._closes = request.closes
        self._handler = handler = self._accept(request)
        if handler.plan.delay > 0:
            self._timer = self._loop.call_later(handler.plan.delay, self._begin)
        else:
            self._begin()

    def _begin(self) -> None:
        if self._handler is not None:
            self._steps = self._handler.plan.steps()
            self._advance()

    def _advance(self) -> None:
        """Send steps until one has a delay or is the last."""
        for step in self._steps:
            if step.delay > 0:
                self._timer = self._loop.call_later(step.delay, self._take_and_advance, step)
                return
            if self._take(step):
                return

    def _take_and_advance(self, step: Step) -> None:
        if not self._take(step):
            self._advance()

    def _take(self, step: Step) -> bool:
        """Send one step; billing ends before the last bytes are sent, so that a client finds it complete."""
        handler = self._handler
        if handler is None:
            return True
        handler.on_step(step)
        if step.end:
            self._handler = None
            handler.on_end(left=False)
        if step.data:
            self._write(step.data)
        if step.end:
            self._finish(step)
        return bool(step.end)

    def _finish(self, step: Step) -> None:
        if step.end == "reset":
            self.reset()
        elif self._transport is not None and (step.end == "close" or self._closes):
            self._transport.close()
        elif self._waiting or self._reader.holds_more:
            # Later, not now: many requests in one packet would go as deep into the stack.
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        self.data_received(data)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _refuse(self, error: BrokenRequestError) -> None:
        body = dump({"error": {"message": str(error), "type": "invalid_request_error", "code": None}})
        self._write(head(error.status, JSON_TYPE, len(body), close=True) + body)
        self._deaf = True
        if self._transport is not None:
            self._timer = self._loop.call_later(_LINGER, self._transport.close)
