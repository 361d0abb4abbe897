"""Corrected shares over frames: what counts, what is refused, and coverage on real labels."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.real_texts import real_texts

import tsn_frames as tsn
from tsn_frames.stats.proportions import wilson
from tsn_frames.stats.stratified_share import Stratum, frame_share

TOPICS = ["billing", "delivery", "praise"]


def labelled(rows=300, seed=0, **draw):
    """A frame whose model errs, with gold where it was drawn and the truth beside it."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(TOPICS, rows, p=[0.6, 0.3, 0.1])
    said = np.where(rng.random(rows) < 0.8, truth, rng.choice(TOPICS, rows))
    df = pd.DataFrame({"truth": truth, "topic": pd.Categorical(said, TOPICS), "month": rng.integers(1, 4, rows)})
    out = df.tsn.gold_sample(draw.pop("n", 100), random_state=seed, **draw)
    return out.assign(gold=out["truth"].where(out["gold_split"].notna()))


def test_a_row_a_label_with_the_columns_of_the_reference():
    found = labelled().tsn.shares("topic", gold="gold")
    assert found.index.tolist() == TOPICS and found.index.name == "label"
    assert list(found.columns) == ["rows", "said", "share", "low", "high", "gold_rows", "gold_only", "gold_low", "gold_high"]
    assert [str(kind) for kind in found.dtypes] == ["Int64", *["Float64"] * 4, "Int64", *["Float64"] * 3]
    assert found["gold_only"].sum() == pytest.approx(1)
    assert found["share"].sum() == pytest.approx(1, abs=0.02)  # each label has strata of its own


def tweets(seed=0, rows=600, texts=10_000, **draw):
    """A labelled frame with a text in each row, of which some may be equal."""
    df = labelled(rows, seed, **draw)
    return df.assign(text=[f"text {number}" for number in np.random.default_rng(seed).integers(texts, size=rows)])


@pytest.mark.parametrize("multiply", [
    lambda df: df.merge(pd.DataFrame({"month": [1, 1, 2, 2, 3, 3], "reader": list("ababab")}), on="month"),
    lambda df: pd.concat([df, df], ignore_index=True),
    lambda df: df.drop(columns="text").loc[df.index.repeat(3)],
    lambda df: df.loc[df.index.repeat(np.where(df["month"] == 1, 4, 1))].reset_index(drop=True),
])  # fmt: skip
def test_rows_multiplied_after_the_draw_are_warned_of(multiply):
    df = multiply(tweets())
    with pytest.warns(tsn.TSNWarning, match="multiplied after the draw"):
        df.tsn.shares("topic", gold="gold")
    with pytest.warns(tsn.TSNWarning, match="multiplied after the draw"):
        df.tsn.corrected("topic", gold="gold")
    assert any("multiplied after the draw" in note for note in df.tsn.evaluate("topic", gold="gold").notes)


@pytest.mark.parametrize("draw", [{"n": 60}, {"n": 300}, {"n": 590}, {"n": 200, "dev": 200}, {"n": 100, "by": "month"}])
@pytest.mark.parametrize("texts", [40, 200, 10_000])
def test_equal_texts_that_were_drawn_one_by_one_are_not(draw, texts):
    for seed in range(10):
        df = tweets(seed, texts=texts, **draw)
        df["gold_note"] = pd.Series("read twice", df.index).where(df["gold"].notna())
        df["tokens"] = df["text"].str.len()
        df["words"] = [[text] for text in df["text"]]
        df.tsn.shares("topic", gold="gold")  # a warning would be an error


def test_the_figures_are_those_of_the_two_strata():
    df = labelled()
    found = df.tsn.shares("topic", gold="gold").loc["billing"]
    said, read, is_it = df["topic"].eq("billing"), df["gold"].notna(), df["gold"].eq("billing")
    strata = [Stratum(int(part.sum()), int((part & read).sum()), int((part & read & is_it).sum())) for part in (said, ~said)]
    assert found[["share", "low", "high"]].tolist() == pytest.approx(frame_share(tuple(strata), (0, 0), 0.95))
    assert found[["gold_low", "gold_high"]].tolist() == pytest.approx(wilson(int(is_it.sum()), 100))
    assert found["said"] == pytest.approx(said.mean())


def test_the_correction_takes_the_models_bias_away():
    df = labelled(6_000, n=400)
    df["topic"] = df["topic"].mask(df["topic"].eq("praise"), "billing")  # the model never says praise
    found, truth = df.tsn.shares("topic", gold="gold"), df["truth"].value_counts(normalize=True)
    for topic in TOPICS:
        assert found.loc[topic, "low"] <= truth[topic] <= found.loc[topic, "high"]
    assert found.loc["praise", "said"] == 0 and found.loc["billing", "said"] > found.loc["billing", "high"]


def test_groups_have_their_own_gold():
    df = labelled(by="month")
    found = df.tsn.shares("topic", gold="gold", by="month")
    assert found.index.names == ["month", "label"] and len(found) == 9
    for month, part in df.groupby("month"):
        pd.testing.assert_frame_equal(found.loc[month], part.tsn.shares("topic", gold="gold"))


def test_a_group_without_gold_is_na_and_not_a_guess():
    df = labelled()
    df["rare"] = np.where(np.arange(len(df)) == int(np.flatnonzero(df["gold_split"].isna())[0]), "one", "rest")
    found = df.tsn.shares("topic", gold="gold", by="rare").loc["one"]
    assert found[["share", "low", "high", "gold_only"]].isna().all(axis=None) and found["gold_rows"].eq(0).all()


def test_a_missing_label_says_none_of_them_and_a_missing_group_counts():
    df = labelled()
    df.loc[::10, "topic"] = None
    found = df.tsn.shares("topic", gold="gold")
    assert found["said"].sum() == pytest.approx(0.9) and found["share"].sum() == pytest.approx(1, abs=0.1)
    assert len(df.assign(month=df["month"].where(df["month"].ne(1))).tsn.shares("topic", gold="gold", by="month")) == 9


def test_dev_rows_count_by_their_own_gold_and_without_it_as_unread():
    df = labelled(rows=120, n=40, dev=60)
    found = df.tsn.shares("topic", gold="gold")
    dev = df["gold_split"].eq("dev").fillna(value=False)
    least = (df.loc[dev, "gold"].eq("billing").sum() + df.loc[~dev, "gold"].eq("billing").sum()) / 120
    assert found.loc["billing", "low"] >= least - 1e-9 and found["gold_rows"].eq(40).all()
    blank = df.assign(gold=df["gold"].mask(dev)).tsn.shares("topic", gold="gold").loc["billing"]
    assert blank["high"] - blank["low"] > found.loc["billing", "high"] - found.loc["billing", "low"]


def test_labels_may_be_booleans_numbers_or_plain_texts():
    df = labelled()
    yes = df.assign(topic=df["topic"].eq("billing").astype("boolean"), gold=df["gold"].eq("billing").where(df["gold"].notna()))
    plain = df.assign(topic=df["topic"].astype(str)).tsn.shares("topic", gold="gold")
    assert yes.tsn.shares("topic", gold="gold").loc[True, "share"] == pytest.approx(plain.loc["billing", "share"])
    codes = {topic: code for code, topic in enumerate(TOPICS)}
    numbers = df.assign(topic=df["topic"].map(codes).astype("Int64"), gold=df["gold"].map(codes))
    assert numbers.tsn.shares("topic", gold="gold").loc[0, "share"] == pytest.approx(plain.loc["billing", "share"])


def test_the_same_call_gives_the_same_figures_in_any_order_of_rows():
    df = labelled()
    one = df.tsn.shares("topic", gold="gold")
    pd.testing.assert_frame_equal(one, df.sample(frac=1, random_state=5).tsn.shares("topic", gold="gold"))


def test_a_higher_level_and_a_population_give_wider_intervals():
    df = labelled()
    usual, sure, all_ = (df.tsn.shares("topic", gold="gold", **words) for words in ({}, {"level": 0.99}, {"of": "population"}))
    for other in (sure, all_):
        assert ((other["high"] - other["low"]) > (usual["high"] - usual["low"])).all()
    assert (sure["gold_low"] < usual["gold_low"]).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda df: df.drop(columns=["gold_prob", "gold_split"]), "'gold' was not drawn by df.tsn.gold_sample"),
        (lambda df: df.assign(gold=None), "missing in all 100 rows of the test part"),
        (lambda df: df.assign(gold=df["gold"].replace("billing", "biling")), "'biling' in .* rows.* did you mean 'billing'"),
        (lambda df: df.dropna(subset="gold"), "100 rows of 100 were drawn, .* about 33: rows were dropped after the draw"),
        (
            lambda df: df.assign(gold_prob=0.9),
            "100 rows of 300 were drawn, .* about 270: drawn rows were dropped or 'gold_prob' was",
        ),
        (lambda df: df[df["gold_split"].isna()], "no row of the test part of 'gold_split'"),
        (lambda df: df.iloc[:0], "no row of the test part of 'gold_split'"),
        (lambda df: pd.concat([df, labelled(500, seed=1)]), "goes from 0.2 to 0.333: rows of several draws"),
        (lambda df: df.drop(columns="gold"), "no column 'gold'"),
        (lambda df: df.assign(topic=[["billing"]] * 300), "holds lists or dicts"),
        (lambda df: df.assign(topic=1), "no label in common: 1 here, '.*' there"),
    ],
)
def test_gold_that_proves_nothing_is_refused(change, says):
    with pytest.raises(tsn.errors.ParameterError, match=says):
        change(labelled()).tsn.shares("topic", gold="gold")


@pytest.mark.parametrize("words", [{"of": "all"}, {"level": 95}, {"level": 0.2}, {"level": True}, {"by": "mnth"}])
def test_bad_words_are_refused(words):
    with pytest.raises(tsn.errors.ParameterError):
        labelled().tsn.shares("topic", gold="gold", **words)


def test_unread_rows_and_gold_of_other_rows_are_counted_in_a_warning():
    df = labelled()
    with pytest.warns(tsn.errors.TSNWarning, match="missing in 50 of the 100 rows"):
        half = df.assign(gold=df["gold"].where(df["gold"].notna().cumsum() <= 50)).tsn.shares("topic", gold="gold")
    assert half["gold_rows"].eq(50).all()
    with pytest.warns(tsn.errors.TSNWarning, match="labels in 200 rows that 'gold_split' doesn't name: they are not used"):
        pd.testing.assert_frame_equal(
            df.assign(gold=df["truth"]).tsn.shares("topic", gold="gold"), df.tsn.shares("topic", gold="gold")
        )


def test_gold_of_one_class_and_of_few_rows_has_wide_intervals():
    df = labelled()
    one = df.assign(gold=df["gold"].where(df["gold"].isna(), "billing")).tsn.shares("topic", gold="gold")
    assert one.loc["billing", ["share", "high"]].tolist() == [1, 1] and 0.9 < one.loc["billing", "low"] < 1
    assert one.drop("billing")["share"].eq(0).all() and one.drop("billing")["high"].gt(0).all()
    with pytest.warns(tsn.errors.TSNWarning, match="missing in 97 of the 100 rows"):
        few = df.assign(gold=df["gold"].where(df["gold"].notna().cumsum() <= 3)).tsn.shares("topic", gold="gold")
    assert (few["high"] - few["low"]).min() > 0.4


def test_a_label_that_neither_gold_nor_model_has_gets_an_interval():
    df = labelled()
    df["topic"] = df["topic"].cat.add_categories("other")
    found = df.tsn.shares("topic", gold="gold").loc["other"]
    assert found["said"] == found["share"] == found["low"] == 0 < found["high"] < 0.05


REAL = {"snips.csv": "intent", "clinc150.csv": "scope", "immigration.csv": "immigration"}


def coverage(truth, draws):
    """A model that takes 15 % of the texts for another label; the share of draws of 100 whose intervals hold the true shares."""
    rng = np.random.default_rng(4)
    labels = sorted(set(truth))
    said = np.where(rng.random(len(truth)) < 0.85, truth, rng.permutation(truth))
    df = pd.DataFrame({"said": pd.Categorical(said, labels), "truth": truth})
    shares, held = df["truth"].value_counts(normalize=True).reindex(labels), 0
    for seed in range(draws):
        drawn = df.tsn.gold_sample(100, random_state=seed)
        drawn["gold"] = drawn["truth"].where(drawn["gold_split"].eq("test"))
        found = drawn.tsn.shares("said", gold="gold")
        held += found["low"].le(shares + 1e-9) & found["high"].ge(shares - 1e-9)
    return held / draws


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_shares_of_real_texts_are_covered(name):
    assert coverage(truth_of(name), 100).min() >= 0.88  # 0.93 less some two standard errors


@pytest.mark.soak
@pytest.mark.parametrize("name", REAL)
def test_shares_of_real_texts_are_covered_in_a_thousand_draws(name):
    found = coverage(truth_of(name), 1_000)
    print(name, found.to_dict())
    assert found.min() >= 0.93


def truth_of(name):
    df = real_texts(name)
    if name == "clinc150.csv":
        df["scope"] = np.where(df["intent"].eq("oos"), "out", "in")
    return df[REAL[name]].to_numpy()


@pytest.mark.slow
@pytest.mark.parametrize("draw", [{"by": "month"}, {"dev": 100}, {"by": "month", "dev": 100}], ids=str)
def test_draws_within_groups_and_beside_dev_rows_cover_the_frame_and_each_group(draw):
    rng = np.random.default_rng(8)
    month = rng.integers(0, 3, 1_200)
    truth = rng.random(1_200) < np.array([0.02, 0.1, 0.4])[month]
    said = np.where(rng.random(1_200) < 0.85, truth, rng.random(1_200) < 0.3)
    df = pd.DataFrame({"month": month, "truth": truth, "topic": said})
    whole, groups, held, draws = truth.mean(), df.groupby("month")["truth"].mean(), np.zeros(4), 200
    for seed in range(draws):
        out = df.tsn.gold_sample(150, random_state=seed, **draw)
        out["gold"] = out["truth"].astype("boolean").where(out["gold_split"].notna())
        one = out.tsn.shares("topic", gold="gold").loc[True]
        parts = out.tsn.shares("topic", gold="gold", by="month").xs(True, level="label")
        held += [one["low"] <= whole <= one["high"], *(parts["low"].le(groups) & parts["high"].ge(groups))]
    assert (held / draws).min() >= 0.90, held / draws  # 0.93 less some two standard errors


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from([*TOPICS, None]), st.sampled_from(TOPICS)), min_size=1, max_size=40), st.data())
def test_any_frame_gives_shares_between_0_and_1_around_the_estimate(rows, data):
    df = pd.DataFrame(rows, columns=["topic", "truth"]).astype({"topic": pd.CategoricalDtype(TOPICS)})
    out = df.tsn.gold_sample(data.draw(st.integers(1, len(df))))
    out["gold"] = out["truth"].where(out["gold_split"].eq("test"))
    for of in ("frame", "population"):
        found = out.tsn.shares("topic", gold="gold", of=of)
        assert found[["share", "low", "high"]].ge(0).all(axis=None) and found[["share", "low", "high"]].le(1).all(axis=None)
        assert (found["low"] <= found["high"]).all()
