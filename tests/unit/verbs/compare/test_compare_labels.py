"""Several models label the rows that have gold: what is asked, what is right, what it cost, and which model to take."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest
from support.labelling import service, text_of
from support.simulators import set_latency
from support.waiting import wait_until

import tsn_frames as tsn
from tsn_frames.simulator import Faults
from tsn_frames.stats.proportions import wilson

TOPICS = ["billing", "delivery", "praise"]
ROWS = 40
PRICES = {"sim-small": (1, 2), "sim-large": (10, 20)}


def answer(body):
    """The large model is right; the small one takes each fifth text for praise and gives an answer that is not a label to each tenth."""
    number = int(text_of(body).split()[-1])
    if body["model"] == "sim-small" and number % 10 == 3:
        return "no idea"
    return "praise" if body["model"] == "sim-small" and number % 5 == 0 else TOPICS[number % 3]


@pytest.fixture
def served(tmp_path):
    with service(answer, tmp_path, prices=PRICES) as (sim, client):
        yield sim, client


@pytest.fixture
def df():
    """Forty messages, of which the first thirty have gold."""
    gold = [TOPICS[number % 3] if number < 30 else None for number in range(ROWS)]
    return pd.DataFrame({"text": [f"message {number}" for number in range(ROWS)], "gold": gold})


def compare(df, client, models=("sim-small", "sim-large"), **words):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*: 3 rows of 30 have no label")
        return df.tsn.compare(
            "text", labels=TOPICS, models=models, client=client, progress=False, **{"gold": "gold", "structured": "text", **words}
        )


def test_the_rows_that_have_gold_are_labelled_and_an_answer_that_is_not_a_label_is_wrong(df, served):
    sim, client = served
    found = compare(df, client)
    assert found.table["rows"].tolist() == found.table["judged"].tolist() == [30, 30]
    wrong = sum(number % 10 == 3 or (number % 5 == 0 and number % 3 != 2) for number in range(30))
    assert found.table["correct"].tolist() == [30 - wrong, 30] and found.table["failed"].tolist() == [3, 0]
    low, high = wilson(30 - wrong, 30)
    assert found.table.loc["sim-small", ["agreement_low", "agreement_high"]].tolist() == [low, high]
    assert f"{30 - wrong} of 30: " in repr(found) and "all 30 rows that have gold, of 40" in found.notes
    assert list(found.answers.columns) == ["text", "gold", "sim-small", "sim-large"] and len(found.answers) == 30
    assert found.agreement.loc[0, ["rows", "only_left", "only_right"]].tolist() == [30, 0, wrong]
    assert sim.stats().requests == 30 + 3 + 30  # each answer that is not a label is asked again once


def test_the_cost_is_the_bill_with_repairs_and_votes_and_a_second_run_sends_nothing(df, served):
    sim, client = served
    found = compare(df, client, models={"once": "sim-small", "thrice": {"model": "sim-small", "votes": 3}, "large": "sim-large"})
    stats = sim.stats()
    assert found.table["prompt_tokens"].sum() == stats.billed_prompt_tokens
    billed = (found.table["prompt_tokens"] * [1, 1, 10] + found.table["completion_tokens"] * [2, 2, 20]) / 1e6
    assert found.table["cost"].tolist() == pytest.approx(billed.tolist())
    again = compare(df, client, models={"once": "sim-small", "thrice": {"model": "sim-small", "votes": 3}, "large": "sim-large"})
    assert sim.stats().requests == stats.requests and again.table["billed"].tolist() == [0, 0, 0]
    assert again.table["cost"].tolist() == pytest.approx(found.table["cost"].tolist())
    ends = ["cost_per_correct_low", "cost_per_correct", "cost_per_correct_high"]
    assert again.table[ends].equals(found.table[ends]) and (found.table[ends].diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    assert set(tsn.runs(client)["verb"]) == {"compare"}


def test_a_frame_is_what_label_returns(df, served):
    _, client = served
    found = compare(df, client, models=["sim-large"])
    labelled = df.iloc[:30].tsn.label("text", TOPICS, client=client, model="sim-large", structured="text", progress=False)
    same = [name for name in labelled if name not in ("label_cost", "label_cached")]  # the second call took them from the cache
    pd.testing.assert_frame_equal(found.frames["sim-large"][same], labelled[same])


def test_a_sample_is_drawn_among_the_rows_that_have_gold(df, served):
    sim, client = served
    found = compare(df, client, models=["sim-large"], sample=9)
    assert found.table.loc["sim-large", ["rows", "judged"]].tolist() == [9, 9] and sim.stats().requests == 9
    assert "9 of 9: 100%" in repr(found) and "a sample of 9 of 30 rows that have gold, of 40" in found.notes
    assert compare(df, client, models=["sim-large"], sample=0.1).table["rows"].tolist() == [3]
    with pytest.raises(tsn.errors.ParameterError, match="sample=31 is 31 rows of 30 that have gold"):
        compare(df, client, sample=31)


def test_all_rows_are_labelled_where_there_is_no_gold(df, served):
    found = compare(df, served[1], models=["sim-large"], gold=None)
    assert found.table["rows"].tolist() == [40] and "agreement" not in found.table and found.conclusion == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            {"gold": lambda df: df["gold"].replace("praise", "prase")},
            "'gold' has 'prase' in 10 rows, the first is 2, which isn't one",
        ),
        ({"gold": lambda df: df["gold"].where(df["gold"].isna())}, "gold is missing or blank in all 40 rows"),
        ({"system": "Be brief."}, "system= doesn't go with labels="),
        ({"repeat": 1}, "repeat= doesn't go with labels="),
        ({"margin": 2}, "margin must be a share between 0 and 1"),
        ({"votes": 0}, "votes must be"),
        ({"models": {"a": {"model": "sim-small", "repeat": 1}}}, "'repeat', which no model has of its own"),
        ({"models": {"a": "sim-small", "b": "sim-small"}}, "are the same: give one of them other parameters, such as votes=3"),
        ({"other": "praise"}, "praise"),
    ],
)
def test_mistakes_are_refused_before_anything_is_sent(df, served, words, message):
    sim, client = served
    words = {name: value(df) if name == "gold" else value for name, value in words.items()}
    given = df.drop(columns="gold").rename(columns={}) if isinstance(words.get("gold"), pd.Series) else df
    with pytest.raises(tsn.errors.ParameterError, match=message):
        compare(given, client, **words)
    assert sim.stats().requests == 0


def test_options_of_labelling_without_labels_are_refused(df, served):
    with pytest.raises(tsn.errors.ParameterError, match="votes= goes with labels="):
        df.tsn.compare("{text}", models=["sim-small"], votes=3, client=served[1])


def test_an_unbounded_cost_is_refused_before_anything_is_sent(df, served):
    sim, client = served
    with pytest.raises(tsn.errors.ConfigError, match="max_tokens="):
        compare(df, client, max_cost=1)
    assert sim.stats().requests == 0


def test_max_cost_holds_for_all_models_together(df, served):
    sim, client = served
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)
        with pytest.raises(tsn.BudgetExceeded) as raised:
            compare(df, client, models=["sim-large", "sim-small"], max_tokens=8, max_cost=0.03)
    part, stats = raised.value.partial.table, sim.stats()
    assert stats.billed_prompt_tokens == part["prompt_tokens"].sum()
    assert list(part.index) == ["sim-large", "sim-small"] and 0 < part["answered"].iloc[0] < 30
    assert 0.02 < part["billed"].sum() <= 0.03
    assert part["judged"].iloc[0] == part["answered"].iloc[0]  # rows that were not sent are not judged


def test_rows_that_failed_on_the_way_are_not_judged(df, served):
    sim, client = served
    sim.faults = Faults(error_other=0.3, other_status=422)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)
        found = compare(df, client, models=["sim-large"])
    row = found.table.loc["sim-large"]
    assert row["failed"] > 0 and row["judged"] == row["correct"] == 30 - row["failed"]


def test_a_model_that_is_not_there_does_not_lose_the_others(df, served):
    found = compare(df, served[1], models=["nope", "sim-large"])
    assert found.table["judged"].tolist() == [0, 30] and found.table.loc["nope", "error"].startswith("ModelError")
    assert found.cheapest == "sim-large"


def test_an_estimate_sends_nothing_and_has_each_model(df, served):
    sim, client = served
    found = tsn.estimate(
        df.tsn.compare, "text", labels=TOPICS, models=["sim-small", "sim-large"], gold="gold", client=client, max_tokens=5
    )
    assert sim.stats().requests == 0 and list(found.parts) == ["sim-small", "sim-large"]
    assert found.rows == 60 and found.to_send == 60 and found.parts["sim-large"].cost_upper_bound is not None


def test_a_comparison_in_the_background_can_be_stopped_and_goes_on(df, served):
    sim, client = served
    set_latency(sim, 0.1)
    slow = tsn.Client(sim.base_url, cache=client.cache.folder, ledger=client.ledger.path, prices=PRICES, limits=tsn.Limits(1))
    words = dict(labels=TOPICS, models=["sim-large", "sim-small"], gold="gold", client=slow, structured="text", progress=False)
    run = tsn.start(df.tsn.compare, "text", **words)
    wait_until(lambda: run.progress.answered >= 3)
    run.stop()
    with pytest.raises(tsn.RunError, match="stopped") as raised:
        run.result()
    assert list(raised.value.partial.table.index) == ["sim-large"]
    set_latency(sim, 0.0)
    sent = sim.stats().answers
    assert compare(df, client, models=["sim-large"]).table["answered"].tolist() == [30]
    assert sent >= 3 and sim.stats().answers == 30


def test_a_model_may_have_instructions_of_its_own(df, served):
    sim, client = served
    found = compare(
        df,
        client,
        models={"plain": "sim-large", "instructed": {"model": "sim-large", "instructions": "What is it about?"}},
        sample=5,
    )
    assert sim.stats().requests == 10 and found.table["correct"].tolist() == [5, 5]


def test_dev_rows_are_left_out_where_examples_are_shown(df, served):
    out = df.tsn.gold_sample(20, dev=5)
    dev = out["gold_split"].eq("dev").fillna(value=False)
    examples = out[dev].assign(label=out["gold"].fillna("praise"))
    without = compare(out, served[1], models=["sim-large"])
    found = compare(out, served[1], models=["sim-large"], examples=examples)
    assert found.table["rows"].item() == without.table["rows"].item() - (dev & out["gold"].notna()).sum()
    own = {"a": {"model": "sim-large", "examples": examples}}
    assert compare(out, served[1], models=own).table["rows"].tolist() == found.table["rows"].tolist()
    with pytest.raises(tsn.errors.ParameterError, match="all rows that have gold are dev rows"):
        compare(out[dev].dropna(subset="gold"), served[1], models=own)


def test_the_best_of_several_models_on_the_test_part_is_noted(df, served):
    out = df.iloc[:30].tsn.gold_sample(20)
    found = compare(out, served[1], gold="gold")
    assert "2 models are judged by the test part: the best of them looks better here than it is" in found.notes


def test_the_cheaper_of_two_equal_models_is_taken_where_the_rows_suffice(tmp_path):
    df = pd.DataFrame({"text": [f"message {number}" for number in range(400)]})
    df["gold"] = [TOPICS[number % 3] for number in range(400)]
    with service(lambda body: TOPICS[int(text_of(body).split()[-1]) % 3], tmp_path, prices=PRICES) as (_, client):
        found = compare(df, client, models=["sim-large", "sim-small"], structured="auto")
        few = compare(df, client, models=["sim-large", "sim-small"], structured="auto", sample=50)
    assert found.cheapest == "sim-small" and found.table["worse_by"].tolist() == [0, 0]
    assert "sim-small" in found.conclusion and "at 10% of the cost" not in few.conclusion
    assert few.cheapest == "sim-small", "of two that are equally often right the cheaper one is the best"


def test_an_archived_comparison_is_replayed_and_reported(df, served, tmp_path):
    sim, client = served
    found = compare(df, client)
    tsn.archive(tmp_path / "study.zip", found, client=client)
    archived = tsn.load_archive(tmp_path / "study.zip", folder=tmp_path / "opened")
    sent = sim.stats().requests
    again = compare(df, archived)
    assert sim.stats().requests == sent and again.table["billed"].tolist() == [0, 0]
    same = ["judged", "correct", "cost", "cost_per_correct", "cost_per_correct_low", "worse_by_high"]
    pd.testing.assert_frame_equal(again.table[same], found.table[same])
    assert found.conclusion in (tmp_path / "opened" / "REPORT.md").read_text(encoding="utf-8")
