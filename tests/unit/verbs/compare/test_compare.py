"""Several models side by side: what is counted, what it cost, and what survives when one of them fails."""

from __future__ import annotations

import itertools
import json
import os
import signal
import warnings
from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.simulators import set_latency

import tsn_frames as tsn
from tsn_frames.simulator import Faults, Simulator
from tsn_frames.stats.paired_proportions import mcnemar
from tsn_frames.stats.proportions import wilson
from tsn_frames.verbs.compare.answer_equality import comparable

PRICES = {"sim-small": (0.25, 1.00), "sim-large": (2.50, 10.00), "sim-reasoner": (0.60, 2.40)}
ASK = "Which topic? Answer with one of: delivery, returns, billing.\n\n{text}"
TEXTS = ["Where is my parcel?", "I was charged twice", "It broke", "Where is my parcel?", "Thank you", "No billing yet", "A", "B"]
TOPICS = ["delivery", "billing", "returns", "delivery", None, "Billing ", "returns", "delivery"]


@pytest.fixture
def client(sim, tmp_path):
    return tsn.Client(sim.base_url, cache=tmp_path / "cache", ledger=tmp_path / "ledger.db", prices=PRICES)


@pytest.fixture
def df():
    return pd.DataFrame({"text": TEXTS, "topic": TOPICS}, index=list("abcdefgh"))


def compare(df, client, models=("sim-small", "sim-large"), **words):
    return df.tsn.compare(ASK, models=models, client=client, progress=False, **words)


def test_the_numbers_are_those_of_the_answers_and_of_the_servers_bill(df, client, sim):
    found = compare(df, client, gold="topic")
    assert list(found.table.index) == ["sim-small", "sim-large"] and len(found) == 2
    assert found["cost"].equals(found.table["cost"]) and list(found) == list(found.table)
    for label, row in found.table.iterrows():
        frame, gold = found.frames[label], df["topic"].str.strip().str.casefold()
        hits = (frame["content"] == gold) & gold.notna()
        assert (row["rows"], row["answered"], row["judged"], row["correct"]) == (8, 8, 7, hits.sum())
        assert row["agreement"] == hits.sum() / 7
        assert (row["agreement_low"], row["agreement_high"]) == wilson(hits.sum(), 7)
        price = PRICES[label]
        spent = (row["prompt_tokens"] * price[0] + row["completion_tokens"] * price[1]) / 1e6
        assert row["cost"] == pytest.approx(spent) and row["billed"] == pytest.approx(spent) and row["cost_known"]
        assert row["cost_per_correct"] == pytest.approx(spent / hits.sum())
    stats = sim.stats()
    assert found.table["prompt_tokens"].sum() == stats.billed_prompt_tokens  # equal rows are one request, and are counted once
    assert found.table["completion_tokens"].sum() == stats.billed_completion_tokens
    assert stats.requests == 14
    assert any("gold is missing or blank in 1 row" in note for note in found.notes)


def test_a_comparison_from_the_cache_is_billed_nothing_and_costs_the_same(df, client, sim):
    first = compare(df, client, gold="topic")
    again = compare(df, client, gold="topic")
    assert sim.stats().requests == 14
    assert again.table["billed"].tolist() == [0.0, 0.0]
    assert "billed 0: every answer came from the cache" in again.notes
    kept = first.table.columns.drop("billed")
    pd.testing.assert_frame_equal(first.table[kept], again.table[kept])  # the seconds, too: the ledger has them
    pd.testing.assert_frame_equal(first.answers, again.answers)


def test_what_the_ledger_does_not_know_is_missing_and_never_0(df, client, sim, tmp_path):
    compare(df, client, models=["sim-small"])
    other = tsn.Client(sim.base_url, cache=client.cache.folder, ledger=tmp_path / "other.db")
    row = compare(df, other, models=["sim-small"]).table.loc["sim-small"]
    assert row["seconds"] is pd.NA and row["seconds_total"] is pd.NA
    assert row["cost"] is pd.NA and not row["cost_known"]


def test_answers_from_a_shared_cache_have_their_cost_at_the_time(df, client, sim, tmp_path):
    first = compare(df, client, models=["sim-small"])
    today = pd.Timestamp.now(tz="UTC").date()
    prices = {
        "sim-small": [
            dict(prompt=0.25, completion=1, valid_to=today),
            dict(prompt=9, completion=9, valid_from=today + pd.Timedelta(days=1)),
        ]
    }
    other = tsn.Client(
        sim.base_url, cache=client.cache.folder, ledger=tmp_path / "other.db", prices=tsn.Prices(prices, currency="EUR")
    )
    row = compare(df, other, models=["sim-small"]).table.loc["sim-small"]
    assert row["cost"] == first.table["cost"].item() and row["cost_known"] and row["currency"] == "EUR" and row["billed"] == 0


def test_answers_without_a_price_have_no_cost_and_say_so(df, sim, tmp_path):
    client = tsn.Client(sim.base_url, cache=tmp_path / "c", ledger=tmp_path / "l.db", prices={"sim-small": (1, 1)})
    with pytest.warns(tsn.errors.TSNWarning, match="^sim-large: the cost of some answers is unknown"):
        found = compare(df, client, gold="topic")
    row = found.table.loc["sim-large"]
    assert row["cost"] is pd.NA and row["cost_per_correct"] is pd.NA and not row["cost_known"]
    assert any("some costs are unknown" in note for note in found.notes)
    assert "unknown" in repr(found)


def test_pairs_agree_over_the_rows_that_both_answered(df, client):
    found = compare(df, client, models=["sim-small", "sim-large", "sim-reasoner"])
    assert found.agreement[["left", "right"]].to_numpy().tolist() == [
        ["sim-small", "sim-large"],
        ["sim-small", "sim-reasoner"],
        ["sim-large", "sim-reasoner"],
    ]
    for row in found.agreement.itertuples():
        assert row.agree == (found.answers[row.left] == found.answers[row.right]).sum() and row.rows == 8
    assert "p" not in found.agreement and "judged" not in found.table


def test_pairs_are_tested_against_gold_by_mcnemar(df, client):
    found = compare(df, client, gold="topic")
    gold = df["topic"].str.strip().str.casefold()
    small, large = (found.answers[label] == gold for label in found.table.index)
    row = found.agreement.iloc[0]
    assert (row["only_left"], row["only_right"]) == ((small & ~large).sum(), (large & ~small).sum())
    assert row["p"] == mcnemar(row["only_left"], row["only_right"])


def test_one_model_has_no_pair(df, client):
    found = compare(df, client, models=["sim-small"], gold="topic")
    assert len(found.table) == 1 and found.agreement.empty and "p" in found.agreement


def test_a_frame_of_a_model_is_what_complete_returns(df, client):
    found = compare(df, client, models=["sim-small"])
    alone = df.tsn.complete(
        ASK, model="sim-small", client=client, include=("model", "answered_at", "request_key"), progress=False
    )
    same = alone.columns.drop(["cost", "cached"])
    pd.testing.assert_frame_equal(found.frames["sim-small"][same], alone[same])
    assert df.columns.tolist() == ["text", "topic"]


def test_columns_that_answers_would_bring_do_no_harm(df, client):
    out = df.tsn.complete(ASK, model="sim-small", client=client, progress=False)
    found = out.tsn.compare(ASK, models=["sim-small", "sim-large"], client=client, progress=False)
    assert found.answers.columns.tolist() == [*out.columns, "sim-small", "sim-large"]
    assert found.answers["content"].equals(found.answers["sim-small"])


def test_each_model_may_have_words_of_its_own(df, client, sim):
    models = {
        "cold": {"model": "sim-small", "temperature": 0},
        "again": {"model": "sim-small", "temperature": 0, "repeat": 1},
        "short": {"model": "sim-small", "prompt": "One of: a, b. {text}", "system": "Be brief."},
    }
    found = compare(df, client, models=models)
    assert list(found.table.index) == list(models) and sim.stats().requests == 21
    assert set(found.answers["short"]) <= {"a", "b"}
    assert found.table["prompt_tokens"].nunique() == 2


def test_models_of_two_services_have_their_own_prices(df, client, tmp_path):
    with Simulator(seed=1, latency=0.0) as second:
        other = tsn.Client(second.base_url, cache=tmp_path / "c2", ledger=tmp_path / "l2.db", prices={"sim-small": (25, 100)})
        found = compare(df, client, models={"here": "sim-small", "there": {"model": "sim-small", "client": other}})
        assert second.stats().requests == 7
    assert found.table.loc["there", "cost"] > 50 * found.table.loc["here", "cost"]


# Samples


def test_a_sample_is_that_of_pandas_in_the_frames_order_and_the_same_each_time(df, client, sim):
    found = compare(df, client, models=["sim-small"], sample=3, random_state=7)
    assert sorted(df.sample(3, random_state=7).index) == list(found.answers.index)
    assert any("a sample of 3 of 8 rows" in note for note in found.notes)
    before = sim.stats().requests
    compare(df, client, models=["sim-small"], sample=3, random_state=7)
    assert sim.stats().requests == before
    assert len(compare(df, client, models=["sim-small"], sample=0.5).answers) == 4


def test_a_sample_with_gold_is_drawn_among_the_rows_that_have_it(client, sim):
    """9 of the 34 rows with gold, of 80 in the frame; the others are not sent, and the comparison says so."""
    df = pd.DataFrame({"text": [f"text {n}" for n in range(80)], "gold": [None if n >= 34 else "a" for n in range(80)]})
    df = df.sample(frac=1, random_state=1)
    found = df.tsn.compare("{text}", models=["sim-small"], gold="gold", sample=9, client=client, progress=False)
    assert len(found.answers) == sim.stats().requests == 9 and df.loc[found.answers.index, "gold"].notna().all()
    for text in (repr(found), found._repr_html_()):
        assert "a sample of 9 of 34 rows that have gold, of 80" in text
    with pytest.raises(
        tsn.errors.ParameterError, match="sample=35 is 35 rows of 34 that have gold: take at least 1 and at most 34"
    ):
        df.tsn.compare("{text}", models=["sim-small"], gold="gold", sample=35, client=client, progress=False)


def test_what_has_a_value_a_row_is_sampled_with_its_rows(client):
    df = pd.DataFrame({"text": TEXTS, "t": np.linspace(0, 1, 8)}, index=[1, 1, 2, 2, 3, 3, 4, 4])  # labels that appear twice
    found = df.tsn.compare(
        "{text}",
        models=["sim-small"],
        temperature=df["t"],
        tag=df["text"],
        gold=df["text"],
        sample=5,
        client=client,
        progress=False,
    )
    for key, text in zip(found.frames["sim-small"]["request_key"], found.answers["text"], strict=True):
        entries = client.ledger.to_frame().set_index("request_key")
        assert entries.loc[key, "tag"] == text
    whole = df.tsn.complete(
        "{text}", model="sim-small", temperature=df["t"], client=client, include=["request_key"], progress=False
    )
    assert set(found.frames["sim-small"]["request_key"]) < set(whole["request_key"])
    assert found.answers["gold"].equals(found.answers["text"].rename("gold"))


@pytest.mark.parametrize("sample", [0, -1, 9, True, 0.0, 1.5, float("nan"), "3", 0.01])
def test_a_sample_that_can_not_be_is_refused_before_anything_is_sent(df, client, sim, sample):
    with pytest.raises(tsn.errors.ParameterError, match="sample"):
        compare(df, client, sample=sample)
    assert sim.stats().requests == 0


def test_a_frame_without_rows_has_nothing_to_compare(df, client):
    with pytest.raises(tsn.errors.ParameterError, match="no rows"):
        compare(df.iloc[:0], client)


# Gold and what it is compared with


@pytest.mark.parametrize("gold", ["topc", ["topic"], 7, pd.Series(TOPICS, index=range(8))])
def test_gold_that_is_not_there_is_refused_before_anything_is_sent(df, client, sim, gold):
    with pytest.raises(tsn.errors.ParameterError, match="gold"):
        compare(df, client, gold=gold)
    assert sim.stats().requests == 0


def test_an_unknown_gold_column_names_the_nearest(df, client):
    with pytest.raises(tsn.errors.ParameterError, match="did you mean 'topic'"):
        compare(df, client, gold="topc")


def test_gold_without_a_value_is_refused_before_anything_is_sent(df, client, sim):
    for nothing in (None, " "):
        with pytest.raises(tsn.errors.ParameterError, match="gold is missing or blank in all 8 rows"):
            compare(df.assign(topic=nothing), client, gold="topic")
    assert sim.stats().requests == 0


def test_gold_may_be_a_series_in_another_order_or_a_function(df, client):
    plain = compare(df, client, gold="topic").table
    for gold in (df["topic"][::-1], lambda frame: frame["topic"]):
        pd.testing.assert_frame_equal(compare(df, client, gold=gold).table.drop(columns="billed"), plain.drop(columns="billed"))
    with pytest.raises(tsn.errors.ColumnError, match="'gold'"):
        compare(df.rename(columns={"topic": "gold"}), client, gold=df["topic"])


@pytest.mark.parametrize(
    ("values", "dtype", "normalise", "shown"),
    [
        ([" Ab\n", None], "object", "casefold", ["ab", None]),
        (["STRASSE", "straße"], "string", "casefold", ["strasse", "strasse"]),
        (["", " \n", "b"], "object", None, [None, None, "b"]),
        ([" Ab\n", None], "object", None, [" Ab\n", None]),
        ([True, False], "bool", "casefold", ["true", "false"]),
        ([True, None], "boolean", "casefold", ["true", None]),
        ([1, 2], "int64", None, ["1", "2"]),
        ([1.0, np.nan], "float64", None, ["1", None]),
        ([1.5, 2.0], "float64", None, ["1.5", "2.0"]),
        ([np.inf, 2.0], "float64", None, ["inf", "2.0"]),
        (["b", None], "category", "casefold", ["b", None]),
        (["a.", "b!"], "object", lambda text: text[0], ["a", "b"]),
    ],
)
def test_the_rule_of_what_is_compared(values, dtype, normalise, shown):
    assert comparable(pd.Series(values, dtype=dtype), normalise) == shown


def test_a_blank_gold_is_a_missing_one(df, client):
    assert compare(df, client, gold=df["topic"].where(df["topic"].notna(), "")).table["judged"].tolist() == [7, 7]


def test_an_answer_that_the_rule_can_not_read_is_judged_and_agrees_with_nothing(df, client):
    found = compare(df.assign(n="1"), client, gold="n", normalise=json.loads)
    assert found.table["judged"].tolist() == [8, 8] and found.table["correct"].tolist() == [0, 0]
    assert found.table["cost_per_correct"].isna().all() and found.agreement["agree"].tolist() == [0]


def test_a_rule_that_returns_what_can_not_be_compared_loses_nothing(df, client):
    assert compare(df, client, gold="topic", normalise=lambda text: np.array([1, 2])).table["correct"].tolist() == [0, 0]


def test_gold_that_the_rule_can_not_read_is_refused_before_anything_is_sent(df, client, sim):
    for normalise in (json.loads, "lower", 3):
        with pytest.raises(tsn.errors.ParameterError, match="normalise"):
            compare(df, client, gold="topic", normalise=normalise)
    assert sim.stats().requests == 0


# Models


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("sim-small", "must be a list"),
        ([], "empty"),
        ({}, "empty"),
        (["sim-small", "sim-small"], "twice"),
        (["sim-small", 3], "model must be"),
        ({"a": "sim-small", "b": {"model": "sim-small"}}, "'a' and 'b' are the same"),
        ({"a": {"modl": "sim-small"}}, "did you mean 'model'"),
        ({"a": {"gold": "topic"}}, "no model has of its own"),
        ({1: "sim-small"}, "label"),
        ({"text": "sim-small"}, "other labels"),
        (["sim-small", "topic"], "other labels"),
    ],
)
def test_models_that_can_not_be_are_refused_before_anything_is_sent(df, client, sim, models, message):
    with pytest.raises(tsn.errors.TSNError, match=message):
        compare(df, client, models=models)
    assert sim.stats().requests == 0


def test_columns_and_labels_that_would_hide_each_other_are_refused_before_anything_is_sent(df, client, sim):
    with pytest.raises(tsn.errors.ColumnError, match="the label 'gold'"):
        compare(df, client, models={"gold": "sim-small"}, gold=df["topic"])
    with pytest.raises(tsn.errors.ColumnError, match="'content' appears more than once"):
        compare(pd.concat([df, df["text"].rename("content"), df["text"].rename("content")], axis=1), client)
    assert sim.stats().requests == 0


def test_a_model_that_is_not_there_does_not_lose_the_others(df, client):
    found = compare(df, client, models=["sim-small", "nope", "sim-large"], gold="topic")
    assert found.table["answered"].tolist() == [8, 0, 8]
    assert found.table["error"].isna().tolist() == [True, False, True]
    assert found.table.loc["nope", "error"].startswith("ModelError: the service answered 404")
    assert found.table.loc["nope", ["judged", "correct", "cost", "billed"]].tolist() == [0, 0, 0, 0]
    assert found.table.loc["nope", ["agreement", "agreement_low", "cost_per_correct", "seconds"]].isna().all()
    assert found.agreement["rows"].tolist() == [0, 8, 0] and found.agreement["p"].isna().tolist() == [True, False, True]
    assert "nope: ModelError" in repr(found)


def test_no_model_at_all_is_an_error_that_has_the_comparison(df, client):
    with pytest.raises(tsn.errors.ModelError) as raised:
        compare(df, client, models=["nope", "no"])
    assert list(raised.value.partial.table.index) == ["nope", "no"]


def test_rows_that_fail_are_counted_and_not_judged(df, client, sim):
    sim.faults = Faults(filtered=0.5)
    with pytest.warns(tsn.errors.TSNWarning, match="^sim-small: . of 8 rows ha(s|ve) no answer"):
        found = compare(df, client, models=["sim-small"], gold=df["topic"].fillna("x"))
    row = found.table.loc["sim-small"]
    assert row["failed"] > 0 and row["judged"] == row["answered"] == 8 - row["failed"]
    assert row["cost"] == pytest.approx(row["billed"])  # what was withheld was billed all the same


def test_an_empty_balance_keeps_what_was_paid_for_and_the_next_call_pays_for_the_rest(df, client, sim):
    sim.balance = 10
    with pytest.raises(tsn.errors.BalanceError) as raised:
        compare(df, client, models=["sim-small", "sim-large", "sim-reasoner"], gold="topic")
    part = raised.value.partial
    assert list(part.table.index) == ["sim-small", "sim-large", "sim-reasoner"]
    assert part.table["answered"].tolist()[0] == 8 and part.table["answered"].tolist()[2] == 0
    assert part.table["error"].str.startswith("BalanceError").tolist()[1:] == [True, True]
    sim.balance = None
    whole = compare(df, client, models=["sim-small", "sim-large", "sim-reasoner"], gold="topic")
    assert sim.stats().answers == 21 and whole.table["answered"].tolist() == [8, 8, 8]


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_paid_for_and_the_next_call_goes_on(tmp_path):
    df = pd.DataFrame({"text": [f"message {n}" for n in range(120)]})
    requests = itertools.count(1)

    def answer(_):
        if next(requests) == 130:  # in the second model
            set_latency(sim, 0.5)
            os.kill(os.getpid(), signal.SIGINT)

    with Simulator(latency=0.02, answer=answer) as sim:
        client = tsn.Client(sim.base_url, cache=tmp_path / "c", ledger=tmp_path / "l.db", limits=tsn.Limits(4), prices=PRICES)
        compare(df.head(100), client, models=["sim-small"])
        with pytest.raises(KeyboardInterrupt) as raised:
            compare(df, client)
        set_latency(sim, 0.0)
        assert "cache='only'" in raised.value.__notes__[0]
        part = raised.value.partial.table
        assert part["answered"].tolist()[0] == 120 and 0 < part["answered"].tolist()[1] < 120
        assert part["error"].tolist() == [pd.NA, "stopped"]
        sent = sim.stats().requests
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", tsn.errors.TSNWarning)
            seen = compare(df, client, cache="only")
        assert sim.stats().requests == sent and seen.table["answered"].tolist() == part["answered"].tolist()
        compare(df, client)
        assert sim.stats().answers == 240


def test_a_call_that_can_not_begin_raises_what_is_wrong_with_it(df, client, sim):
    with pytest.raises(tsn.errors.PromptError, match="txt"):
        df.tsn.compare("{txt}", models=["sim-small"], client=client)
    with pytest.raises(tsn.errors.ConfigError, match="no model"):
        compare(df, client, models={"a": {"temperature": 0}, "b": {"temperature": 1}})
    assert sim.stats().requests == 0


@pytest.mark.parametrize(
    ("own", "words", "message"),
    [
        ({"prompt": "{txt}"}, {}, "txt"),
        ({"temperature": 3}, {}, "temperature"),
        ({"client": "here"}, {}, "client must be"),
        ({"model": "sim-free"}, {"max_cost": 1, "max_tokens": 5}, "a price of 'sim-free'"),
        ({}, {"max_cost": 1}, "max_tokens="),
        ({}, {"max_cost": 0}, "max_cost must be"),
        ({}, {"cache": "on"}, "cache must be"),
    ],
)
def test_what_is_wrong_with_the_last_model_is_refused_before_the_first_is_paid(df, client, sim, own, words, message):
    with pytest.raises(tsn.errors.TSNError, match=message):
        compare(df, client, models={"first": "sim-small", "last": {"model": "sim-large", **own}}, **words)
    assert sim.stats().requests == 0


def test_an_estimate_sends_nothing_and_has_the_cost_of_each_model_and_of_all(df, client, sim):
    whole = tsn.estimate(df.tsn.compare, ASK, models=["sim-small", "sim-large"], client=client, max_tokens=5)
    assert sim.stats().requests == 0
    small, large = (whole.parts[label] for label in ("sim-small", "sim-large"))
    assert large.cost_upper_bound == pytest.approx(10 * small.cost_upper_bound)
    assert whole.cost_upper_bound == pytest.approx(11 * small.cost_upper_bound)
    assert (whole.rows, whole.to_send) == (2 * small.rows, small.to_send + large.to_send)
    found = compare(df, client, max_tokens=5).table
    for label, part in whole.parts.items():
        assert part.cost.low <= found.loc[label, "cost"] <= part.cost.high


def test_the_ledger_knows_a_comparisons_runs_as_such(df, client):
    compare(df, client)
    assert [card.verb for card in client.ledger.run_records() if card.end == "done"] == ["compare", "compare"]


def test_a_warning_names_its_model_and_is_shown_once(df, client):
    df.loc["c", "text"] = " "
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = compare(df, client)
    assert [str(w.message)[:31] for w in said] == ["sim-small: 1 of 8 rows is not s"]
    assert said[0].filename == __file__
    assert found.table["skipped"].tolist() == [1, 1]


def test_the_comparison_shows_itself_in_text_and_in_html_without_trusting_a_label(df, client):
    found = compare(df, client, models={"<img src=x>": "sim-small", "b": "nope<b>"}, gold="topic")
    assert "8 of 8" in repr(found) and "agreement (95 %)" in repr(found)
    assert "<img" not in found._repr_html_() and "nope<b>" not in found._repr_html_()
    assert found.to_frame() is found.table


# Statistics


@pytest.mark.parametrize(  # R. G. Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_the_published_one(successes, trials, low, high):
    assert wilson(successes, trials) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_holds_the_share_within_0_and_1(pair):
    (low, high), (mirror_low, mirror_high) = wilson(*pair), wilson(pair[1] - pair[0], pair[1])
    assert 0 <= low <= pair[0] / pair[1] <= high <= 1 and low < high
    assert low == pytest.approx(1 - mirror_high) and high == pytest.approx(1 - mirror_low)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemars_p_is_the_two_sided_binomial_one(left, right):
    trials = left + right
    chances = [comb(trials, k) / 2**trials for k in range(trials + 1)]
    exact = sum(chance for chance in chances if chance <= chances[left] * (1 + 1e-9))
    assert mcnemar(left, right) == pytest.approx(min(1.0, exact)) == mcnemar(right, left)


def test_mcnemars_p_of_many_rows_takes_no_time():
    assert mcnemar(9_000, 9_500) == pytest.approx(0.000244, rel=0.02)


# Money


def test_max_cost_holds_for_all_models_together(tmp_path):
    df = pd.DataFrame({"text": [f"message {n}" for n in range(40)]})
    with Simulator(latency=0.0) as sim:
        client = tsn.Client(sim.base_url, cache=tmp_path / "c", ledger=tmp_path / "l.db", prices=PRICES)
        words = dict(max_tokens=4, cache="refresh")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", tsn.errors.TSNWarning)
            small = compare(df, client, models=["sim-small"], **words).table["billed"].sum()
            with pytest.raises(tsn.BudgetExceeded) as raised:
                compare(df, client, models=["sim-small", "sim-large", "sim-reasoner"], max_cost=5 * small, **words)
        part = raised.value.partial.table
        assert part["answered"].tolist()[0] == 40 and 0 < part["answered"].tolist()[1] < 40
        assert 3 * small < part["billed"].sum() <= 5 * small
        assert part["error"].str.startswith("BudgetExceeded").tolist()[1:] == [True, True]


@pytest.mark.slow
def test_what_may_have_been_billed_counts_against_max_cost(tmp_path):
    df = pd.DataFrame({"text": [f"message {n}" for n in range(30)]})
    with Simulator(latency=0.0, faults=Faults(truncate=0.15)) as sim, warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)
        client = tsn.Client(sim.base_url, cache=tmp_path / "c", ledger=tmp_path / "l.db", prices=dict.fromkeys(PRICES, (1, 1)))
        try:
            found = compare(df, client, models=list(PRICES), max_tokens=4, max_cost=0.005)
        except tsn.BudgetExceeded as end:
            found = end.partial
        stats = sim.stats()
        assert 0.001 < (stats.billed_prompt_tokens + stats.billed_completion_tokens) / 1e6 <= 0.005
        assert found.table["answered"].tolist()[0] == 30
