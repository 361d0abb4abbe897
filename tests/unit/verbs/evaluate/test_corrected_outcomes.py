"""Labels as outcomes of a regression: unbiased, covered, never wider than the gold alone."""

import numpy as np
import pandas as pd
import pytest
from benchmarks.corrected_coverage import SETTINGS, experiment

import tsn_frames as tsn


def labelled(rows=400, n=100, dev=0):
    rng = np.random.default_rng(3)
    truth = rng.choice(["a", "b"], rows, p=[0.7, 0.3])
    said = np.where(rng.random(rows) < 0.85, truth, "a")
    df = pd.DataFrame({"said": pd.Categorical(said, ["a", "b"]), "truth": truth}, index=np.arange(rows) * 2)
    out = df.tsn.gold_sample(n, dev=dev)
    return out.assign(gold=out["truth"].where(out["gold_split"].notna()))


def test_a_float_column_a_label_with_the_frames_index():
    df = labelled()
    out = df.tsn.corrected("said", gold="gold")
    assert list(out.columns) == ["a", "b"] and out.index.equals(df.index) and set(map(str, out.dtypes)) == {"Float64"}
    assert out.sum(axis=1).mean() == pytest.approx(1) and set(out.attrs["weights"]) == {"a", "b"}


def test_the_mean_is_the_regression_estimate_of_the_share():
    df = labelled()
    out, read = df.tsn.corrected("said", gold="gold"), df["gold"].notna()
    said, gold = df["said"].eq("b").astype(float), df["gold"].eq("b").astype(float)
    slope = np.cov(said[read], gold[read])[0, 1] / np.var(said[read], ddof=1)
    assert out.attrs["weights"]["b"] == pytest.approx(min(1, slope))
    assert out["b"].mean() == pytest.approx(gold[read].mean() + slope * (said.mean() - said[read].mean()))


def test_a_model_that_says_one_label_only_gets_no_weight():
    df = labelled()
    df["said"] = pd.Categorical(["a"] * len(df), ["a", "b"])
    out = df.tsn.corrected("said", gold="gold")
    assert out.attrs["weights"] == {"a": 0.0, "b": 0.0} and out["b"].mean() == pytest.approx(df["gold"].eq("b").sum() / 100)


def test_dev_rows_have_their_own_gold_and_are_missing_without():
    df = labelled(dev=50)
    dev = df["gold_split"].eq("dev").fillna(value=False)
    assert df.tsn.corrected("said", gold="gold").loc[dev, "b"].tolist() == df.loc[dev, "gold"].eq("b").astype(float).tolist()
    assert df.assign(gold=df["gold"].mask(dev)).tsn.corrected("said", gold="gold")["b"].isna().equals(dev.astype(bool))


def test_rows_that_are_not_read_yet_are_allowed_for():
    df = labelled(4_000, 400)
    some = df.assign(gold=df["gold"].where(df["gold"].notna().cumsum() <= 200))
    with pytest.warns(tsn.errors.TSNWarning, match="missing in 200 of the 400"):
        assert some.tsn.corrected("said", gold="gold")["b"].mean() == pytest.approx(0.3, abs=0.08)


def test_labels_with_few_gold_rows_are_warned_of():
    df = labelled()
    df.loc[df["gold"].eq("b").cumsum().gt(3) & df["gold"].eq("b"), "gold"] = "a"
    with pytest.warns(
        tsn.errors.TSNWarning, match=r"fewer than 5 gold rows, too few for a regression on their columns: 'b' \(3\)"
    ):
        df.tsn.corrected("said", gold="gold")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda df: df.drop(columns="gold_split"), "was not drawn"),
        (lambda df: df.assign(gold=None), "missing in all 100 rows"),
        (lambda df: df.dropna(subset="gold"), "rows were dropped after the draw"),
    ],
)
def test_gold_that_proves_nothing_is_refused(change, says):
    with pytest.raises(tsn.errors.ParameterError, match=says):
        change(labelled()).tsn.corrected("said", gold="gold")


@pytest.mark.slow
def test_the_slope_is_covered_where_the_naive_one_is_biased():
    found = experiment(0.25, 100, 200)
    assert found.corrected >= 0.89 and found.naive < 0.05 and found.width <= 1  # 0.92 less some two standard errors


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore:labels have fewer than 5 gold rows")
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_the_slope_is_covered_in_two_thousand_seeds(setting):
    found = experiment(*setting, 2_000)
    assert found.corrected >= 0.92 and found.naive < 0.05 and found.width <= 1, found


def test_least_squares_and_hc3_equal_statsmodels():
    """The benchmark's regression is the one of a user."""
    api = pytest.importorskip("statsmodels.api")
    from benchmarks.corrected_coverage import slope

    rng = np.random.default_rng(1)
    x, y = rng.normal(size=60), rng.normal(size=60)
    fitted = api.OLS(y, api.add_constant(x)).fit(cov_type="HC3")
    assert slope(x, y) == pytest.approx((fitted.params[1], fitted.bse[1]))
