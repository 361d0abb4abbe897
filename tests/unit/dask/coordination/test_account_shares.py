"""Shares of an account's limits and leases of a graph's budget: the sums hold whatever the processes do, on a fake clock."""

import random
from decimal import Decimal

import pytest

pytest.importorskip("dask.dataframe")
from tsn_frames.dask.coordination import account_shares, budget_shares
from tsn_frames.dask.coordination.account_shares import LEASE_SECONDS, UNITS, exchange, fair_shares, new_account
from tsn_frames.dask.coordination.coordinator import Coordinator

LIMITS = {"concurrency": 20, "requests": 300, "tokens": 6000}


class Process:
    """A process that sends what it is granted, and reports as a worker does."""

    def __init__(self, name, rng):
        self.name, self.rng = name, rng
        self.slots, self.in_flight = 0, 0
        self.unused, self.used = dict.fromkeys(UNITS, 0.0), dict.fromkeys(UNITS, 0.0)

    def work(self, tokens):
        """Send as much as is allowed; return the number of requests."""
        number = 0
        self.in_flight = self.rng.randrange(self.in_flight + 1)
        while self.in_flight < self.slots and self.unused["requests"] >= 1 and self.unused["tokens"] >= tokens:
            self.in_flight, number = self.in_flight + 1, number + 1
            for unit, units in (("requests", 1), ("tokens", tokens)):
                self.unused[unit] -= units
                self.used[unit] += units
        return number

    def report(self, account, now, waiting, tokens, *, ended=False):
        ahead = 2 * self.used["requests"] + max(1, self.slots) if waiting else 0
        units = {"requests": float(ahead), "tokens": float(ahead * tokens)}
        self.unused = {unit: min(self.unused[unit], units[unit]) for unit in UNITS}
        message = {"process": self.name, "limits": LIMITS, "held": max(self.slots, self.in_flight), "wanted": self.in_flight + waiting,
                   "used": self.used, "unused": self.unused, "units": units, "least": {"requests": 1.0, "tokens": float(tokens)},
                   "ended": ended}  # fmt: skip
        answer = exchange(account, message, now)
        self.slots, self.used = answer["slots"], dict.fromkeys(UNITS, 0.0)
        for unit in UNITS:
            self.unused[unit] += answer["granted"][unit]


@pytest.mark.parametrize("seed", range(5))
def test_the_sum_of_all_processes_keeps_the_limits_and_uses_most_of_them(seed):
    rng, account, sent = random.Random(seed), new_account(), []
    processes = [Process(name, rng) for name in "abcd"]
    now, tokens = 0.0, 15
    while now < 121:
        for one in processes:
            waiting = 0 if rng.random() < 0.1 else rng.choice([1, 30])  # uneven partitions
            one.report(account, now, waiting, tokens)
            sent += [(now, tokens)] * one.work(tokens)
            now += 0.025
            assert sum(one.in_flight for one in processes) <= LIMITS["concurrency"]
            assert sum(one["held"] for one in account["processes"].values()) <= LIMITS["concurrency"]
        if rng.random() < 0.005:  # one is killed, and another takes its place
            processes[0] = Process(f"new {now}", rng)
    for when, _ in sent[::97]:
        inside = [units for at, units in sent if when <= at < when + 60]
        assert len(inside) <= LIMITS["requests"] and sum(inside) <= LIMITS["tokens"]
    assert len(sent) >= 0.9 * LIMITS["requests"] * 2


def test_slots_of_a_dead_process_go_to_the_others_after_its_lease():
    account, rng = new_account(), random.Random(0)
    dead, other = Process("dead", rng), Process("other", rng)
    dead.report(account, 0.0, 30, 1)
    other.report(account, 0.1, 30, 1)
    assert (dead.slots, other.slots) == (20, 0)
    other.report(account, LEASE_SECONDS + 0.1, 30, 1)
    assert other.slots == 20


def test_a_process_gives_up_slots_when_another_one_comes_and_never_before_they_are_free():
    account, rng = new_account(), random.Random(0)
    first, second = Process("first", rng), Process("second", rng)
    first.report(account, 0.0, 30, 1)
    first.in_flight = 20
    second.report(account, 0.1, 30, 1)
    assert second.slots == 0
    first.report(account, 0.2, 30, 1)
    assert first.slots == 10
    second.report(account, 0.3, 30, 1)
    assert second.slots == 0  # all of them are still in flight there
    first.in_flight = 10
    first.report(account, 0.4, 30, 1)
    second.report(account, 0.5, 30, 1)
    assert (first.slots, second.slots) == (10, 10)


def test_units_are_granted_of_both_kinds_or_of_neither():
    account, rng = new_account(), random.Random(0)
    small, large = Process("small", rng), Process("large", rng)
    for at in range(100):  # use nearly all tokens
        small.report(account, at / 10, 30, 100)
        small.in_flight = 0
        small.work(100)
    large.report(account, 11.0, 30, 5000)
    assert large.unused == {"requests": 0.0, "tokens": 0.0}
    large.report(account, 80.0, 30, 5000)
    assert large.unused["tokens"] >= 5000 and large.unused["requests"] >= 1


@pytest.mark.parametrize("seed", range(20))
def test_shares_are_fair_and_add_up(seed):
    rng = random.Random(seed)
    wanted, total = {str(n): rng.randrange(40) for n in range(rng.randrange(1, 30))}, rng.randrange(1, 50)
    shares = fair_shares(wanted, total)
    assert sum(shares.values()) == min(total, sum(wanted.values()))
    poor = [shares[name] for name in wanted if shares[name] < wanted[name]]
    assert not poor or max(shares.values()) - min(poor) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_leases_of_a_budget_never_pass_it_and_use_most_of_it(seed):
    rng, budget, limit = random.Random(seed), budget_shares.new_budget("10"), Decimal(10)
    runs = {name: [Decimal(0), Decimal(0)] for name in "abcd"}  # spent, authorized
    billed, now = Decimal(0), 0.0
    for step in range(1500):
        now += 0.01
        name = rng.choice(list(runs))
        spent, authorized = runs[name]
        cost = Decimal(rng.randrange(1, 20)) / 1000
        if spent + Decimal("0.02") <= authorized:
            runs[name][0], billed = spent + cost, billed + cost
        report = {"run": name, "spent": str(runs[name][0]), "total": str(runs[name][0]), "waiting": ["0.02"], "ended": False}
        if rng.random() < 0.02:  # it ends, and another partition begins
            budget_shares.renew(budget, {**report, "ended": True}, now)
            runs[f"{name[0]}{step}"] = runs.pop(name) and [Decimal(0), Decimal(0)]
        else:
            runs[name][1] = Decimal(budget_shares.renew(budget, report, now)["authorized"])
        assert billed <= limit
        assert sum(Decimal(one["authorized"]) for one in budget["runs"].values()) <= limit
    assert billed >= Decimal(9)


def test_the_lease_of_a_lost_run_counts_as_spent():
    budget = budget_shares.new_budget("10")
    ask = {"spent": "0", "total": "0", "waiting": ["2"], "ended": False}
    lease = budget_shares.renew(budget, {"run": "lost", **ask}, 0.0)["authorized"]
    assert budget_shares.renew(budget, {"run": "other", **ask}, 1.0)["spent"] == "0"
    assert budget_shares.renew(budget, {"run": "other", **ask}, budget_shares.LOST_AFTER + 1)["spent"] == lease


def test_what_was_asked_about_long_ago_is_forgotten():
    coordinator = Coordinator()
    ask = {"kind": "budget", "limit": "1", "run": "r", "spent": "0", "total": "0", "waiting": [], "ended": True}
    coordinator.answer({**ask, "name": "old"}, 0.0)
    coordinator.answer({**ask, "name": "new"}, 1e6)
    assert list(coordinator.state["budgets"]) == ["new"]
    assert account_shares.POLL < account_shares.LEASE_SECONDS / 10
