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
from ...api.cache_key import base_hash
from ...api.parameters import body
from ...engine.runtime.client import Client
from ...errors import ConfigError, ParameterError, RowError
from ...frames import per_row
from ...frames.output_columns import first_rows
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
    parameters = _with_model(client, constant, varying, rendered.tails)
    distinct, numbers = _distinct_rows(varying)
    heads, bases = list[RequestHead](), list[Any]()
    for own in distinct:
        values = parameters | own
        head = body_head(body(values)) + rendered.prefix
        heads.append(RequestHead(head, values["model"], values.get("max_tokens")))
        bases.append(base_hash(client.keyed_url, values.get("repeat") or 0, head))
    index, inverse = _numbered(rendered.tails, bases, numbers)
    firsts, tails = first_rows(inverse, len(index)), rendered.tails
    if firsts is not None:
        tails, numbers = [tails[row] for row in firsts], [numbers[row] for row in firsts] if numbers else numbers
    return Plan(Requests(index, cast("list[bytes]", tails), heads, numbers), inverse, rendered.problems)


def _distinct_rows(varying: Mapping[str, Sequence[Any]]) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the distinct values of parameters, and the number of each row's; no numbers where all rows have the same."""
    if not varying:
        return [{}], []
    distinct: dict[bytes, tuple[int, dict[str, Any]]] = {}
    numbers = list[int]()
    for row in zip(*varying.values(), strict=True):
        values = dict(zip(varying, row, strict=True))
        number, _ = distinct.setdefault(dumps(values), (len(distinct), values))
        numbers.append(number)
    return [values for _, values in distinct.values()], numbers


def _numbered(
    tails: Sequence[bytes | None], bases: Sequence[Any], numbers: Sequence[int]
) -> tuple[dict[bytes, int], np.ndarray[Any, Any]]:
    """Return the position of each distinct key, and the position of each row's key; -1 for rows that aren't sent."""
    copies = [base.copy for base in bases]
    index: dict[bytes, int] = {}
    inverse: list[int] = []
    for tail, shape in zip(tails, numbers or repeat(0), strict=False):
        if tail is None:
            inverse.append(-1)
            continue
        hashed = copies[shape]()
        hashed.update(tail + b"}")
        inverse.append(index.setdefault(hashed.digest(), len(index)))
    return index, np.array(inverse, dtype=np.int64)


def _with_model(client: Client, constant: Mapping[str, Any], varying: Mapping[str, Any], tails: Sequence[Any]) -> dict[str, Any]:
    if "model" in constant or "model" in varying:
        return dict(constant)
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
    if isinstance(tag, str):
        return [tag] * len(made.requests), {}
    series = per_row.series_of(df, "tag", tag)
    if series is None:
        raise ParameterError(f"tag must be a string or a Series of strings, got {quoted(tag)}")
    values = [None if pd.isna(value) else str(value) for value in series]
    firsts = first_rows(made.inverse, len(made.requests))
    if firsts is None:
        return values, {}
    every: dict[int, list[str | None]] = {}
    for at, value in zip(made.inverse.tolist(), values, strict=True):
        every.setdefault(at, []).append(value)
    return [values[row] for row in firsts], {at: some for at, some in every.items() if at >= 0 and len(set(some)) > 1}
