"""Plan the distinct requests of a frame. Pure: nothing is sent, and every input error is raised here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from ...api import RequestHead, Requests, body_head, dumps
from ...api.key import base_hash
from ...api.parameters import body
from ...engine.runtime.client import Client
from ...errors import ConfigError, ParameterError, RowError
from ...frames import per_row
from ...frames.columns import first_rows
from ...frames.prompt import Rendered
from ...text import quoted

Errors = Literal["coerce", "raise"]


@dataclass(frozen=True)
class Plan:
    """The distinct requests of a frame, the request of each row, and the rows that aren't sent."""

    requests: Requests  # in the order of their first rows
    inverse: np.ndarray[Any, Any]  # each row's position in `requests`; -1 where the row isn't sent
    problems: dict[int, RowError]  # why rows aren't sent, by position

    @cached_property
    def copies(self) -> list[int]:
        """The number of rows of each distinct request."""
        sent = self.inverse[self.inverse >= 0]
        found: list[int] = np.bincount(sent, minlength=len(self.requests)).tolist()
        return found


def plan(client: Client, rendered: Rendered, constant: Mapping[str, Any], varying: Mapping[str, Sequence[Any]]) -> Plan:
    """Return the distinct requests of rendered prompts with their parameters."""
    shapes = _Shapes(client.keyed_url, _with_model(client, constant, varying, rendered.tails), varying, rendered.prefix)
    index, inverse = _numbered(rendered.tails, shapes)
    firsts = first_rows(inverse, len(index))
    tails, numbers = rendered.tails, shapes.numbers
    if firsts is not None:
        tails, numbers = [tails[row] for row in firsts], [numbers[row] for row in firsts] if numbers else numbers
    return Plan(Requests(index, cast("list[bytes]", tails), shapes.made, numbers), inverse, rendered.problems)


def _numbered(tails: Sequence[bytes | None], shapes: _Shapes) -> tuple[dict[bytes, int], np.ndarray[Any, Any]]:
    """Return the position of each distinct key, and the position of each row's key; -1 for rows that aren't sent."""
    copies = [base.copy for base in shapes.bases]
    index: dict[bytes, int] = {}
    inverse: list[int] = []
    for tail, shape in zip(tails, shapes.numbers or repeat(0), strict=False):
        if tail is None:
            inverse.append(-1)
            continue
        hashed = copies[shape]()
        hashed.update(tail + b"}")
        inverse.append(index.setdefault(hashed.digest(), len(index)))
    return index, np.array(inverse, dtype=np.int64)


class _Shapes:
    """Request heads, everything but the messages: serialised and hashed once for all rows with equal parameters."""

    def __init__(self, base_url: str, constant: Mapping[str, Any], varying: Mapping[str, Sequence[Any]], prefix: bytes) -> None:
        self.made, self.bases = list[RequestHead](), list[Any]()  # each head and its hash
        self.numbers = list[int]()  # the head of each row; empty where all rows have the only one
        self._base_url, self._constant, self._prefix = base_url, constant, prefix
        if not varying:
            self._make({})
            return
        known: dict[bytes, int] = {}
        for row in zip(*varying.values(), strict=True):
            values = dict(zip(varying, row, strict=True))
            name = dumps(values)
            if name not in known:
                known[name] = len(known)
                self._make(values)
            self.numbers.append(known[name])

    def _make(self, own: Mapping[str, Any]) -> None:
        values = {**self._constant, **own}
        head = body_head(body(values)) + self._prefix
        self.made.append(RequestHead(head, values["model"], values.get("max_tokens")))
        self.bases.append(base_hash(self._base_url, values.get("repeat") or 0, head))


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


def tags(df: pd.DataFrame, tag: Any, made: Plan) -> tuple[list[str | None], dict[int, list[str | None]]]:
    """Return the tag of each distinct request, and all tags of those whose rows differ in it.

    The first of equal rows pays, under its own tag; the ledger records what the others saved under theirs.
    """
    if tag is None:
        return [], {}
    series = None if isinstance(tag, str) else per_row.series_of(df, "tag", tag)
    if series is None and not isinstance(tag, str):
        raise ParameterError(f"tag must be a text or a Series of texts, got {quoted(tag)}")
    if series is None:
        return [tag] * len(made.requests), {}
    values = [None if pd.isna(value) else str(value) for value in series]
    firsts = first_rows(made.inverse, len(made.requests))
    if firsts is None:
        return values, {}
    every: dict[int, list[str | None]] = {}
    for at, value in zip(made.inverse.tolist(), values, strict=True):
        every.setdefault(at, []).append(value)
    return [values[row] for row in firsts], {at: some for at, some in every.items() if at >= 0 and len(set(some)) > 1}
