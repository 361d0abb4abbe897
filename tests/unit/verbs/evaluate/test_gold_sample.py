"""Drawing gold rows: chances, proportions, repetition, bad input."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tsn_frames as tsn
from tsn_frames.frames.labels.gold_sampling_design import draw_of, need_draw


def frame(rows=100):
    return pd.DataFrame({"text": [f"text {n}" for n in range(rows)], "month": [n % 4 for n in range(rows)]})


@given(st.integers(1, 60), st.integers(0, 40), st.integers(0, 2**40), st.booleans())
def test_as_many_rows_are_drawn_as_were_asked_for(n, dev, seed, grouped):
    df = frame()
    out = df.tsn.gold_sample(n, dev=dev, by="month" if grouped else None, random_state=seed)
    assert list(out.columns) == ["text", "month", "gold_prob", "gold_split"] and list(df.columns) == ["text", "month"]
    assert out["gold_split"].value_counts().to_dict() == {"test": n} | ({"dev": dev} if dev else {})
    open_ = out["gold_split"].ne("dev").fillna(value=True)
    assert out.loc[open_, "gold_prob"].unique().tolist() == [n / (100 - dev)]
    assert (out.loc[~open_, "gold_prob"] == 1).all()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=80), st.data())
def test_each_group_gets_its_share_rounded_up_or_down(groups, data):
    n = data.draw(st.integers(1, len(groups)))
    df = pd.DataFrame({"by": groups})
    drawn = df.tsn.gold_sample(n, by="by", random_state=data.draw(st.integers(0, 1000)))
    counts = drawn[drawn["gold_split"].notna()].groupby("by").size()
    for group, rows in df.groupby("by").size().items():
        assert abs(counts.get(group, 0) - n * rows / len(df)) < 1


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("by", [None, "month"])
def test_each_row_is_drawn_as_often_as_its_chance_says(by):
    df = pd.DataFrame({"month": [0] * 7 + [1] * 13 + [2] * 30})
    drawn = sum(df.tsn.gold_sample(11, dev=5, by=by, random_state=seed)["gold_split"].eq("test").fillna(value=False).to_numpy() for seed in range(3_000))  # fmt: skip
    assert np.abs(drawn / 3_000 - 11 / 50).max() < 0.035  # 4.5 standard errors


def test_the_same_call_draws_the_same_rows_and_another_seed_others():
    one, again, other = (frame().tsn.gold_sample(20, random_state=seed) for seed in (1, 1, 2))
    assert one.equals(again) and not one.equals(other)


def test_a_frame_with_this_very_draw_is_returned_as_it_is():
    out = frame().tsn.gold_sample(20, dev=4).assign(gold="a")
    pd.testing.assert_frame_equal(out.tsn.gold_sample(20, dev=4), out)
    with pytest.raises(tsn.errors.ColumnError, match="'gold_prob' and 'gold_split' already, of another draw"):
        out.tsn.gold_sample(21)
    assert out.tsn.gold_sample(21, name="more")["more_split"].eq("test").sum() == 21


def test_missing_groups_are_a_group_and_the_index_may_repeat():
    df = frame(40).assign(month=[None, "a"] * 20).set_axis([0] * 40)
    out = df.tsn.gold_sample(10, by="month")
    assert out.loc[:, "gold_split"].eq("test").groupby(out["month"].isna().to_numpy()).sum().tolist() == [5, 5]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"n": 0}, "n must be a whole number of at least 1, got 0"),
        ({"n": 2.5}, "n must be a whole number"),
        ({"n": True}, "n must be a whole number"),
        ({"n": 10, "dev": -1}, "dev must be a whole number of at least 0"),
        ({"n": 90, "dev": 11}, "the frame has 100 rows: n=90 and dev=11 are 101"),
        ({"n": 10, "by": "mnth"}, "did you mean 'month'"),
        ({"n": 10, "name": ""}, "name must be a string"),
        ({"n": 10, "random_state": -1}, "random_state must be"),
    ],
)
def test_bad_words_are_refused(words, says):
    with pytest.raises(tsn.errors.ParameterError, match=says):
        frame().tsn.gold_sample(**words)


def test_gold_of_a_rater_belongs_to_the_draw_of_its_name():
    out = frame().tsn.gold_sample(20)
    assert draw_of(out, "gold_ann").name == draw_of(out, "gold").name == draw_of(out, "topic_right").name == "gold"
    both = out.tsn.gold_sample(30, name="topic")
    assert draw_of(both, "topic_right").name == "topic" and draw_of(both, "gold_ann").name == "gold"
    assert draw_of(frame(), "gold") is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"gold_split": "train"}, "may hold 'test', 'dev' and gaps, got 'train'"),
        ({"gold_prob": None}, "must be above 0 and at most 1 in every row"),
        ({"gold_prob": 0.0}, "must be above 0 and at most 1"),
    ],
)
def test_a_draw_that_was_changed_is_refused(change, says):
    with pytest.raises(tsn.errors.ParameterError, match=says):
        need_draw(frame().tsn.gold_sample(20).assign(**change), "gold")
    with pytest.raises(tsn.errors.ParameterError, match="no 'gold_prob'"):
        need_draw(frame().tsn.gold_sample(20).drop(columns="gold_prob"), "gold")
