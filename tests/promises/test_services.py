"""The same rows at each simulated service: answers, tokens, money, errors, streams and models are as at the plain API."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest
from support.waiting import SECONDS

import tsn_frames as tsn
from tsn_frames.engine.chat.model_names import list_models
from tsn_frames.engine.runtime.process import process_state
from tsn_frames.secret import Secret
from tsn_frames.simulator import Faults, Simulator
from tsn_frames.simulator.dialects import NAMES

ROWS = pd.DataFrame({"t": [f"Tell me about number {number}" for number in range(12)]})
INCLUDE = ["model", "reasoning", "cached_tokens"]
PRICES = {"sim-small": (1.0, 2.0), "sim-reasoner": (1.0, 2.0)}


@pytest.fixture(params=NAMES)
def dialect(request):
    return request.param


def client_of(sim, tmp_path, model="sim-reasoner", **words):
    retry = tsn.Retry(attempts=4, backoff=0.001, backoff_max=0.01)
    return tsn.Client(
        sim.base_url, model=model, cache=tmp_path / "c", ledger=tmp_path / "l.db", prices=PRICES, retry=retry, **words
    )


def answers(dialect, tmp_path, **words):
    with Simulator(latency=0.0, dialect=dialect, cached_tokens=True) as sim, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = client_of(sim, tmp_path / dialect)
        out = ROWS.tsn.complete("{t}", system="Be brief.", client=client, include=INCLUDE, progress=False, **words)
        stats = sim.stats()
    assert out["total_tokens"].sum() == stats.billed_prompt_tokens + stats.billed_completion_tokens
    assert out["cost"].sum() == pytest.approx((stats.billed_prompt_tokens + 2 * stats.billed_completion_tokens) / 1e6)
    return out


@pytest.mark.parametrize("words", [{}, {"stream": True}], ids=["plain", "stream"])
def test_answers_tokens_and_money_are_those_of_the_plain_api(dialect, tmp_path, words):
    given, expected = answers(dialect, tmp_path / "given", **words), answers("openai", tmp_path / "expected")
    same = ["content", "prompt_tokens", "total_tokens", "cost", "model", "reasoning"]
    pd.testing.assert_frame_equal(given[same], expected[same])
    if not words:
        assert given["cached_tokens"].fillna(0).sum() == expected["cached_tokens"].sum()


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"keys": ("other",)}, tsn.errors.AuthenticationError),
        ({"balance": 0}, tsn.errors.BalanceError),
        ({"models": ("x",)}, tsn.errors.ModelError),
    ],
    ids=["key", "balance", "model"],
)
def test_a_refused_key_balance_or_model_ends_the_run_after_a_handful_of_requests(dialect, tmp_path, options, kind):
    with Simulator(latency=0.0, dialect=dialect, **options) as sim:
        with pytest.raises(kind):
            ROWS.tsn.complete("{t}", client=client_of(sim, tmp_path), progress=False)
        assert sim.stats().requests <= 10


def test_refusals_and_failures_are_ridden_out(dialect, tmp_path):
    faults = Faults(error_500=0.3, error_503=0.3, error_429=0.3, first_attempt_only=True)
    with Simulator(latency=0.0, dialect=dialect, faults=faults) as sim:
        out = ROWS.tsn.complete("{t}", client=client_of(sim, tmp_path), progress=False)
        assert out["error"].isna().all() and sim.stats().answers == len(ROWS)


def test_a_chat_streams_and_lists_the_models(dialect, tmp_path):
    with Simulator(latency=0.0, dialect=dialect) as sim:
        chat = tsn.Chat(client_of(sim, tmp_path, "sim-small"))
        chat.send("Is tea good?")
        turn = chat.to_frame().iloc[-1]
        assert turn["state"] == "whole" and turn["content"].startswith("[simulated]") and turn["total_tokens"] > 0
        listed = process_state.submit(list_models(client_of(sim, tmp_path), Secret(None))).result(SECONDS)
        assert "sim-large" in listed


def test_an_unknown_dialect_is_an_error_that_lists_them():
    with pytest.raises(ValueError, match="dialect is one of openai, azure"):
        Simulator(dialect="nobody")
