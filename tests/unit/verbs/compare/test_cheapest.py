"""Which model is taken: the cheapest that is shown to be worse than the best by less than the margin."""

import numpy as np
import pytest

from tsn_frames.errors import ParameterError
from tsn_frames.verbs.compare.cheapest import Cost, Judged, best_of, check_margin, choose, differences

ALL = np.full(1_000, fill_value=True)


def judged(right, rows=ALL):
    return Judged(rows, rows & (np.arange(len(rows)) < right))


def chosen(models, costs, margin=0.02):
    found = {label: Cost(cost, None) if not isinstance(cost, Cost) else cost for label, cost in costs.items()}
    best = best_of(models, found)
    return choose(best, models, differences(models, best), found, margin)


def test_a_cheaper_model_that_is_nearly_as_good_is_taken():
    cheapest, sentence = chosen({"large": judged(900), "small": judged(895)}, {"large": 10.0, "small": 1.0})
    assert cheapest == "small"
    assert (
        "small is the cheapest model that is shown to be worse than the best, large, by less than 2 percentage points" in sentence
    )
    assert "right in 895 of 1,000 rows against 900 of 1,000 rows, worse by at most 1.2 points, at 10% of the cost" in sentence


def test_the_cheapest_of_several_good_ones_is_taken():
    models = {"large": judged(900), "middle": judged(899), "small": judged(898), "tiny": judged(500)}
    assert chosen(models, {"large": 10.0, "middle": 5.0, "small": 1.0, "tiny": 0.1})[0] == "small"


def test_the_best_is_kept_where_no_cheaper_one_is_shown_to_be_good_enough():
    cheapest, sentence = chosen({"large": judged(900), "small": judged(880)}, {"large": 10.0, "small": 1.0})
    assert cheapest == "large" and "small may be worse by 3.1 points" in sentence


def test_few_rows_show_nothing_even_where_all_answers_are_equal():
    rows = ALL[:100]
    models = {"large": judged(91, rows), "small": judged(90, rows)}
    cheapest, sentence = chosen(models, {"large": 10.0, "small": 1.0})
    assert cheapest == "large" and "no cheaper model is shown to be worse by less than 2 percentage points" in sentence
    assert chosen(models, {"large": 10.0, "small": 1.0}, margin=0.1)[0] == "small"


def test_of_two_that_are_equally_often_right_the_cheaper_one_is_the_best():
    cheapest, sentence = chosen({"large": judged(900), "small": judged(900)}, {"large": 10.0, "small": 1.0})
    assert cheapest == "small" and sentence == "small is right most often, in 900 of 1,000 rows, and no model is cheaper"


def test_models_are_compared_on_the_rows_where_both_are_judged():
    half = np.arange(1_000) < 500
    worse = differences({"a": judged(800), "b": judged(400, half)}, "a")
    assert worse["a"] == (0, 0, 0) and worse["b"].value == 0.2
    apart = differences({"a": judged(400, half), "b": Judged(~half, ~half)}, "a")
    assert np.isnan(apart["b"]).all()


def test_unknown_costs_and_several_currencies_name_no_cheapest_model():
    models = {"large": judged(900), "small": judged(899)}
    cheapest, sentence = chosen(models, {"large": np.nan, "small": 1.0})
    assert cheapest is None and "its cost is unknown" in sentence
    assert chosen(models, {"large": 10.0, "small": np.nan})[0] == "large"
    cheapest, sentence = chosen(models, {"large": Cost(1.0, "EUR"), "small": Cost(0.5, "USD")})
    assert cheapest is None and "several currencies" in sentence


def test_no_judged_row_has_no_best_model():
    none = judged(0, ~ALL)
    assert best_of({"a": none}, {"a": Cost(1.0, None)}) is None
    assert np.isnan(differences({"a": none}, None)["a"]).all()


@pytest.mark.parametrize("margin", [0, 1, 1.0, -0.1, 2, "0.02", True, float("nan")])
def test_a_margin_that_is_not_a_share_is_refused(margin):
    with pytest.raises(ParameterError, match="margin must be a share between 0 and 1"):
        check_margin(margin)
