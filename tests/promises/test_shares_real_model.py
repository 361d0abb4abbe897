"""Shares of real texts that a real model has labelled: their intervals hold the truth. The whole count is in the benchmark."""

from __future__ import annotations

import pytest
from benchmarks.real_shares_coverage import coverage
from support import real_model_server as real
from support.real_labels import TASKS, labelled_by_model

pytestmark = [
    pytest.mark.model,
    pytest.mark.slow,
    pytest.mark.timeout(1_800),
    pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning"),
    pytest.mark.skipif(bool(real.lacking()), reason="no real model on this machine"),
]
ROWS, GOLD, DRAWS = 120, 40, 200


@pytest.mark.parametrize("name", TASKS)
def test_shares_of_real_texts_labelled_by_a_real_model_are_covered(name):
    df = labelled_by_model(name, ROWS)
    found = coverage(df, DRAWS, GOLD)
    print(f"\n{name}: {(df['said'].astype(object) == df['truth']).mean():.0%} right\n{found.round(3)}")
    assert found["covered"].min() >= 0.88  # 0.93 less some two standard errors
