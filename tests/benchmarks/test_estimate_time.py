"""An estimate of a large frame takes seconds, not minutes."""

from __future__ import annotations

import time

import pandas as pd


def test_it_is_quick_enough_for_a_large_frame(client):
    df = pd.DataFrame({"t": [f"row {i} " + "word " * (i % 50) for i in range(50_000)]})
    begun = time.process_time()
    df.tsn.estimate("Which topic? {t}", client=client, progress=False, max_tokens=100)
    assert time.process_time() - begun < 15
