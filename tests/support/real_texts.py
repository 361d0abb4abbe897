"""Real labelled texts beside the project, for tests that are skipped by name without them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = [folder / "shared" / "data" for folder in (ROOT.parent, *ROOT.parents[1:3])]


def real_file(name: str) -> Path:
    """Return a file of real texts, or skip the test."""
    found = next((place / name for place in PLACES if (place / name).exists()), None)
    if found is None:
        pytest.skip(f"needs real texts: there is no ../shared/data/{name}")
    return found


def real_texts(name: str) -> pd.DataFrame:
    """Read a table of texts, or skip the test."""
    return pd.read_csv(real_file(name))


def real_sample(name: str, rows: int) -> pd.DataFrame:
    """Read a random part of a table, the same at each call, or skip the test."""
    return real_texts(name).sample(rows, random_state=0).reset_index(drop=True)
