"""A frame to requests: pure and free. Whatever is wrong with the input is found here, before money is spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from ..engine.cache import base_hash
from ..engine.client import Client
from ..errors import ConfigError, ParameterError, RowError, quoted
from ..frames import per_row
from ..frames.prompt import Rendered
from ..parameters import body
from ..wire import Request, body_head, dumps

Errors = Literal["coerce", "raise"]


@dataclass(frozen=True)
class Plan:
    """What a frame comes to: its distinct requests, which row has which, and which rows aren't sent.

    Attributes
    ----------
    requests : list of Request
        The distinct requests, in the order of their first rows.
    inverse : integer array, one a row
        The position of a row's request in ``requests``; -1 where the row isn't sent.
    problems : dict of int to RowError
        Why rows aren't sent, by position.
    """

    requests: list[Request]
    inverse: np.ndarray[Any, Any]
    problems: dict[int, RowError]

    @property
    def copies(self) -> list[int]:
        """How many rows share each distinct request."""
        sent = self.inverse[self.inverse >= 0]
        return [int(n) for n in np.bincount(sent, minlength=len(self.requests))]


def plan(client: Client, rendered: Rendered, constant: Mapping[str, Any], varying: Mapping[str, Sequence[Any]]) -> Plan:
    """Return the distinct requests of rendered prompts with their parameters.

    Parameters
    ----------
    client : Client
        Its base_url is part of every key, its model is used where none is given.
    rendered : Rendered
        The messages.
    constant, varying : mapping
        Checked parameters: one value, or one for each row.

    Raises
    ------
    ConfigError
        If no model is given anywhere.
    """
    constant = _with_model(client, constant, varying, rendered.tails)
    shapes = _Shapes(client.base_url, constant, varying, rendered.prefix)
    index: dict[bytes, int] = {}
    requests: list[Request] = []
    inverse = np.full(len(rendered.tails), -1, dtype=np.int64)
    for position, tail in enumerate(rendered.tails):
        if tail is None:
            continue
        base, head, model, most = shapes.of(position)
        hashed = base.copy()
        hashed.update(tail + b"}")
        key = hashed.digest()
        at = index.get(key)
        if at is None:
            index[key] = at = len(requests)
            requests.append(Request(key, head, tail, model, most))
        inverse[position] = at
    return Plan(requests, inverse, rendered.problems)


class _Shapes:
    """The part of a request that isn't its messages, made and hashed once for all rows that share it."""

    def __init__(self, base_url: str, constant: Mapping[str, Any], varying: Mapping[str, Sequence[Any]], prefix: bytes) -> None:
        self._base_url, self._constant, self._varying, self._prefix = base_url, constant, varying, prefix
        self._made: dict[bytes, tuple[Any, bytes, str, int | None]] = {}
        self._only = None if varying else self._make(constant)

    def of(self, position: int) -> tuple[Any, bytes, str, int | None]:
        """Return the hash so far, the body so far, the model and max_tokens of a row."""
        if self._only:
            return self._only
        values = {name: column[position] for name, column in self._varying.items()}
        name = dumps(values)
        if name not in self._made:
            self._made[name] = self._make({**self._constant, **values})
        return self._made[name]

    def _make(self, values: Mapping[str, Any]) -> tuple[Any, bytes, str, int | None]:
        head = body_head(body(values)) + self._prefix
        return base_hash(self._base_url, values.get("repeat") or 0, head), head, values["model"], values.get("max_tokens")


def _with_model(
    client: Client, constant: Mapping[str, Any], varying: Mapping[str, Any], tails: Sequence[Any]
) -> Mapping[str, Any]:
    if "model" in constant or "model" in varying:
        return constant
    if client.model is None and any(tail is not None for tail in tails):
        raise ConfigError(
            "no model is given: write model='...', or Client(model='...'), or set the environment variable TSN_MODEL"
        )
    return {**constant, "model": client.model or ""}


def fresh_requests(df: pd.DataFrame, refresh: Any, made: Plan) -> frozenset[int]:
    """Return the positions of the requests that ``refresh=`` asks for again."""
    if refresh is None:
        return frozenset()
    rows = np.array(per_row.flags(df, "refresh", refresh), dtype=bool)
    return frozenset(int(i) for i in np.unique(made.inverse[rows & (made.inverse >= 0)]))


def tags(df: pd.DataFrame, tag: Any, made: Plan) -> list[str | None]:
    """Return the ledger's tag of each distinct request: that of its first row."""
    if tag is None:
        return []
    series = None if isinstance(tag, str) else per_row.series_of(df, "tag", tag)
    if series is None and not isinstance(tag, str):
        raise ParameterError(f"tag must be a text or a Series of texts, got {quoted(tag)}")
    if series is None:
        return [tag] * len(made.requests)
    firsts = np.unique(made.inverse, return_index=True)
    found = [series.iloc[row] for at, row in zip(*firsts, strict=True) if at >= 0]
    return [None if pd.isna(value) else str(value) for value in found]


def check_choice(name: str, value: object, choices: Any) -> None:
    """Raise where a word isn't one of a closed choice.

    Raises
    ------
    ParameterError
        With the words there are.
    """
    words = get_args(choices)
    if value not in words:
        raise ParameterError(f"{name} must be one of {', '.join(map(repr, words))}, got {quoted(value)}")
