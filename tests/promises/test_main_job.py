"""The library's main job as a user meets it: a thousand rows with everything that real data brings."""

import numpy as np
import pandas as pd
import pytest

import tsn_frames as tsn
from tsn_frames.engine.runtime.process import process_state


@pytest.fixture
def messages():
    """1,000 rows: 300 of them repeat earlier ones, 50 are blank, the index has duplicates, the dtypes are mixed."""
    rng = np.random.default_rng(7)
    distinct = [f'message {number}, with "quotes", {{braces}} and ümläuts' for number in range(650)]
    texts = [*distinct, *rng.choice(distinct, 300), *["", None, "  ", pd.NA, float("nan")] * 10]
    df = pd.DataFrame({
        "text": pd.Series(texts, dtype=object),
        "amount": pd.array([*range(999), None], dtype="Int64"),
        "price": rng.normal(size=1000).astype("float32"),
        "kind": pd.Categorical(rng.choice(["a", "b"], 1000)),
        "when": pd.date_range("2026-01-01", periods=1000, tz="Europe/Vienna"),
    })  # fmt: skip
    df = df.sample(frac=1.0, random_state=3)
    df.index = rng.integers(0, 500, 1000)
    return df


def test_a_thousand_rows_send_each_distinct_request_once_and_then_nothing(messages, sim, client):
    before = messages.copy(deep=True)
    with pytest.warns(tsn.errors.TSNWarning, match="50 of 1,000 rows are not sent"):
        out = messages.tsn.complete("Answer: {text}", client=client, progress=False)
    assert sim.stats().requests == 650 == len(sim.stats().billed_by_prompt)
    with pytest.warns(tsn.errors.TSNWarning, match="50 of 1,000 rows are not sent"):
        again = messages.tsn.complete("Answer: {text}", client=client, progress=False)
    assert sim.stats().requests == 650 and tsn.last_run().summary.requests == 0

    pd.testing.assert_frame_equal(messages, before)
    pd.testing.assert_frame_equal(out[messages.columns], before)
    assert out["error"].notna().sum() == 50 and out["error"].dropna().str.startswith("missing: ").all()
    assert not out["cached"].any() and again["cached"].sum() == 950
    assert out["content"].equals(again["content"])
    for text, rows in out[out["content"].notna()].groupby("text"):
        assert len(set(rows["content"])) == 1, text


def test_in_the_end_nothing_counts_as_in_flight(sim, client):
    """Estimates are added as requests go out and taken off as answers come, in another order: nothing is left of them."""
    df = pd.DataFrame({"text": [f"message {number}" + " and more" * (number % 7) for number in range(100)]})
    df.tsn.complete("Answer: {text}", client=client, progress=False)
    rules = process_state.account(sim.base_url, client.key()).limiter.rules
    assert (rules.in_flight, rules.tokens.in_flight) == (0, 0)
