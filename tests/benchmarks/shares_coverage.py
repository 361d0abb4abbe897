"""Coverage and width of the intervals of ``shares``: ``python tests/benchmarks/shares_coverage.py [seeds] [processes]``.

A setting is a share of a label, a frame's rows, gold rows and a model. In each seed a frame is made, a model labels it and gold
is drawn from it at random. The interval should hold the frame's own share. Its width is compared with Wilson's interval of the
gold alone. The program prints the two tables of docs/explanation/shares.md: by the size of the gold, and by the model.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from itertools import product
from typing import NamedTuple

import numpy as np

from tsn_frames.stats.proportions import wilson
from tsn_frames.stats.stratified_share import Stratum, frame_share, population_share

SHARES = (0.005, 0.01, 0.02, 0.05, 0.10, 0.25, 0.50)
SIZES = ((500, 50), (2_000, 100), (5_000, 200), (10_000, 400), (20_000, 500))  # rows of the frame, rows of gold
# A model says it of the rows that are it, and of the others, with these chances.
GRIDS = {
    "both errors": {"good": (0.95, 0.01), "fair": (0.90, 0.02), "poor": (0.80, 0.05)},
    "misses rows": {"good": (0.80, 0.005), "fair": (0.60, 0.005), "poor": (0.40, 0.005)},
    "invents rows": {"good": (0.98, 0.03), "fair": (0.95, 0.08), "poor": (0.90, 0.20)},
}
USUAL = "both errors"
MODELS = tuple(GRIDS[USUAL])


class Setting(NamedTuple):
    share: float
    rows: int
    gold: int
    model: str
    grid: str = USUAL


SETTINGS = [Setting(share, *size, model) for share, size, model in product(SHARES, SIZES, MODELS)]
EVERY_SETTING = [setting._replace(grid=grid) for grid in GRIDS for setting in SETTINGS]


class Measured(NamedTuple):
    covered: float  # share of seeds whose interval holds the truth
    width: float  # median over seeds of the width, over that of the gold alone
    alone: float  # coverage of the gold alone


def counts(setting: Setting, seeds: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For each seed: the frame's rows by (it, said), and the gold's, as arrays of it and said, it and not, not and said, neither."""
    right, wrong = GRIDS[setting.grid][setting.model]
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


def by_size(found: dict[Setting, Measured]) -> Iterator[str]:
    """A row a size of gold: least and mean coverage over shares and models, and the median width over them, in all and by model."""
    yield "| gold | frame | settings | least covered | mean covered | width | good | fair | poor |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for rows, gold in SIZES:
        some = {setting: one for setting, one in found.items() if setting.gold == gold and setting.grid == USUAL}
        widths = [np.median([one.width for s, one in some.items() if model in (None, s.model)]) for model in (None, *MODELS)]
        yield f"| {gold} | {rows:,} | {len(some)} | {_covered(some.values())} | " + " | ".join(f"{w:.2f}" for w in widths) + " |"


def by_model(found: dict[Setting, Measured]) -> Iterator[str]:
    """A row a model: least and mean coverage over shares and sizes, and the median width over them."""
    yield "| models | quality | finds | invents | settings | least covered | mean covered | width |"
    yield "|---|---|---|---|---|---|---|---|"
    for grid, models in GRIDS.items():
        for model, (right, wrong) in models.items():
            some = [one for setting, one in found.items() if (setting.grid, setting.model) == (grid, model)]
            width = np.median([one.width for one in some])
            yield f"| {grid} | {model} | {right:.0%} | {wrong:.1%} | {len(some)} | {_covered(some)} | {width:.2f} |"


def _covered(found: Iterable[Measured]) -> str:
    covers = [one.covered for one in found]
    return f"{min(covers):.1%} | {np.mean(covers):.1%}"


if __name__ == "__main__":
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with ProcessPoolExecutor(processes) as pool:
        found = dict(zip(EVERY_SETTING, pool.map(partial(experiment, seeds=seeds), EVERY_SETTING)))
    print(*by_size(found), "", *by_model(found), sep="\n")
    worst = sorted(found, key=lambda setting: found[setting].covered)[:5]
    print(f"\nleast {found[worst[0]].covered:.2%}, mean {np.mean([one.covered for one in found.values()]):.2%}")
    print(*(f"{setting}: {found[setting]}" for setting in worst), sep="\n")
