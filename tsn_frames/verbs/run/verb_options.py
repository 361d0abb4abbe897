"""The options of the verbs that send rows: types and defaults, each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypedDict

import pandas as pd

from ...api.parameters import ApiParameters, PerRow
from ...engine.cache.cache import CacheMode
from ...engine.runtime.client import Client
from ...frames.missing_policy import SKIP_BY_DEFAULT, Missing
from .plan import Errors

DEFAULTS: Mapping[str, Any] = {
    "stream": False, "usage": True, "include": (), "overwrite": False, "errors": "coerce", "missing": SKIP_BY_DEFAULT,
    "cache": "use", "repeat": 0,
}  # fmt: skip


class SystemOption(TypedDict, total=False):
    """The system message."""

    system: str | None


class MessageOptions(SystemOption, total=False):
    """Where the messages come from, beside ``prompt``."""

    messages: Any


class AddedColumns(TypedDict, total=False):
    """Which columns are added."""

    usage: bool
    include: Sequence[str]
    overwrite: bool


class ColumnOptions(AddedColumns, total=False):
    """Which columns are added, and what they are called."""

    name: str | None


class ErrorOptions(TypedDict, total=False):
    """What happens to rows that fail, and which rows are asked again."""

    errors: Errors
    refresh: pd.Series | PerRow | None


class RunOptions(TypedDict, total=False):
    """How requests are sent, cached, paid for and shown."""

    stream: bool
    missing: Missing
    cache: CacheMode
    max_cost: float | Decimal | None
    tag: str | PerRow | None
    progress: bool | None
    client: Client | None


class SendOptions(RunOptions, total=False):
    """Those of a run, and which of several answers to the same request is meant."""

    repeat: int | PerRow


class CompleteOptions(MessageOptions, ApiParameters, ColumnOptions, ErrorOptions, SendOptions, total=False):
    """The options of ``complete``, ``acomplete``, ``start``, ``estimate`` and ``complete_file``."""


class SeriesOptions(SystemOption, ApiParameters, ErrorOptions, SendOptions, total=False):
    """The options of ``complete`` on a Series."""
