"""Coverage of ``shares`` on real texts labelled by a real model: ``python tests/benchmarks/real_shares_coverage.py [draws]``.

Each file is labelled once. Then gold of 100 rows is drawn from it again and again; the interval of each label should hold the share
that the label has in the file. The program prints the table of docs/explanation/shares.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

GOLD = 100


def coverage(df: pd.DataFrame, draws: int, gold: int = GOLD) -> pd.DataFrame:
    """Return a row per label: its true share and the model's, how many of the draws hold the truth, and the median widths.

    ``df`` has the columns ``said`` and ``truth``; ``gold`` rows of it are read in each draw.
    """
    labels = df["said"].cat.categories
    true = df["truth"].value_counts(normalize=True).reindex(labels, fill_value=0.0).to_numpy()
    held, alone, widths = np.zeros(len(labels)), np.zeros(len(labels)), []
    for seed in range(draws):
        drawn = df.tsn.gold_sample(gold, random_state=seed)
        drawn["gold"] = drawn["truth"].where(drawn["gold_split"].eq("test"))
        found = drawn.tsn.shares("said", gold="gold").astype("float64")
        held += (found["low"] <= true + 1e-9) & (found["high"] >= true - 1e-9)
        alone += (found["gold_low"] <= true) & (found["gold_high"] >= true)
        widths.append((found["high"] - found["low"]) / (found["gold_high"] - found["gold_low"]))
    return pd.DataFrame(
        {
            "said": (df["said"].value_counts(normalize=True)).reindex(labels, fill_value=0.0).to_numpy(),
            "share": true,
            "covered": held / draws,
            "gold alone": alone / draws,
            "width": np.median(widths, axis=0),
        },
        index=pd.Index(labels, name="label"),
    )


def main(draws: int) -> None:
    """Print a table of each file."""
    from support.real_labels import TASKS, labelled_by_model

    print("| texts | label | share | said | covered | gold alone | width |\n|---|---|---|---|---|---|---|")
    for name in TASKS:
        df = labelled_by_model(name)
        accuracy = (df["said"].astype(object) == df["truth"]).mean()
        for label, one in coverage(df, draws).iterrows():
            print(
                f"| {name.removesuffix('.csv')} ({len(df)}, {accuracy:.0%} right) | {label} | {one['share']:.1%} | {one['said']:.1%} "
                f"| {one['covered']:.1%} | {one['gold alone']:.1%} | {one['width']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
