"""Coverage of regressions with ``corrected``: ``python tests/benchmarks/corrected_coverage.py [seeds]``.

The label depends on x, and so do the model's errors. The slope of the label on x is estimated by least squares with HC3 standard
errors from the model's labels (naive), from ``corrected``, and from the gold rows alone. The true slope is that of the
population, known in closed form.
"""

from __future__ import annotations

import sys
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

ROWS = 4_000
SETTINGS = list(product((0.10, 0.25, 0.50), (100, 200, 400)))  # share of the label, rows of gold
BASE = pd.DataFrame({"x": np.zeros(ROWS)})


class Measured(NamedTuple):
    corrected: float
    naive: float
    alone: float
    width: float  # mean width of the corrected interval over that of the gold alone


def slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope of a least squares line, and its HC3 standard error (MacKinnon and White 1985)."""
    centred = x - x.mean()
    square = (centred**2).sum()
    beta = (centred * y).sum() / square
    residual = y - y.mean() - beta * centred
    leverage = 1 / len(x) + centred**2 / square
    return beta, np.sqrt(((centred * residual / (1 - leverage)) ** 2).sum()) / square


def chances(share: float, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The chance of the label, that the model finds it, and that it says it falsely, by x from -1 to 1."""
    return share * (1 + 0.5 * x), 0.75 - 0.15 * x, 0.10 - 0.08 * x


def truth(share: float) -> float:
    return 0.5 * share


def experiment(share: float, gold: int, seeds: int) -> Measured:
    held, widths = np.zeros(3), np.zeros(3)
    for seed in range(seeds):
        rng = np.random.default_rng([seed, int(100 * share), gold])
        x = rng.uniform(-1, 1, ROWS)
        chance, finds, errs = chances(share, x)
        right = rng.random(ROWS) < chance
        said = rng.random(ROWS) < np.where(right, finds, errs)
        df = BASE.tsn.gold_sample(gold, random_state=seed)
        read = (df["gold_split"] == "test").fillna(value=False).to_numpy(dtype=bool)
        df["said"], df["gold"] = said, pd.Series(right, dtype="boolean").where(read)
        outcome = df.tsn.corrected("said", gold="gold")[True].to_numpy(dtype=float)
        for at, (beta, error) in enumerate(
            (slope(x, outcome), slope(x, said.astype(float)), slope(x[read], right[read].astype(float)))
        ):
            held[at] += abs(beta - truth(share)) <= 1.959964 * error
            widths[at] += error
    return Measured(*(held / seeds), widths[0] / widths[2])


if __name__ == "__main__":
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    print("| share | gold | corrected | naive | gold alone | width |\n|---|---|---|---|---|---|")
    for setting in SETTINGS:
        one = experiment(*setting, seeds)
        print(
            f"| {setting[0]:.0%} | {setting[1]} | {one.corrected:.1%} | {one.naive:.1%} | {one.alone:.1%} | {one.width:.2f} |",
            flush=True,
        )
