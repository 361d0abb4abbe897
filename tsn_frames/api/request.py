"""Requests as they are sent and keyed.

A body is written once, in one fixed field order with ``messages`` last: the part before it is the same for many rows, so
it is serialised and hashed once and shared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from .serialization import dumps


class Request(NamedTuple):
    """One chat completion to ask for: its key, and its body in two parts."""

    key: bytes
    head: bytes
    messages: bytes
    model: str
    max_tokens: int | None = None

    @property
    def body(self) -> bytes:
        """The JSON that is sent."""
        return self.head + self.messages + b"}"


class Shape(NamedTuple):
    """What many requests have in common: their body up to what differs, and what is read off it."""

    head: bytes
    model: str
    max_tokens: int | None = None


class Requests:
    """Distinct requests, kept as lists: each is made when it is to be sent, since most of a million may be cached.

    Parameters
    ----------
    index : dict of bytes to int
        The key of each request and its position, in order.
    tails : sequence of bytes
        What each adds to the head of its shape.
    shapes : sequence of Shape
        The few shapes there are.
    numbers : sequence of int
        The shape of each; empty where all have the only one.
    """

    def __init__(
        self, index: dict[bytes, int], tails: Sequence[bytes], shapes: Sequence[Shape], numbers: Sequence[int] = ()
    ) -> None:
        self.index, self._tails, self._shapes, self._numbers = index, tails, shapes, numbers

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, at: int) -> Request:
        head, model, most = self._shapes[self._numbers[at] if self._numbers else 0]
        return Request(self.keys[at], head, self._tails[at], model, most)

    def __iter__(self) -> Iterator[Request]:
        return map(self.__getitem__, range(len(self)))

    def some(self, positions: Sequence[int]) -> Requests:
        """Return those at some positions, in that order."""
        keys, numbers = self.keys, self._numbers
        tails = [self._tails[at] for at in positions]
        index = {keys[at]: number for number, at in enumerate(positions)}
        return Requests(index, tails, self._shapes, [numbers[at] for at in positions] if numbers else ())

    @cached_property
    def keys(self) -> list[bytes]:
        """The key of each request."""
        return list(self.index)

    @property
    def models(self) -> list[str]:
        """The model of each request."""
        names = [shape.model for shape in self._shapes]
        return [names[number] for number in self._numbers] if self._numbers else names * len(self)


def body_head(parameters: Mapping[str, Any]) -> bytes:
    """Return the body up to and including ``"messages":`` for parameters that are checked and in order.

    Examples
    --------
    >>> body_head({"model": "m", "temperature": 0.0})
    b'{"model":"m","temperature":0.0,"messages":'
    """
    return dumps(dict(parameters))[:-1] + (b"," if parameters else b"") + b'"messages":'


def messages_around(system: str | None) -> tuple[bytes, bytes]:
    """Return what stands before and after the user's text in a serialised message list."""
    first = b'{"role":"system","content":' + dumps(system) + b"}," if system is not None else b""
    return b"[" + first + b'{"role":"user","content":', b"}]"
