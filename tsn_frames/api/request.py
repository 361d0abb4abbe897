"""Requests: the body that is sent and its cache key.

The fields of a body have one fixed order with ``messages`` last: the part before it is the same for many rows, so it is
serialised and hashed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from .serialization import dumps


class Request(NamedTuple):
    """One request: its cache key, and its body in two parts."""

    key: bytes
    head: bytes
    messages: bytes
    model: str
    max_tokens: int | None = None

    @property
    def body(self) -> bytes:
        """The JSON that is sent."""
        return self.head + self.messages + b"}"


class RequestHead(NamedTuple):
    """The part of a body that many requests share, and the parameters that are read from it."""

    head: bytes
    model: str
    max_tokens: int | None = None


class Requests:
    """Distinct requests, stored as lists: a request object is made when it is sent, since most of a million may be cached.

    ``index`` has the position of each key, ``tails`` the messages that follow a head, ``numbers`` each request's head, empty where there
    is only one.
    """

    def __init__(
        self, index: dict[bytes, int], tails: Sequence[bytes], heads: Sequence[RequestHead], numbers: Sequence[int] = ()
    ) -> None:
        self.index, self._tails, self._heads, self._numbers = index, tails, heads, numbers

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, at: int) -> Request:
        head, model, most = self._heads[self._numbers[at] if self._numbers else 0]
        return Request(self.keys[at], head, self._tails[at], model, most)

    def __iter__(self) -> Iterator[Request]:
        return map(self.__getitem__, range(len(self)))

    def take(self, positions: Sequence[int]) -> Requests:
        """Return the requests at some positions, in that order."""
        keys, numbers = self.keys, self._numbers
        tails = [self._tails[at] for at in positions]
        index = {keys[at]: number for number, at in enumerate(positions)}
        return Requests(index, tails, self._heads, [numbers[at] for at in positions] if numbers else ())

    @cached_property
    def keys(self) -> list[bytes]:
        """The cache key of each request."""
        return list(self.index)

    @property
    def models(self) -> list[str]:
        """The model of each request."""
        names = [head.model for head in self._heads]
        return [names[number] for number in self._numbers] if self._numbers else names * len(self)


def body_head(parameters: Mapping[str, Any]) -> bytes:
    """Serialise checked parameters, in their order, up to and including ``"messages":``.

    >>> body_head({"model": "m", "temperature": 0.0})
    b'{"model":"m","temperature":0.0,"messages":'
    """
    return dumps(dict(parameters))[:-1] + (b"," if parameters else b"") + b'"messages":'


def around_user_text(system: str | None) -> tuple[bytes, bytes]:
    """Return the JSON before and after the user's text in a serialised message list."""
    first = b'{"role":"system","content":' + dumps(system) + b"}," if system is not None else b""
    return b"[" + first + b'{"role":"user","content":', b"}]"
