"""Rows, calls and the service of the tests of Polars, Ray and Spark."""

from __future__ import annotations

import functools
from typing import Literal

import pandas as pd
import pytest
from support.canary import KEY

import tsn_frames as tsn
from tsn_frames.simulator import Simulator

TEXTS = ["Where is my parcel?", "Two tickets for 40 euros", "Where is my parcel?", None, "Thanks!"]
FIELDS = {"n": int, "price": float, "party": Literal["Con", "Lab"], "words": list[str]}
CALLS = {
    "complete": functools.partial(tsn.complete, prompt="One of: a, b. {id}: {text}", include=["answered_at", "logprobs"]),
    "label": functools.partial(tsn.label, text="text", labels=["billing", "delivery"], name="topic", votes=3),
    "extract": functools.partial(tsn.extract, text="text", fields=FIELDS),
}


@pytest.fixture(name="sim")
def service_with_key():
    """Start a service that answers only with the key, which the workers have in their environment."""
    with Simulator(latency=0.0, keys=[KEY]) as server:
        yield server


def same(values: pd.Series, wanted: pd.Series) -> bool:
    """Return whether two columns hold the same values, whatever the dtypes of their libraries."""
    gaps = wanted.isna().to_numpy()
    pairs = zip(values[~gaps], wanted[~gaps], strict=True)
    return (values.isna().to_numpy() == gaps).all() and all(got == want for got, want in pairs)
