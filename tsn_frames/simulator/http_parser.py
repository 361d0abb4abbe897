"""Parse HTTP/1.1 requests, as far as API clients use it."""

from __future__ import annotations

from typing import NamedTuple

_MAX_HEAD = 64 * 1024


class BrokenRequestError(Exception):
    """Bytes that are not a valid request, or one that is too large; the connection closes with this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class HttpRequest(NamedTuple):
    """One complete request."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    closes: bool
    """Whether the client wants the connection closed after the answer."""


class RequestReader:
    """Collects bytes until a request is complete; later bytes are kept for the next."""

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._buffer = bytearray()
        self._chunks = bytearray()
        self._lines: tuple[str, str, str] | None = None
        self._headers: dict[str, str] = {}
        self._length: int | None = 0
        self.wants_continue = False
        """The client sends its body only after a ``100 Continue``."""

    @property
    def holds_more(self) -> bool:
        """Whether bytes of a next request have come already."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> HttpRequest | None:
        """Take bytes in and give the request they complete, if any."""
        self._buffer += data
        if self._lines is None and not self._read_head():
            return None
        body = self._read_chunks() if self._length is None else self._read_length(self._length)
        return None if body is None else self._complete(body)

    def _complete(self, body: bytes) -> HttpRequest:
        assert self._lines is not None
        method, target, version = self._lines
        wish = self._headers.get("connection", "").lower()
        closes = "close" in wish or (version == "HTTP/1.0" and "keep-alive" not in wish)
        self._lines = None
        self.wants_continue = False
        return HttpRequest(method, target.partition("?")[0], self._headers, body, closes)

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise BrokenRequestError(431, "The request's headers are too large.")
            return False
        lines = self._buffer[:end].decode("latin-1").lstrip("\r\n").split("\r\n")
        del self._buffer[: end + 4]
        first = lines[0].split(" ")
        if len(first) != 3 or not first[2].startswith("HTTP/1."):
            raise BrokenRequestError(400, "This is not an HTTP/1.1 request.")
        self._headers = _headers(lines)
        self._length = self._body_length()
        self._lines = (first[0], first[1], first[2])
        self.wants_continue = "expect" in self._headers
        return True

    def _body_length(self) -> int | None:
        if "transfer-encoding" in self._headers:
            self._chunks.clear()
            return None
        text = self._headers.get("content-length", "0")
        if not (text.isascii() and text.isdigit()):
            raise BrokenRequestError(400, "Content-Length is not a number.")
        if len(text) > 15 or int(text) > self._max_body:
            raise BrokenRequestError(413, f"The body is larger than {self._max_body} bytes.")
        return int(text)

    def _read_length(self, length: int) -> bytes | None:
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _read_chunks(self) -> bytes | None:
        while (end := self._buffer.find(b"\r\n")) >= 0:
            size = _chunk_size(bytes(self._buffer[:end]))
            if size == 0:
                return self._read_trailer(end)
            if len(self._chunks) + size > self._max_body:
                raise BrokenRequestError(413, f"The body is larger than {self._max_body} bytes.")
            if len(self._buffer) < end + 2 + size + 2:
                return None
            self._chunks += self._buffer[end + 2 : end + 2 + size]
            del self._buffer[: end + 2 + size + 2]
        if len(self._buffer) > _MAX_HEAD:
            raise BrokenRequestError(400, "A chunk has no size.")
        return None

    def _read_trailer(self, start: int) -> bytes | None:
        end = self._buffer.find(b"\r\n\r\n", start)
        if end < 0:
            return None
        del self._buffer[: end + 4]
        return bytes(self._chunks)


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise BrokenRequestError(400, "A header line has no colon.")
        headers[name.lower()] = value.strip()
    return headers


def _chunk_size(line: bytes) -> int:
    text = line.partition(b";")[0].strip()
    if not text or len(text) > 12 or text.strip(b"0123456789abcdefABCDEF"):
        raise BrokenRequestError(400, "The size of a chunk is not a number.")
    return int(text, 16)
