"""Bodies as they were written: decompressed, and in UTF-8 whatever charset their Content-Type states."""

from __future__ import annotations

import codecs
import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from .http_types import BODY_CAP, TOO_LARGE, HttpFailure, StreamConsumer

_COMPRESSED = ("gzip", "x-gzip", "deflate")
_INFLATED_PIECE = 2**20
_INPUT_PIECE = 2**16
_GZIP = b"\x1f\x8b"
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:+-]+)", re.IGNORECASE)


def decode_body(body: bytes, headers: Mapping[str, str]) -> bytes | HttpFailure:
    """Return a body without its content-encoding, in UTF-8, and no more than ``BODY_CAP`` of it."""
    encoding = _encoding(headers)
    plain = _decompress(body, encoding) if isinstance(encoding, str) else encoding
    if isinstance(plain, HttpFailure):
        return plain
    decode = _charset_decoder(headers)
    plain = plain if decode is None else decode(plain, True)
    return plain if len(plain) <= BODY_CAP else TOO_LARGE


def decoding_consumer(consumer: StreamConsumer, headers: Mapping[str, str]) -> StreamConsumer | HttpFailure:
    """Return a consumer for a body with these headers; a failure where its encoding is unknown."""
    encoding, decode = _encoding(headers), _charset_decoder(headers)
    if isinstance(encoding, HttpFailure):
        return encoding
    if decode is not None:
        consumer = _DecodingConsumer(consumer, lambda data: filter(None, [decode(data, False)]))
    return _DecodingConsumer(consumer, _Inflater(encoding).inflate) if encoding else consumer


def _encoding(headers: Mapping[str, str]) -> str | HttpFailure:
    """Return how a body is compressed, an empty text where it isn't; a failure where that is unknown."""
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return ""
    if encoding in _COMPRESSED:
        return encoding
    return HttpFailure("unreadable", f"the answer's content-encoding {encoding!r} was not asked for", sent=True)


def _charset_decoder(headers: Mapping[str, str]) -> Callable[[bytes, bool], bytes] | None:
    """Return a function from a piece of a body, and whether it is the last, to UTF-8.

    It is None where the body is UTF-8 or its charset is unknown. Some servers state ISO-8859-1 for bodies in UTF-8: in a charset of single bytes, what is valid UTF-8 stays as it is.
    """
    charset, errors = _charset(headers.get("content-type", ""))
    if charset is None:
        return None
    decode = codecs.getincrementaldecoder(charset)(errors).decode
    return lambda piece, last: decode(piece, last).encode("utf-8", "replace")


@lru_cache(maxsize=64)
def _charset(content_type: str) -> tuple[str | None, str]:
    """Return the codec of a body with a Content-Type, and what it does with bytes that it can't decode."""
    if (found := _CHARSET.search(content_type)) is None:
        return None, ""
    try:
        name = codecs.lookup(found[1]).name
        high = bytes(range(0x80, 0x100)).decode(name, "replace")
    except (LookupError, UnicodeError):  # unknown, or no charset
        return None, ""
    if name in ("utf-8", "ascii"):
        return None, ""
    if len(high) != 0x80:
        return name, "replace"
    codecs.register_error(f"tsn_frames-{name}", lambda error: _as_stated(error, name))
    return "utf-8", f"tsn_frames-{name}"


def _as_stated(error: UnicodeError, charset: str) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode(charset, "replace"), error.end


def _decompress(body: bytes, encoding: str) -> bytes | HttpFailure:
    """Return an inflated body; no more than ``BODY_CAP`` of it is inflated, so that a zip bomb does no harm."""
    if not body or not encoding:
        return body
    inflater, plain = _Inflater(encoding), bytearray()
    try:
        for at in range(0, len(body), _INPUT_PIECE):
            for piece in inflater.inflate(body[at : at + _INPUT_PIECE]):
                plain += piece
                if len(plain) > BODY_CAP:
                    return TOO_LARGE
    except zlib.error:
        if body.lstrip()[:1] in (b"{", b"["):  # a gateway has inflated it and kept the header
            return body
        return HttpFailure("unreadable", "the answer's gzip is broken", sent=True)
    return bytes(plain) if inflater.ended else HttpFailure("unreadable", "the answer's gzip is cut", sent=True)


class _Inflater:
    """Inflates gzip in one member or in several, zlib, and the raw deflate that some servers send in its place."""

    def __init__(self, encoding: str) -> None:
        self.ended = False
        self._may_be_raw = encoding == "deflate"
        self._object = zlib.decompressobj(47)

    def inflate(self, data: bytes) -> Iterator[bytes]:
        """Yield what some bytes inflate to, in bounded pieces."""
        if self._may_be_raw and data:
            self._may_be_raw = False
            if data[0] & 0x0F not in (8, 15):  # with which zlib and gzip begin, and raw deflate can't
                self._object = zlib.decompressobj(-zlib.MAX_WBITS)
        more = True
        while data or more:
            if self.ended:
                if not data or not data.startswith(_GZIP[: len(data)]):  # padding, not another member
                    return
                self._object = zlib.decompressobj(47)
            plain = self._object.decompress(data, _INFLATED_PIECE)
            if plain:
                yield plain
            self.ended = self._object.eof
            data = self._object.unused_data if self.ended else self._object.unconsumed_tail
            more = len(plain) == _INFLATED_PIECE


class _DecodingConsumer:
    """Decodes a body, piece by piece, for a consumer of plain UTF-8; a broken one ends there, as a cut does."""

    def __init__(self, consumer: StreamConsumer, decode: Callable[[bytes], Iterator[bytes]]) -> None:
        self._consumer, self._decode, self._patience = consumer, decode, math.inf

    def begin(self, headers: Mapping[str, str]) -> None:
        """Pass the headers on."""
        self._consumer.begin(headers)

    def feed(self, data: bytes) -> float:
        """Decode a part of the body, a bounded piece at a time, and pass it on."""
        try:
            for plain in self._decode(data):
                self._patience = self._consumer.feed(plain)
                if not self._patience:
                    break
        except zlib.error:
            return 0.0
        return self._patience
