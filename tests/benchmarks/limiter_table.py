"""The limiter against services that limit in different ways, with and without each rule beyond its standard parts.

``python tests/benchmarks/limiter_table.py`` prints the tables of docs/explanation/reliability.md: the rules on a fake clock
(about a minute). ``--real`` runs the main scenarios through the whole library against a server on loopback, which shares no code with
the simulator (about three minutes); it uses the public API only, so that ``PYTHONPATH`` can name another version of the library.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1]))

SEEDS = range(5)
SAVED, GAINED = 10, 3  # refusals of 500 rows, and percent of the rate: a rule that brings less in every scenario isn't there

REAL: dict[str, tuple[int, float, dict[str, Any]]] = {  # rows, seconds at best, what the server does
    "60 per 2 s, fixed, headers in ms": (500, 16.0, {"window": (60, 2.0)}),
    "60 per 2 s, fixed, headers in whole s": (500, 16.0, {"window": (60, 2.0), "whole": True}),
    "60 per 2 s, fixed, `Retry-After` only": (500, 16.0, {"window": (60, 2.0), "headers": False}),
    "60 per 2 s, sliding, headers in ms": (500, 16.0, {"window": (60, 2.0), "kind": "sliding"}),
    "60 per 2 s, bucket, headers in ms": (500, 14.7, {"window": (60, 2.0), "kind": "bucket"}),
    "5 slots": (500, 3.0, {"slots": 5}),
    "5 slots, free 10 ms late": (500, 4.0, {"slots": 5, "late": 0.01}),
    "1 refusal in 5 at random": (500, 0.95, {"lone": 0.2}),
    "1 % start a penalty of 3 s, wait in the message": (
        500, 10.5, {"penalty": (0.01, 3.0), "wait": "message"},
    ),
    "3 s of 503": (500, 4.0, {"down": (0.3, 3.3)}),
}  # fmt: skip


def real() -> None:
    """Print the table of whole runs."""
    import pandas as pd
    from support.independent_server import Server

    import tsn_frames as tsn

    warnings.simplefilter("ignore")
    print("| Service | answered | refused | seconds | at best |\n|---|---|---|---|---|")
    for name, (rows, best, plan) in REAL.items():
        with Server(seed=11, **plan) as server, tempfile.TemporaryDirectory() as folder:
            client = tsn.Client(server.url, model="m", api_key="tsn_test_0123456789", cache=f"{folder}/cache", ledger=f"{folder}/ledger",
                                limits=tsn.Limits(16, max_wait=120))  # fmt: skip
            begun = time.monotonic()
            try:
                frame = pd.DataFrame({"text": range(rows)}).tsn.complete("{text}", client=client, progress=False)
            except tsn.RunError as error:
                frame = error.partial
            seconds, refused = time.monotonic() - begun, server.requests - sum(server.billed.values())
            print(f"| {name} | {frame['content'].notna().sum()} | {refused} | {seconds:.1f} | {best:.1f} |", flush=True)


def scenarios() -> dict[str, Callable[[int], tuple[float, float]]]:
    """Return the scenarios: a seed to the refusals of 500 rows and the percent of the rate that is allowed."""
    from support.fake_windows import Meter, Metered
    from unit.engine.limits.test_limiter import drive, service

    def window(kind: str, full: bool = False, **options: Any) -> Callable[[int], tuple[float, float]]:
        def measure(seed: int) -> tuple[float, float]:
            dice = random.Random(seed)
            run = drive(Metered(dice, Meter(kind, 60, 2.0, full, phase=dice.random() * 2), **options))
            return run.refused, 100 * run.rate(0.13, 0.97) / 30

        return measure

    def slots(number: int, rows: int = 500, workers: int = 16, **options: Any) -> Callable[[int], tuple[float, float]]:
        def measure(seed: int) -> tuple[float, float]:
            made = service(seed, slots=number, **{"seconds": 0.05, **options})
            run = drive(made, rows, workers)
            return run.refused * 500 / rows, 100 * run.rate() / (number / (made.busy / rows + made.lag / 2))

        return measure

    def free(**options: Any) -> Callable[[int], tuple[float, float]]:
        def measure(seed: int) -> tuple[float, float]:
            made = service(seed, seconds=0.05, **options)
            run = drive(made, 1500)
            return run.refused / 3, 100 * run.rate() / (16 / (made.busy / 1500))

        return measure

    def penalty(seed: int) -> tuple[float, float]:
        run = drive(
            service(seed, seconds=0.03, penalty=0.01, requests=10**6, window=60.0, headers="lying", hint="Retry after 3 seconds")
        )
        return run.refused, 100 * (1.5 + 3 * run.limiter.rules.breaker.pauses) / run.seconds

    return {
        "fixed, headers": window("fixed"),
        "fixed, whole seconds": window("fixed", spelling="up"),
        "fixed, rounded down": window("fixed", spelling="down"),
        "fixed, headers on refusals": window("fixed", on="refusals"),
        "fixed, `Retry-After`": window("fixed", on="none", hint="seconds"),
        "fixed, nothing": window("fixed", on="none"),
        "sliding, headers": window("sliding"),
        "sliding, whole seconds": window("sliding", spelling="up"),
        "sliding, headers on refusals": window("sliding", on="refusals"),
        "bucket, headers": window("bucket", True),
        "bucket, first back": window("bucket"),
        "bucket, nothing": window("bucket", on="none"),
        "5 slots": slots(5),
        "5 slots, 10 ms late": slots(5, lag=0.01),
        "16 slots of 32": slots(16, 1500, 32),
        "16 slots, in step": slots(16, 500, 32, seconds=0.3, spread=1.0, hint="Retry after 1 seconds"),
        "1 in 10 refused": free(lone=0.1),
        "1 in 5 refused": free(lone=0.2),
        "penalties of 3 s": penalty,
    }


def rules() -> dict[str, Callable[[ExitStack], None]]:
    """Return how each rule beyond the standard parts is taken out."""
    from tsn_frames.engine.limits.circuit_breaker import CircuitBreaker, Streak
    from tsn_frames.engine.limits.concurrency import AdaptiveConcurrency
    from tsn_frames.engine.limits.header_quota import HeaderQuota

    def constant(owner: type, name: str, value: object) -> Callable[[ExitStack], None]:
        return lambda stack: stack.enter_context(patch.object(owner, name, value))

    def always(owner: type, name: str, value: object) -> Callable[[ExitStack], None]:
        """Make an attribute of every instance a constant."""
        fixed = property(lambda _: value, lambda *_: None)
        return lambda stack: stack.enter_context(patch.object(owner, name, fixed, create=True))

    def open_at_once(self: CircuitBreaker, now: float, seq: int, asked: float | None) -> None:
        if seq == self._probe or (not self.paused and self._streak.add(seq)):
            self.paused = True
            self._open(now, asked)

    return {
        "the ceiling is tried after ever more successes": always(AdaptiveConcurrency, "_patience", 0),
        "common lone refusals: a streak is to blame": constant(AdaptiveConcurrency, "COMMON", 2.0),
        "a streak sends a probe before it pauses": constant(CircuitBreaker, "on_failure", open_at_once),
        "a streak by chance: the next one is longer": constant(Streak, "LONGEST", CircuitBreaker.STREAK),
        "a probe waits for a response": always(CircuitBreaker, "_crowded", False),
        "a reset is not all: one asks first": always(HeaderQuota, "_full", True),
        "twice as many for each answer without headers": constant(HeaderQuota, "GROWTH", math.inf),
        "a window's earliest reset counts": always(HeaderQuota, "_earliest", float("inf")),
    }


@contextmanager
def without(take_out: Callable[[ExitStack], None]) -> Iterator[None]:
    """Run without a rule."""
    with ExitStack() as stack:
        take_out(stack)
        yield


def measure(scenario: Callable[[int], tuple[float, float]]) -> tuple[float, float]:
    """Return the mean refusals and rate over the seeds."""
    found = [scenario(seed) for seed in SEEDS]
    return statistics.mean(refused for refused, _ in found), statistics.mean(rate for _, rate in found)


def fake() -> None:
    """Print the limiter's figures, and what each rule changes where it changes something."""
    with_all = {name: measure(scenario) for name, scenario in scenarios().items()}
    print("| Service | refused | rate |\n|---|---|---|")
    for name, (refused, rate) in with_all.items():
        print(f"| {name} | {refused:.0f} | {rate:.0f} % |")
    print("\n| Without the rule | service: refused, rate |\n|---|---|")
    for rule, take_out in rules().items():
        changes = []
        with without(take_out):
            for name, scenario in scenarios().items():
                (refused, rate), (usual, usual_rate) = measure(scenario), with_all[name]
                if abs(refused - usual) >= SAVED or abs(rate - usual_rate) >= GAINED:
                    changes.append(f"{name}: {usual:.0f} -> {refused:.0f}, {usual_rate:.0f} -> {rate:.0f} %")
        print(f"| {rule} | {'; '.join(changes) or 'nothing: it does not pay'} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", action="store_true", help="whole runs against a server on loopback")
    real() if parser.parse_args().real else fake()
