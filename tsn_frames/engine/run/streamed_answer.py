"""An answer that arrives as an event stream: the body to ask for it, its consumer, and what its end means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...api import Request, error_of
from ...api.dialects.error_tables import names_unknown_parameter, names_usage_option
from ...api.streaming.stream_parser import StreamedReply
from ...errors import RowError
from ...secret import Secret, redact
from ..retry import Classification, Kind, classify
from ..transport.http_types import HttpFailure, HttpResponse

_BROKEN = "the stream ended before the answer did"


@dataclass
class StreamOptions:
    """How answers are streamed."""

    usage: bool = True  # whether to ask for it; False once the service has refused that
    on_growth: Callable[[StreamedReply], None] | None = None
    tried: bool = False  # whether it is known how the service takes the option

    def body(self, request: Request) -> bytes:
        """Return the body that asks for a stream; the request keeps the key of the plain one."""
        options = b',"stream_options":{"include_usage":true}' if self.usage else b""
        return request.body[:-1] + b',"stream":true' + options + b"}"

    def may_be_refused(self, found: Classification, *, tried: bool) -> bool:
        """Return whether an error may be about the option that asks for the usage: it names it, or an unknown parameter."""
        if found.error is None or found.error.code != "bad_request":
            return False
        return names_usage_option(found.error.message) or (not tried and names_unknown_parameter(found.error.message))


class StreamedAnswer:
    """Consumes the body of one attempt."""

    def __init__(self, options: StreamOptions, on_begin: Callable[[], None]) -> None:
        self.reply, self.headers = StreamedReply(), dict[str, str]()
        self._options, self._on_begin = options, on_begin

    def begin(self, headers: Mapping[str, str]) -> None:
        """Take in the headers of a 2xx response."""
        self.headers = dict(headers)
        self._on_begin()

    def feed(self, data: bytes) -> float:
        """Take in a part of the body; return the seconds until the next part is overdue, 0 to read no further."""
        patience = self.reply.feed(data)
        if self.reply.begun and self._options.on_growth is not None:
            self._options.on_growth(self.reply)
        return patience

    def classify(self, result: HttpResponse | HttpFailure, secret: Secret) -> Classification:
        """Return what the end of the stream means: a whole answer, or why it isn't whole."""
        reply = self.reply
        if isinstance(result, HttpResponse) and not 200 <= result.status < 300:
            return classify(result, secret)
        if isinstance(result, HttpResponse):
            reply.close()
        if reply.whole or reply.error is not None:
            found = classify(HttpResponse(200, self.headers, reply.body), secret)
            return _broken_off(found, reply.error, secret) if reply.error is not None and reply.begun else found
        if reply.problem:
            return Classification("retry", RowError("unreadable", reply.problem), billed="unknown")
        if isinstance(result, HttpFailure):
            return classify(result, secret)
        return Classification("retry", RowError("connection", _BROKEN), billed="unknown")


def _broken_off(found: Classification, error: bytes, secret: Secret) -> Classification:
    """Classify an error after a part of the answer: it counts as an attempt, whatever the error."""
    code = found.error.code if found.error else "server"
    message = redact(error_of(error).message, secret) or "no reason given"
    kind: Kind = "retry" if found.kind == "refused" else found.kind
    return found._replace(kind=kind, error=RowError(code, f"the service broke the answer off: {message}"))
