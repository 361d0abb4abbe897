"""Fingerprints of a call for the ledger: hashes, by which a later run finds what has changed; texts only on request."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...engine.ledger.run_record import RunDescription, fingerprint
from ...engine.runtime.client import Client
from .plan import Plan

WHOLE = 10_000  # of larger frames every n-th row is hashed
MOST_SETTINGS = 20  # distinct values of a parameter that are recorded


def about(verb: str, client: Client, df: pd.DataFrame, made: Plan, *, prompt: Any, messages: Any, system: str | None,
          constant: Mapping[str, Any], varying: Mapping[str, Sequence[Any]]) -> RunDescription:  # fmt: skip
    """Return the description of a call for its run record."""
    parameters = {**constant, **varying}
    model = parameters.pop("model", client.model)
    hashes = {
        "template": fingerprint(_words(prompt)),
        "system": fingerprint(system),
        "model": fingerprint(model),
        "base_url": fingerprint(client.keyed_url),
        **{name: fingerprint(value) for name, value in sorted(parameters.items())},
        "rows": _rows(df, prompt, messages, system, made),
        "keys": _sum(np.frombuffer(b"".join(made.requests.index), dtype="<u8")),
    }
    words = {"prompt": _words(prompt), "system": system, "model": _short(model)}
    texts = {**words, **{name: _short(value) for name, value in parameters.items()}} if client.keep_prompts else None
    return RunDescription(verb, hashes, texts, {name: _setting(value) for name, value in sorted(parameters.items())})


def _setting(value: Any) -> Any:
    """Return a parameter without texts: a number, several of them, the type of a response format, or a remark that it was given."""
    if isinstance(value, list):
        distinct = list(dict.fromkeys(str(_setting(one)) for one in value))
        return f"{len(distinct):,} values" if len(distinct) > MOST_SETTINGS else ", ".join(distinct)
    if isinstance(value, Mapping):
        found = {name: _setting(one) for name, one in value.items() if isinstance(one, (bool, int, float))}
        return value["type"] if isinstance(value.get("type"), str) else found or "given"
    return value if value is None or isinstance(value, (bool, int, float)) else "given"


def _words(prompt: Any) -> str | None:
    """Return the text of a prompt, or the source of a function."""
    if not callable(prompt):
        return None if prompt is None else str(prompt)
    try:
        return inspect.getsource(prompt)
    except (OSError, TypeError):
        return getattr(prompt, "__qualname__", type(prompt).__name__)


def _short(value: Any) -> Any:
    return f"{len(value):,} values" if isinstance(value, list) and len(value) > MOST_SETTINGS else value


def _rows(df: pd.DataFrame, prompt: Any, messages: Any, system: str | None, made: Plan) -> str:
    """Return a hash of the values in the prompts, independent of the template and of their order."""
    every = slice(None, None, -(-len(df) // WHOLE) or 1)
    templates = prompt + (system or "") if messages is None and isinstance(prompt, str) else ""
    used = [column for column in df.columns.unique() if f"{{{column}}}" in templates]
    if not used:  # a function or message lists: hash the messages
        some = made.inverse[every]
        return fingerprint(sorted(made.requests[at].messages.hex() for at in some if at >= 0))
    hashed = np.zeros(len(range(*every.indices(len(df)))), dtype="u8")
    for column in used:
        hashed = hashed * np.uint64(1_000_003) + _hashed(df[column].iloc[every].to_numpy(dtype=object))
    return f"{len(df)}-{_sum(hashed)}"


def _hashed(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    try:
        return pd.util.hash_array(values, categorize=False)
    except (TypeError, ValueError):  # a lone surrogate, or values that pandas can't hash
        return pd.util.hash_array(np.array([ascii(value) for value in values], dtype=object), categorize=False)


def _sum(hashed: np.ndarray[Any, Any]) -> str:
    """Return the sum of hashes, which does not depend on their order."""
    return f"{int(hashed.sum(dtype='u8')):016x}"
