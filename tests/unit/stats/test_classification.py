"""Metrics of labels, held equal to scikit-learn and statsmodels on random data with gaps and rare labels."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn_frames.stats.bootstrap import bootstrap_interval
from tsn_frames.stats.classification import ConfusionCounts, balanced_accuracy, kappa, macro_f1

LABELS = 4
rows = st.lists(st.tuples(st.integers(0, LABELS - 1), st.integers(-1, LABELS - 1)), min_size=1, max_size=60)


def reference(name):
    sklearn = pytest.importorskip("sklearn.metrics")
    return getattr(sklearn, name)


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def counts_of(given_rows):
    gold, said = np.array(given_rows).T
    pairs = ConfusionCounts.of(gold, said, LABELS)
    return gold, said, pairs, pairs.by_label(pairs.counts)


@given(rows)
def test_balanced_accuracy_and_macro_f1_equal_scikit_learn(some):
    gold, said, _, counted = counts_of(some)
    assert balanced_accuracy(counted) == pytest.approx(quietly(reference("balanced_accuracy_score"), gold, said))
    present = sorted({*gold, *said} - {-1})
    f1 = quietly(reference("f1_score"), gold, said, labels=present, average="macro", zero_division=0)
    assert macro_f1(counted) == pytest.approx(f1)


@given(rows)
def test_the_tallies_equal_scikit_learn(some):
    gold, said, _, counted = counts_of(some)
    table = quietly(reference("confusion_matrix"), gold, said, labels=[*range(LABELS), -1])
    assert np.array_equal(counted.gold, table.sum(axis=1)[:-1])
    assert np.array_equal(counted.predicted, table.sum(axis=0)[:-1])
    assert np.array_equal(counted.hits, np.diag(table)[:-1])


@pytest.mark.parametrize("ordered", [False, True])
@given(some=rows)
def test_kappa_equals_scikit_learn_and_statsmodels(some, ordered):
    some = [(gold, said) for gold, said in some if said >= 0]
    if not some:
        return
    gold, said, pairs, _ = counts_of(some)
    found = float(kappa(pairs, pairs.counts, ordered=ordered))
    if len({*gold, *said}) == 1:
        assert np.isnan(found)  # no disagreement could be expected
        return
    weights = "quadratic" if ordered else None
    wanted = quietly(reference("cohen_kappa_score"), gold, said, labels=list(range(LABELS)), weights=weights)
    assert found == pytest.approx(wanted, abs=1e-9)
    table = np.histogram2d(gold, said, bins=[np.arange(LABELS + 1)] * 2)[0]
    raters = pytest.importorskip("statsmodels.stats.inter_rater")
    other = quietly(raters.cohens_kappa, table, wt=weights, return_results=False)
    assert found == pytest.approx(float(other), abs=1e-9)


@given(rows)
def test_a_batch_of_counts_gives_each_metric_of_each(some):
    _, _, pairs, counted = counts_of(some)
    batch = pairs.by_label(np.stack([pairs.counts, 2 * pairs.counts]))
    for metric in (balanced_accuracy, macro_f1):
        assert metric(batch) == pytest.approx([float(metric(counted))] * 2)


def kappa_of_population(table):
    rows_, columns = table.sum(axis=1), table.sum(axis=0)
    return 1 - (1 - np.trace(table)) / (1 - rows_ @ columns)


POPULATIONS = {
    "two labels, good": np.array([[0.45, 0.05], [0.05, 0.45]]),
    "two labels, one rare": np.array([[0.08, 0.04], [0.03, 0.85]]),
    "three labels, fair": np.array([[0.3, 0.05, 0.05], [0.08, 0.2, 0.02], [0.05, 0.05, 0.2]]),
}


def kappa_coverage(table, number, seeds):
    gold, said = (axis.ravel() for axis in np.indices(table.shape))
    truth, held = kappa_of_population(table), 0
    for seed in range(seeds):
        counts = np.random.default_rng([seed, number]).multinomial(number, table.ravel())
        pairs = ConfusionCounts(gold, said, counts, len(table))
        low, high = bootstrap_interval(lambda drawn, pairs=pairs: kappa(pairs, drawn, ordered=False), counts, 0.95, seed=seed)
        held += low <= truth <= high
    return held / seeds


@pytest.mark.slow
@pytest.mark.parametrize("name", POPULATIONS)
def test_the_bootstrap_of_kappa_covers_at_100_rows(name):
    assert kappa_coverage(POPULATIONS[name], 100, 400) >= 0.90  # 0.92 less some two standard errors


@pytest.mark.soak
@pytest.mark.parametrize("name", POPULATIONS)
def test_the_bootstrap_of_kappa_covers_92_percent_at_100_rows(name):
    assert kappa_coverage(POPULATIONS[name], 100, 2_000) >= 0.92


def test_a_bootstrap_whose_draws_are_all_equal_gives_no_interval():
    assert np.isnan(bootstrap_interval(lambda drawn: drawn.sum(axis=-1) * 1.0, np.array([4, 6]), 0.95)).all()
