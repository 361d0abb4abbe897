"""Coverage and width of the intervals of ``shares``: ``python tests/benchmarks/shares_coverage.py [seeds] [processes]``.

A setting is a share of a label, a frame's rows, gold rows and a model. In each seed a frame is made, a model labels it and gold
is drawn from it at random. The interval should hold the frame's own share. Its width is compared with Wilson's interval of the
gold alone. The program prints the table of docs/explanation/shares.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from itertools import product
from typing import NamedTuple

import numpy as np

from tsn_frames.stats.proportions import wilson
from tsn_frames.stats.stratified_share import Stratum, frame_share, population_share

SHARES = (0.005, 0.01, 0.02, 0.05, 0.10, 0.25, 0.50)
SIZES = ((500, 50), (2_000, 100), (5_000, 200), (10_000, 400), (20_000, 500))  # rows of the frame, rows of gold
MODELS = {"good": (0.95, 0.01), "fair": (0.90, 0.02), "poor": (0.80, 0.05)}  # says it of the rows that are it, and of the others


class Setting(NamedTuple):
    share: float
    rows: int
    gold: int
    model: str


SETTINGS = [Setting(share, *size, model) for share, size, model in product(SHARES, SIZES, MODELS)]


class Measured(NamedTuple):
    covered: float  # share of seeds whose interval holds the truth
    width: float  # median over seeds of the width, over that of the gold alone
    alone: float  # coverage of the gold alone


def counts(setting: Setting, seeds: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For each seed: the frame's rows by (it, said), and the gold's, as arrays of it and said, it and not, not and said, neither."""
    right, wrong = MODELS[setting.model]
    for seed in range(seeds):
        rng = np.random.default_rng([seed, int(1000 * setting.share), setting.rows, int(100 * right)])
        true = rng.binomial(setting.rows, setting.share)
        said, wrongly = rng.binomial(true, right), rng.binomial(setting.rows - true, wrong)
        frame = np.array([said, true - said, wrongly, setting.rows - true - wrongly])
        yield true, frame, rng.multivariate_hypergeometric(frame, setting.gold)


@cache
def interval(rows: int, said: int, read: int, hits: int, other_read: int, other_hits: int, *, population: bool) -> tuple:
    strata = Stratum(said, read, hits), Stratum(rows - said, other_read, other_hits)
    return (population_share(strata, 0.95) if population else frame_share(strata, (0, 0), 0.95))[1:]


def experiment(setting: Setting, seeds: int, *, population: bool = False) -> Measured:
    covered, alone, widths = 0, 0, []
    for true, frame, gold in counts(setting, seeds):
        read = gold[0] + gold[2], gold[1] + gold[3]
        low, high = interval(setting.rows, int(frame[0] + frame[2]), int(read[0]), int(gold[0]), int(read[1]), int(gold[1]), population=population)  # fmt: skip
        gold_low, gold_high = wilson(int(gold[0] + gold[1]), setting.gold)
        truth = setting.share if population else true / setting.rows
        covered += low - 1e-12 <= truth <= high + 1e-12
        alone += gold_low <= truth <= gold_high
        widths.append((high - low) / (gold_high - gold_low))
    interval.cache_clear()
    return Measured(covered / seeds, float(np.median(widths)), alone / seeds)


def table(found: dict[Setting, Measured]) -> Iterator[str]:
    """A row a size of gold: least and mean coverage over shares and models, and the median width over them, in all and by model."""
    yield "| gold | frame | settings | least covered | mean covered | width | good | fair | poor |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for rows, gold in SIZES:
        some = {setting: one for setting, one in found.items() if setting.gold == gold}
        covers = [one.covered for one in some.values()]
        widths = [np.median([one.width for s, one in some.items() if model in (None, s.model)]) for model in (None, *MODELS)]
        cells = [f"{min(covers):.1%}", f"{np.mean(covers):.1%}", *(f"{width:.2f}" for width in widths)]
        yield f"| {gold} | {rows:,} | {len(some)} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with ProcessPoolExecutor(processes) as pool:
        found = dict(zip(SETTINGS, pool.map(partial(experiment, seeds=seeds), SETTINGS)))
    print(*table(found), sep="\n")
    worst = sorted(found, key=lambda setting: found[setting].covered)[:5]
    print(f"\nleast {found[worst[0]].covered:.2%}, mean {np.mean([one.covered for one in found.values()]):.2%}")
    print(*(f"{setting}: {found[setting]}" for setting in worst), sep="\n")
