"""Evaluations over frames: which rows count, what is noted, several columns, raters and groups, bad gold."""

import numpy as np
import pandas as pd
import pytest
from support.real_texts import real_texts

import tsn_frames as tsn
from tsn_frames.stats.paired_proportions import mcnemar
from tsn_frames.stats.proportions import wilson

TOPICS = ["billing", "delivery", "praise"]


def labelled(rows=200, seed=0, *, n=100, dev=0, ordered=False):
    rng = np.random.default_rng(seed)
    truth = rng.choice(TOPICS, rows, p=[0.5, 0.3, 0.2])
    said = np.where(rng.random(rows) < 0.8, truth, rng.choice(TOPICS, rows))
    df = pd.DataFrame({"truth": truth, "topic": pd.Categorical(said, TOPICS, ordered=ordered), "month": rng.integers(1, 3, rows)})
    out = df.tsn.gold_sample(n, dev=dev)
    return out.assign(gold=out["truth"].where(out["gold_split"].notna()))


def test_the_table_has_a_row_a_metric_and_the_result_stands_for_it():
    found = labelled().tsn.evaluate("topic", gold="gold")
    names = ["accuracy", "accuracy_answered", "coverage", "balanced_accuracy", "macro_f1", "kappa", "alpha"]
    assert found.table.index.tolist() == names and found.table.index.name == "metric"
    assert [str(kind) for kind in found.to_frame().dtypes] == ["Float64"] * 3 + ["Int64"]
    assert len(found) == len(names) and list(found) == ["value", "low", "high", "rows"]
    assert found["rows"].eq(100).all() and isinstance(found, tsn.Evaluation)
    assert ((found["low"] <= found["value"]) & (found["value"] <= found["high"])).all() and not found.notes


def test_a_missing_label_is_wrong_and_counts_in_coverage():
    df = labelled()
    read = df["gold"].notna()
    lost = read & (read.cumsum() <= 10)
    df["topic"] = df["topic"].mask(lost)
    found = df.tsn.evaluate("topic", gold="gold")
    right = int((df["topic"].astype(object) == df["gold"])[read].sum())
    assert found.table.loc["accuracy"].tolist() == pytest.approx([right / 100, *wilson(right, 100), 100])
    assert found.table.loc["accuracy_answered"].tolist() == pytest.approx([right / 90, *wilson(right, 90), 90])
    assert found.table.loc["coverage", "value"] == 0.9 and found.table.loc[["kappa", "alpha"], "rows"].eq(90).all()
    assert found.confusion["no label"].sum() == 10 and found.confusion.to_numpy().sum() == 100
    assert len(found.errors) == 100 - right and list(found.errors.columns) == list(df.columns)
    assert lost[found.errors.index].sum() == 10


def test_figures_a_label_are_those_of_the_confusion_matrix():
    found = labelled().tsn.evaluate("topic", gold="gold")
    hits = pd.Series(np.diag(found.confusion), index=TOPICS)
    assert found.labels.index.tolist() == TOPICS
    assert found.labels["gold_rows"].tolist() == found.confusion.sum(axis=1).tolist()
    assert found.labels["said_rows"].tolist() == found.confusion.sum(axis=0).tolist()
    for topic, row in found.labels.iterrows():
        assert row[["recall", "recall_low", "recall_high"]].tolist() == pytest.approx([hits[topic] / row["gold_rows"], *wilson(int(hits[topic]), int(row["gold_rows"]))])  # fmt: skip
        assert row["f1_low"] < row["f1"] < row["f1_high"]
    assert found.table.loc["macro_f1", "value"] == pytest.approx(found.labels["f1"].mean())
    assert found.table.loc["balanced_accuracy", "value"] == pytest.approx(found.labels["recall"].mean())


def test_the_part_that_is_judged_is_test_dev_or_every_row_with_gold():
    df = labelled(dev=30)
    rows = [df.tsn.evaluate("topic", gold="gold", split=split).table.loc["accuracy", "rows"] for split in ("test", "dev", None)]
    assert rows == [100, 30, 130]
    assert df.tsn.evaluate("topic", gold="truth", split=None).table.loc["accuracy", "rows"] == 200


def test_ordered_labels_have_weighted_agreement():
    plain, ordered = (labelled(ordered=ordered).tsn.evaluate("topic", gold="gold") for ordered in (False, True))
    assert plain.table.loc["accuracy"].equals(ordered.table.loc["accuracy"])
    assert plain.table.loc["kappa", "value"] != ordered.table.loc["kappa", "value"]
    metrics = pytest.importorskip("sklearn.metrics")
    df = labelled().dropna(subset="gold")
    codes = [pd.Categorical(df[name], TOPICS).codes for name in ("gold", "topic")]
    assert ordered.table.loc["kappa", "value"] == pytest.approx(metrics.cohen_kappa_score(*codes, weights="quadratic"))


def test_several_columns_are_compared_pair_by_pair():
    df = labelled()
    df["better"] = pd.Categorical(df["truth"], TOPICS)
    found = df.tsn.evaluate(["topic", "better"], gold="gold")
    assert found.table.index.names == ["column", "metric"] and found.labels.index.names == ["column", "label"]
    wrong = len(df.tsn.evaluate("topic", gold="gold").errors)
    (pair,) = found.pairs.to_dict("records")
    assert (pair["left"], pair["right"], pair["rows"], pair["only_left"], pair["only_right"]) == (
        "topic",
        "better",
        100,
        0,
        wrong,
    )
    assert pair["p"] == mcnemar(0, wrong) and pair["low"] < pair["difference"] == -wrong / 100 < pair["high"] < 0
    assert "2 columns are judged by the test part" in found.notes[0]


def test_groups_stand_before_the_metric():
    df = labelled()
    found = df.tsn.evaluate("topic", gold="gold", by="month")
    assert found.table.index.names == ["month", "metric"]
    for month, part in df.groupby("month"):
        pd.testing.assert_frame_equal(found.table.loc[month], part.tsn.evaluate("topic", gold="gold").table)
    two = df.tsn.evaluate("topic", gold="gold", by=["month", "truth"])
    assert two.table.index.names == ["month", "truth", "metric"]


def test_a_group_without_gold_is_noted():
    df = labelled()
    df["rare"] = np.where(np.arange(len(df)) == int(np.flatnonzero(df["gold_split"].isna())[0]), "one", "rest")
    found = df.tsn.evaluate("topic", gold="gold", by="rare")
    assert found.table.index.get_level_values("rare").unique().tolist() == ["rest"] and "one: there is no gold" in found.notes


def test_confidence_gives_thresholds_and_a_brier_score():
    df = labelled()
    rng = np.random.default_rng(1)
    right = df["topic"].astype(object).eq(df["truth"])
    df["topic_agreement"] = np.where(right, rng.choice([0.8, 1.0], len(df)), rng.choice([0.4, 0.8], len(df)))
    found = df.tsn.evaluate("topic", gold="gold")
    assert found.by_confidence.index.tolist() == [0.4, 0.8, 1.0] and found.by_confidence["kept"].is_monotonic_decreasing
    assert found.by_confidence.loc[0.4, "accuracy"] == found.table.loc["accuracy", "value"]
    assert found.by_confidence.loc[1.0, "accuracy"] == 1
    read = df["gold"].notna()
    assert found.table.loc["brier", "value"] == pytest.approx(((df["topic_agreement"] - right)[read] ** 2).mean())
    assert found.table.loc["brier", "low"] < found.table.loc["brier", "value"] < found.table.loc["brier", "high"]
    assert labelled().tsn.evaluate("topic", gold="gold").by_confidence.empty


def rated(*, noise=0.1):
    df, rng = labelled(), np.random.default_rng(2)
    for name in ("ann", "bob", "cy"):
        df[f"gold_{name}"] = df["gold"].mask(rng.random(len(df)) < noise, "praise").where(df["gold"].notna())
    return df, ["gold_ann", "gold_bob", "gold_cy"]


def test_several_raters_are_compared_with_each_other_and_the_model_with_them():
    df, names = rated()
    found = df.tsn.evaluate("topic", gold=names)
    pairs = found.raters[["left", "right"]].apply(tuple, axis=1).tolist()
    assert pairs[:3] == [("gold_ann", "gold_bob"), ("gold_ann", "gold_cy"), ("gold_bob", "gold_cy")]
    assert pairs[3:5] == [("gold_ann", "all but gold_ann"), ("topic", "all but gold_ann")] and len(pairs) == 9
    assert found.raters.loc[3, "rows"] == found.raters.loc[4, "rows"]
    assert found.table.loc["alpha_raters", "rows"] == 100 and found.table.loc["alpha_raters", "value"] > 0.6
    votes = df[names].apply(lambda row: row.value_counts(), axis=1).fillna(0)
    clear = votes.max(axis=1).gt(votes.sum(axis=1) / 2)
    assert found.table.loc["accuracy", "rows"] == clear[df["gold"].notna()].sum()


def test_rows_without_a_majority_are_left_out_with_a_note():
    df, names = rated()
    df.loc[df["gold"].notna() & (df["gold"].notna().cumsum() <= 3), names] = TOPICS
    found = df.tsn.evaluate("topic", gold=names)
    assert found.table.loc["accuracy", "rows"] <= 97 and any("without a majority" in note for note in found.notes)


def test_a_rater_with_gaps_is_compared_on_the_rows_that_were_rated():
    df, names = rated()
    df["gold_cy"] = df["gold_cy"].where(df["gold"].notna().cumsum() <= 40)
    found = df.tsn.evaluate("topic", gold=names).raters
    assert found.loc[found["right"].eq("gold_cy"), "rows"].eq(40).all() and found["rows"].max() == 100


def test_few_rows_of_a_label_give_no_interval_of_the_means_and_a_note():
    df = labelled()
    df["gold"] = df["gold"].mask(df["gold"].eq("praise") & df["gold"].eq("praise").cumsum().gt(3))
    found = df.tsn.evaluate("topic", gold="gold")
    assert found.table.loc[["balanced_accuracy", "macro_f1"], ["low", "high"]].isna().all(axis=None)
    assert found.table.loc[["balanced_accuracy", "macro_f1"], "value"].notna().all()
    text = " ".join(found.notes)
    assert "fewer than 5 gold rows: 'praise' (3)" in text and "have no gold and are left out" in text


def test_one_class_and_perfect_labels_say_why_there_is_no_figure():
    df = labelled()
    one = df.assign(gold=df["gold"].where(df["gold"].isna(), "billing"), topic=pd.Categorical(["billing"] * 200, TOPICS)).tsn.evaluate("topic", gold="gold")  # fmt: skip
    assert one.table.loc[["kappa", "alpha"], "value"].isna().all()
    assert "gold has one label only, 'billing'" in one.notes and any(
        "kappa is undefined: all labels are the same" in note for note in one.notes
    )
    perfect = df.assign(topic=pd.Categorical(df["truth"], TOPICS)).tsn.evaluate("topic", gold="gold")
    assert perfect.table.loc["kappa"].isna().tolist() == [False, True, True, False]
    assert "kappa has no interval: too few rows disagree" in perfect.notes


def test_a_model_that_answers_nothing_is_judged_all_the_same():
    df = labelled()
    df["topic"] = df["topic"].where(df["topic"].isna())
    found = df.tsn.evaluate("topic", gold="gold")
    assert found.table.loc["accuracy", "value"] == found.table.loc["coverage", "value"] == 0
    assert found.table.loc[["accuracy_answered", "kappa", "alpha"], "value"].isna().all()
    assert found.labels["recall"].eq(0).all() and found.labels["precision"].isna().all()


def test_few_rows_at_all_give_no_bootstrap():
    found = labelled(n=20).tsn.evaluate("topic", gold="gold")
    assert (
        found.table.loc["kappa", ["low", "high"]].isna().all()
        and "kappa has no interval: there are fewer than 30 rows" in found.notes
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"gold": "topic"}, "'topic' is given as label and as gold"),
        ({"gold": []}, "gold must be a column, or a list of different columns"),
        ({"gold": "missing"}, "no column 'missing'"),
        ({"gold": "gold", "split": "train"}, "split must be one of 'test', 'dev'"),
        ({"gold": "gold", "split": "dev"}, "missing in every row of the part 'dev'"),
        ({"gold": "gold", "by": "mnth"}, "did you mean 'month'"),
    ],
)
def test_bad_words_are_refused(words, says):
    with pytest.raises(tsn.errors.ParameterError, match=says):
        labelled().tsn.evaluate("topic", **words)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda df: df.drop(columns=["gold_prob", "gold_split"]), "no 'gold_split', so no gold was drawn.*split=None"),
        (lambda df: df.assign(gold=None), "missing in every row of the part 'test'"),
        (lambda df: df.assign(gold=df["gold"].replace("praise", "Praise")), "'Praise' in .* did you mean 'praise'"),
        (lambda df: df.iloc[:0], "missing in every row"),
    ],
)
def test_gold_that_judges_nothing_is_refused(change, says):
    with pytest.raises(tsn.errors.ParameterError, match=says):
        change(labelled()).tsn.evaluate("topic", gold="gold")


def test_gold_outside_of_plain_texts_is_noted_since_they_are_not_a_closed_set():
    df = labelled()
    df = df.assign(topic=df["topic"].astype(object), gold=df["gold"].replace("praise", "prase"))
    assert any("gold has labels that no row was given: 'prase'" in note for note in df.tsn.evaluate("topic", gold="gold").notes)


def test_gold_of_rows_that_were_not_drawn_is_noted_and_not_judged():
    df = labelled()
    found = df.assign(gold=df["truth"]).tsn.evaluate("topic", gold="gold")
    assert "100 rows have gold and were not drawn: they are not judged" in found.notes
    pd.testing.assert_frame_equal(found.table, df.tsn.evaluate("topic", gold="gold").table)


@pytest.mark.parametrize("texts", [200, 150])
def test_judged_rows_with_the_same_text_are_noted(texts):
    df = labelled().assign(text=[f"message number {n % texts}" for n in range(200)], id=range(200))
    found = [note for note in df.tsn.evaluate("topic", gold="gold").notes if "have a text in" in note]
    twice = int(df.loc[df["gold"].notna(), "text"].duplicated(keep=False).sum())
    assert (twice > 0) == (texts == 150)
    assert found == (
        [f"{twice} of the judged rows have a text in 'text' that another one has, too: each counts"] if twice else []
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda df: df.assign(gold_prob=df["gold_prob"].mask(df.index == 0)), "must be above 0 and at most 1 in every row"),
        (
            lambda df: df.assign(gold_prob=df["gold_prob"].mask(df["gold_split"].isna(), 1.0)),
            "1 and is in no part of 'gold_split'",
        ),
        (
            lambda df: df.assign(gold_split=df["gold_split"].replace("test", "tested")),
            "may hold 'test', 'dev' and gaps, got 'tested'",
        ),
        (lambda df: df.drop(columns="gold_prob"), "no 'gold_prob': keep both columns"),
    ],
)
def test_a_draw_that_was_changed_is_refused_by_each_verb(change, says):
    df = change(labelled())
    for verb in (df.tsn.evaluate, df.tsn.shares, df.tsn.corrected):
        with pytest.raises(tsn.errors.ParameterError, match=says):
            verb("topic", gold="gold")


def test_the_text_has_each_metric_and_each_note_and_html_is_escaped():
    df = labelled().rename(columns={"gold": "<b>"}).rename(columns={"gold_split": "<b>_split", "gold_prob": "<b>_prob"})
    found = df.assign(topic=df["topic"].cat.rename_categories({"praise": "<i>"}), **{"<b>": df["<b>"].replace("praise", "<i>")})
    found = found.assign(**{"<b>": found["<b>"].mask(found["<b>"].eq("<i>") & found["<b>"].eq("<i>").cumsum().gt(2))})
    shown = found.tsn.evaluate("topic", gold="<b>")
    assert "accuracy" in repr(shown) and all(note in repr(shown) for note in shown.notes) and shown.notes
    assert "<i>" not in shown._repr_html_().replace("<i></i>", "")


def test_equal_calls_give_equal_figures():
    one, other = (labelled().tsn.evaluate("topic", gold="gold") for _ in range(2))
    pd.testing.assert_frame_equal(one.table, other.table)


def test_five_crowd_raters_of_real_texts():
    df = real_texts("immigration.csv")
    raters = [f"rater_{n}" for n in range(1, 6)]
    found = df.assign(said=np.roll(df["rater_1"], 700)).tsn.evaluate("said", gold=raters, split=None)
    assert found.table.loc["accuracy", "rows"] == len(df)  # five raters of two labels are never divided
    assert 0 < found.table.loc["alpha_raters", "value"] < 1 and abs(found.table.loc["kappa", "value"]) < 0.2
    people = found.raters[found.raters["right"].str.startswith("all but")].set_index("left")
    assert people.loc[raters, "kappa"].min() > people.loc["said", "kappa"].max()


def test_labels_in_place_of_150_real_intents_are_judged_in_moderate_time():
    df = real_texts("clinc150.csv")
    df["said"] = df["intent"].where(np.arange(len(df)) % 5 > 0, df["intent"].shift(1, fill_value="oos"))
    found = df.tsn.evaluate("said", gold="intent", split=None)
    assert len(found.labels) == 151 and found.table.loc["accuracy", "rows"] == 1_900
