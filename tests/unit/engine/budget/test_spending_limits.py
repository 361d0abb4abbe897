"""Budgets: the bill never passes them, most of the money is used, and rejected rows can be sent by a later call."""

import asyncio
import pickle
import random
import re
import sqlite3
import threading
import time
import warnings
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.waiting import wait_until

import tsn_frames as tsn
from tsn_frames.api import Request, dumps
from tsn_frames.engine.budget import leases as budget_leases
from tsn_frames.engine.budget.admission import BudgetAdmission
from tsn_frames.engine.budget.reservations import Account, Cap, extension, other_runs, reserve
from tsn_frames.engine.budget.spending_limits import Budget, calendar_period
from tsn_frames.engine.budget.worst_case import check_bounded, worst_case
from tsn_frames.engine.chat.conversation import Conversation
from tsn_frames.engine.ledger.ledger import Ledger
from tsn_frames.engine.ledger.ledger_file import Entry
from tsn_frames.engine.retry import classify
from tsn_frames.engine.runtime import writer
from tsn_frames.engine.transport.http_types import HttpResponse
from tsn_frames.pricing.price_table import Prices
from tsn_frames.secret import Secret
from tsn_frames.simulator import Faults, Quota, Simulator

pytestmark = pytest.mark.usefixtures("one_day")
PRICES = {"sim-small": (Decimal("0.25"), Decimal("1.00")), "sim-large": (Decimal("2.5"), Decimal(10))}
MILLION = 1_000_000


def bill(sim):
    """Return the simulator's own bill at PRICES, all of it for sim-small."""
    stats = sim.stats()
    return (stats.billed_prompt_tokens * Decimal("0.25") + stats.billed_completion_tokens) / MILLION


def texts(number, seed=0, sigma=0.8):
    """Return rows with long-tailed lengths."""
    dice = random.Random(seed)
    return pd.DataFrame({"t": [f"{i} " + "word " * min(400, int(dice.lognormvariate(3.5, sigma))) for i in range(number)]})


@pytest.fixture
def client(sim, tmp_path):
    return paying(sim, tmp_path)


def paying(sim, folder, **words):
    words = {"prices": PRICES, "limits": tsn.Limits(256), **words}
    return tsn.Client(sim.base_url, model="sim-small", cache=folder / "cache", ledger=folder / "ledger.db", **words)


def ask(df, client, **words):
    return df.tsn.complete("{t}", client=client, **{"max_tokens": 100, "progress": False, **words})


def start(df, client, **words):
    return df.tsn.start("{t}", client=client, **{"max_tokens": 100, "progress": False, **words})


def full_cost(df, seed, folder):
    """Return the cost of all rows at a simulator of that seed."""
    with Simulator(seed=seed, latency=0.0) as sim:
        ask(df, paying(sim, folder), cache="off")
        return bill(sim)


def capped(df, seed, folder, share=3, **words):
    """Run under a cap at a share of the whole cost; return the bill, the cap and the simulator's own counts."""
    cap = full_cost(df, seed, folder / "full") / share
    with Simulator(seed=seed, latency=(0.005, 0.5), **words) as sim:
        client = paying(sim, folder, retry=tsn.Retry(backoff=0.01))
        worst = max(worst_of(df, client))
        assert worst <= cap / 10, "the promise is for rows of at most a tenth of the cap"
        with pytest.raises(tsn.BudgetExceeded) as error:
            ask(df, client, max_cost=cap)
        return bill(sim), cap, error.value, sim.stats()


def worst_of(df, client):
    from tsn_frames.frames.prompt import render
    from tsn_frames.verbs.run.plan import plan

    made = plan(client, render(df, "{t}", None, None, "skip"), {"model": "sim-small", "max_tokens": 100}, {})
    return [worst_case(client.prices, request) for request in made.requests]


# The promise


def check_cap(seed, folder, least=8, **words):
    """Return the share of the cap that is used; failures and refusals slow the limiter down."""
    spent, cap, _, stats = capped(texts(600, seed), seed, folder, **words)
    assert spent <= cap and stats.peak_concurrency >= least
    return spent / cap


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_256_workers_never_pass_a_cap_and_use_most_of_it(seed, tmp_path):
    assert check_cap(seed, tmp_path) >= Decimal("0.85")


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(50))
def test_256_workers_never_pass_a_cap_and_use_most_of_it_in_fifty_seeds(seed, tmp_path):
    assert check_cap(seed, tmp_path) >= Decimal("0.85")


LOSSES = {"reset": 0.02, "error_500": 0.05, "truncate": 0.02, "cut_json": 0.02, "no_usage": 0.02}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_faults_and_answers_that_never_arrive_never_pass_a_cap(seed, tmp_path):
    """What may be billed keeps its reservation: the simulator bills answers that the client never saw."""
    check_cap(seed, tmp_path, least=2, faults=Faults(**LOSSES, error_503=0.1))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_faults_and_refusals_that_look_like_a_limit_never_pass_a_cap(seed, tmp_path):
    """Refusals at random make the limiter careful, so that a run may take a minute."""
    check_cap(seed, tmp_path, least=2, faults=Faults(**LOSSES, error_429=0.1))


def test_the_partial_frame_has_what_was_paid_for_and_going_on_pays_only_for_the_rest(sim, client):
    df = texts(80)
    with pytest.raises(tsn.BudgetExceeded) as error:
        ask(df, client, max_cost=0.002)
    partial = error.value.partial
    answered = partial["content"].notna()
    assert 0 < answered.sum() < 80 and len(partial) == 80
    assert Decimal(str(round(partial["cost"].sum(), 12))) == bill(sim) <= Decimal("0.002")
    assert partial.loc[~answered, "error"].str.startswith("not_sent: ").all()
    text = str(error.value)
    for word in ("0.002", "for this run", f"{answered.sum()} of 80 rows answered and cached", "max_cost=", "run again"):
        assert word in text, text
    out = ask(df, client, max_cost=1)
    assert out["content"].notna().all() and sim.stats().answers == 80


def test_equal_answers_and_hits_need_no_money(client):
    df = texts(10)
    ask(df, client)
    out = ask(pd.concat([df, df]), client, max_cost=1e-9)  # all cached: nothing is held
    assert out["cached"].all() and out["cost"].sum() == 0


def test_a_small_row_goes_although_a_large_one_does_not_fit(sim, client):
    df = pd.DataFrame({"t": ["word " * 4000, *(f"small {i}" for i in range(30))]})
    with pytest.raises(tsn.BudgetExceeded) as error:
        ask(df, client, max_cost=0.003)
    assert error.value.partial["content"].isna().tolist() == [True] + [False] * 30
    said = Decimal(re.search(r"([\d.]+) spent", str(error.value))[1])
    assert said == pytest.approx(bill(sim), rel=Decimal("0.01"))  # what is spent at the end, not when it didn't fit
    assert sim.stats().answers == 30


def test_a_run_ends_at_once_when_not_even_the_smallest_row_fits(sim, client):
    df = pd.DataFrame({"t": [f"row {i}" for i in range(20_000)]})
    with pytest.raises(tsn.BudgetExceeded):
        ask(df, client, max_cost=0.0005)
    assert sim.stats().requests < 20


def test_a_cap_that_is_smaller_than_any_row_sends_nothing(sim, client):
    with pytest.raises(tsn.BudgetExceeded, match=r"0 spent, and the next request may cost 0\.0001"):
        ask(texts(5), client, max_cost=0.00001)
    assert sim.stats().requests == 0


def test_a_run_without_a_budget_is_not_capped(sim, client):
    assert ask(texts(30), client)["content"].notna().all()


def test_a_run_that_is_stopped_while_rows_wait_for_money_leaves_nothing_reserved(tmp_path, monkeypatch):
    admissions, close = [], BudgetAdmission.close
    monkeypatch.setattr(BudgetAdmission, "close", lambda one: admissions.append(one) or close(one))
    with Simulator(latency=0.3) as slow:
        client = paying(slow, tmp_path, budget={"day": 0.004})  # enough for all, but not for the worst case of all at once
        run = start(texts(60), client)
        wait_until(lambda: slow.stats().requests)
        run.stop()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run.result(progress=False)
        (admission,) = admissions
        (cap,) = admission.caps
        assert cap.account.reserved == 0 and not [one for one in admission._waiting if not one[0].done()]
        assert bill(slow) <= cap.account.spent <= Decimal("0.004")
        assert leases(client) == []


# What it needs


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        ({"max_tokens": None}, "max_tokens="),
        ({"model": "sim-large"}, "a price of 'sim-large'"),
        ({"model": "sim-large", "max_tokens": None}, "max_tokens=, which bounds every answer and a price of 'sim-large'"),
    ],
    ids=str,
)
def test_without_a_bound_it_refuses_to_start_and_says_what_is_missing(sim, tmp_path, words, missing):
    client = paying(sim, tmp_path, prices={"sim-small": (1, 1)})
    with pytest.raises(tsn.errors.ConfigError, match=missing):
        ask(texts(3), client, max_cost=1, **words)
    assert sim.stats().requests == 0


def test_a_client_without_prices_refuses_a_budget(sim, tmp_path):
    with pytest.raises(tsn.errors.ConfigError, match="a price of 'sim-small'"):
        ask(texts(3), paying(sim, tmp_path, prices=None, budget={"day": 1}))
    assert sim.stats().requests == 0


def test_a_bound_that_newer_models_want_in_place_of_max_tokens_is_one(sim, client):
    out = ask(texts(5), client, max_tokens=None, extra_body={"max_completion_tokens": 100}, max_cost=1)
    assert out["content"].notna().all()
    with pytest.raises(tsn.BudgetExceeded):  # of two bounds the larger one counts
        ask(texts(5, seed=1), client, extra_body={"max_completion_tokens": 10**6}, max_cost=0.5)
    with pytest.raises(tsn.errors.ConfigError, match="max_tokens="):  # a text that only talks of it
        ask(texts(5), client, max_tokens=None, system='{"max_completion_tokens":100}', max_cost=1)


def test_an_image_has_no_bound(sim, client):
    parts = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]
    df = pd.DataFrame({"m": [parts]})
    with pytest.raises(tsn.errors.ConfigError, match="an image"):
        df.tsn.complete(messages="m", client=client, max_tokens=5, max_cost=1, progress=False)
    about = pd.DataFrame({"t": ['a text about {"image_url": "x"}']})
    assert ask(about, client, max_cost=1)["content"].notna().all()


@pytest.mark.parametrize(
    "part",
    [
        {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
        {"type": "document", "id": 7},
        {"type": "text", "text": "see", "image": "https://example.com/a.png"},
        {"text": "a part of no type"},
    ],
    ids=lambda part: part.get("type", "none"),
)
def test_only_parts_of_text_have_a_bound(sim, client, part):
    for message in ({"role": "user", "content": [part]}, {"role": "user", "content": "look", "images": [part]}):
        with pytest.raises(tsn.errors.ConfigError, match="anything but text"):
            pd.DataFrame({"m": [[message]]}).tsn.complete(messages="m", client=client, max_tokens=5, max_cost=1, progress=False)
    assert sim.stats().requests == 0


def test_messages_of_parts_of_text_names_and_tool_calls_have_a_bound(client):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"image": 1}'}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": 'say "images": [1]'}], "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "done", "tool_call_id": "1"},
    ]
    head = b'{"model":"m","max_tokens":5,"messages":'
    check_bounded(Prices({"m": (1, 1)}), [Request(b"", head, dumps(messages), "m", 5)])


def test_a_bound_counts_at_the_top_of_a_request_only(sim, client):
    """A word in some metadata bounds nothing."""
    for extra in (
        {"metadata": {"max_completion_tokens": 1}},
        {"x": [{"max_completion_tokens": 1}]},
        {"max_completion_tokens": None},
    ):
        with pytest.raises(tsn.errors.ConfigError, match="max_tokens="):
            ask(texts(2), client, max_tokens=None, extra_body=extra, max_cost=1)
    assert sim.stats().requests == 0


@pytest.mark.parametrize(
    "extra", [{"best_of": 20}, {"models": ["sim-large"]}, {"fallbacks": ["sim-large"]}, {"web_search_options": {"x": 1}}], ids=str
)
def test_what_multiplies_the_cost_of_a_request_is_refused(sim, client, extra):
    with pytest.raises(tsn.errors.ConfigError, match=f"a budget can't hold with '{next(iter(extra))}' in extra_body="):
        ask(texts(2), client, extra_body=extra, max_cost=1)
    assert sim.stats().requests == 0
    check_bounded(Prices({"m": (1, 1)}), [Request(b"", b'{"model":"m","best_of":1,"messages":', b"[]", "m", 5)])


@pytest.mark.parametrize("status", [408, 499, 504, 524])
def test_a_gateway_that_stopped_waiting_may_have_to_be_paid(status, tmp_path):
    """The model may have worked on it: the reservation stays, and the ledger has a line."""
    faults = Faults(error_other=0.2, other_status=status)
    with Simulator(latency=0.0, faults=faults) as sim, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = paying(sim, tmp_path, retry=tsn.Retry(backoff=0.01))
        ask(texts(30), client, max_cost=1)
        lines = client.ledger.to_frame()
        lost, answered = lines[lines["outcome"] == "unknown"], lines[lines["outcome"] == "answered"]
        assert len(lost) == tsn.last_run().summary.unknown == sim.stats().requests - sim.stats().answers > 0
        assert lost["held"].gt(0).all() and lost["cost"].isna().all()
        assert len(answered) == sim.stats().answers and answered["held"].isna().all() and answered["cost"].gt(0).all()
        with pytest.raises(tsn.BudgetExceeded, match="of it held for requests that may be billed"):
            ask(texts(50, seed=1), client, max_cost=0.0005)
    assert classify(HttpResponse(status, {}, b"{}"), Secret("k")).billed == "unknown"


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), True, "much", "1e400000000", [1]], ids=str)
def test_a_cap_that_is_not_money_is_refused_before_anything_is_sent(sim, client, bad):
    with pytest.raises(tsn.errors.ConfigError, match="max_cost must be an amount of money above 0"):
        ask(texts(2), client, max_cost=bad)
    with pytest.raises(tsn.errors.ConfigError, match=r"budget\['day'\] must be an amount"):
        paying(sim, client.ledger.path.parent, budget={"day": bad})
    assert sim.stats().requests == 0


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"week": 3}, "budget has 'week'.*'day'"),
        (20, "budget must be a dict"),
        ({"day": 1, "timezone": "Mars/Olympus"}, "budget.'timezone'. must be a time zone"),
        ({"day": 1, "timezone": 3}, "must be a time zone"),
        ({"day": 1, "timezone": "../../etc/passwd"}, "must be a time zone"),
    ],
    ids=str,
)
def test_a_budget_that_cannot_be_one_is_refused(bad, said):
    with pytest.raises(tsn.errors.ConfigError, match=said):
        tsn.Client("http://127.0.0.1:1", model="m", budget=bad)


def test_a_client_with_a_budget_can_be_compared_shown_and_pickled(sim, tmp_path):
    client = paying(sim, tmp_path, budget={"run": 25, "day": "20.5", "timezone": "Asia/Tokyo"})
    assert pickle.loads(pickle.dumps(client)) == client == paying(sim, tmp_path, budget=client.budget)
    assert client.budget.day == Decimal("20.5") and "20.5" in repr(client)
    assert client != paying(sim, tmp_path)


# Days and months


def test_two_runs_at_once_share_the_day(tmp_path):
    df, day = texts(400), Decimal("0.004")
    with Simulator(latency=0.005) as sim:
        client = paying(sim, tmp_path, budget={"day": day})
        ends = []

        def one(number):
            try:
                ask(df.assign(t=f"{number} " + df["t"]), client)
            except tsn.BudgetExceeded as end:
                ends.append(str(end))

        threads = [threading.Thread(target=one, args=(number,)) for number in range(3)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert len(ends) == 3 and all("0.00400 a day (UTC)" in end for end in ends), ends
        assert day * Decimal("0.85") <= bill(sim) <= day


REQUEST = Request(b"k", b"", b"x" * 336, "m", 100)  # worst: (336 + 64 + 100) / a million


def admission(path, name, clock=time.time, **limits):
    """Return the admission control of a run whose requests cost half a thousandth at most."""
    amounts = {period: Decimal(limit) for period, limit in limits.items()}
    return BudgetAdmission(Budget(**amounts), Ledger(path), Prices({"m": (1, 1)}), name, clock)


def record(path, run, cost, when=None):
    """Write a line of the ledger."""
    with closing(Ledger(path).open()) as file:
        file.write([Entry(when or time.time(), run, "h", "m", "answered", 1, 1, 2, cost, b"k" * 32, None, 0.1)])


def end(path, rows):
    with closing(Ledger(path).open()) as file:
        file.write(rows)


def leases(client):
    """Return the leases in a client's ledger."""
    with closing(sqlite3.connect(client.ledger.path)) as connection:
        return connection.execute("SELECT run, period, authorized FROM budget_leases").fetchall()


def test_a_run_counts_its_own_lines_and_those_of_other_runs_once(tmp_path):
    """Its own spending is counted in memory; that of others by their lines, or by their leases where these are larger."""
    path = tmp_path / "ledger.db"

    async def both():
        first, second = (admission(path, run, day="0.0021") for run in ("first", "second"))
        for one in (first, second):
            await one.open()
            one.settle(await one.reserve(REQUEST), Decimal("0.0004"))
        record(path, "first", "0.0004")
        record(path, "second", "0.0004")
        held = [await first.reserve(REQUEST), await first.reserve(REQUEST)]  # 0.0018 with what is spent
        waits = asyncio.ensure_future(second.reserve(REQUEST))
        await asyncio.sleep(0.3)
        assert not waits.done()
        first.settle(held[0], Decimal("0.0001"))
        first.release(held[1])
        record(path, "first", "0.0001")
        end(path, await first.close())
        second.settle(await asyncio.wait_for(waits, 10), Decimal("0.0005"))
        assert second.caps[0].account.spent == Decimal("0.0014")
        end(path, await second.close())

    asyncio.run(both())


def test_a_day_counts_what_other_processes_and_earlier_ones_have_spent(sim, tmp_path):
    ask(texts(40), paying(sim, tmp_path))  # without a budget; its lines are in the ledger
    before = bill(sim)
    client = paying(sim, tmp_path, budget={"day": before + Decimal("0.001")})
    with pytest.raises(tsn.BudgetExceeded, match=r"a day \(UTC\) is used up"):
        ask(texts(300, seed=1), client)
    assert before < bill(sim) <= before + Decimal("0.001")
    spent = bill(sim)
    with pytest.raises(tsn.BudgetExceeded):  # the same process again: nothing is counted twice, nothing is forgotten
        ask(texts(300, seed=2), client)
    assert bill(sim) <= before + Decimal("0.001") and bill(sim) >= spent
    with pytest.raises(tsn.BudgetExceeded):
        ask(texts(300, seed=3), client)
    assert bill(sim) <= before + Decimal("0.001")


@pytest.mark.parametrize("fault", ["no_usage", "cut_json"])
@pytest.mark.parametrize("first", [{"budget": {"day": 0.002}}, {}], ids=["with a budget", "without"])
def test_what_may_be_billed_still_counts_after_a_restart(tmp_path, fault, first):
    """The reservation of a request of unknown outcome is in the ledger; the next process counts it."""
    words = {"retry": tsn.Retry(attempts=2, backoff=0.01, budget=10_000)}
    with Simulator(latency=0.0, faults=Faults(**{fault: 1.0})) as sim, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = paying(sim, tmp_path, **words, **first)
        with pytest.raises(tsn.BudgetExceeded):
            ask(texts(60), before, max_cost=0.002)
        for seed in range(1, 4):
            with pytest.raises(tsn.BudgetExceeded, match=r"([\d.]+) spent \(\1 of it held for requests"):
                ask(texts(60, seed), paying(sim, tmp_path, budget={"day": 0.002}, **words))
        assert bill(sim) <= Decimal("0.002")
        lines = before.ledger.to_frame()
    assert lines["cost"].isna().all() and 0.0015 < lines["held"].sum() <= 0.002


def test_what_a_client_without_prices_bought_counts_at_the_budgets_prices(sim, tmp_path):
    ask(texts(40), paying(sim, tmp_path, prices=None))
    assert paying(sim, tmp_path).ledger.to_frame()["held"].isna().all()
    day = bill(sim) + Decimal("0.001")
    with pytest.raises(tsn.BudgetExceeded, match=r"a day \(UTC\) is used up"):
        ask(texts(300, seed=1), paying(sim, tmp_path, budget={"day": day}))
    assert day * Decimal("0.85") < bill(sim) <= day


@pytest.mark.parametrize("what", ["zones", "paths"])
def test_runs_share_a_day_however_its_zone_or_its_ledger_is_written(tmp_path, what):
    """Zones whose day is the same, and other paths of one file."""
    (tmp_path / "link.db").symlink_to(tmp_path / "ledger.db")
    folder = tmp_path / "folder"
    folder.mkdir()
    if what == "zones":
        words = [{"budget": {"day": 0.002, "timezone": zone}} for zone in ("UTC", "Etc/UTC", "Africa/Abidjan")]
    else:
        paths = (tmp_path / "ledger.db", folder / ".." / "ledger.db", tmp_path / "link.db")
        words = [{"budget": {"day": 0.002}, "ledger": path} for path in paths]
    with Simulator(latency=0.05) as sim:
        clients = [
            tsn.Client(sim.base_url, model="sim-small", prices=PRICES, **{"ledger": tmp_path / "ledger.db", **one})
            for one in words
        ]
        runs = [start(texts(100, seed), client, cache="off") for seed, client in enumerate(clients)]
        for run in runs:
            with pytest.raises(tsn.BudgetExceeded):
                run.result(progress=False)
        assert Decimal("0.0015") < bill(sim) <= Decimal("0.002")


def test_spending_in_another_currency_does_not_count(sim, tmp_path):
    euros = tsn.Prices({"sim-small": (0.25, 1)}, currency="EUR")
    ask(texts(40), paying(sim, tmp_path, prices=euros))
    dollars = paying(sim, tmp_path, prices=tsn.Prices({"sim-small": (0.25, 1)}, currency="USD"), budget={"day": bill(sim)})
    assert ask(texts(10, seed=4), dollars)["content"].notna().all()
    with pytest.raises(tsn.BudgetExceeded):
        ask(texts(30, seed=5), paying(sim, tmp_path, prices=euros, budget={"day": bill(sim) * Decimal("0.8")}))


def test_a_ledger_that_cannot_be_read_is_reported_before_anything_is_sent(sim, tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(tsn.errors.ConfigError, match=r"ledger\.db"):
        ask(texts(2), paying(sim, tmp_path, budget={"month": 1}))
    assert sim.stats().requests == 0


def test_the_smallest_cap_holds(sim, tmp_path):
    client = paying(sim, tmp_path, budget={"run": 0.0015, "day": 50, "month": 0.5})
    with pytest.raises(tsn.BudgetExceeded, match=r"0\.00150 for this run"):
        ask(texts(60), client, max_cost=20)
    assert bill(sim) <= Decimal("0.0015")


@pytest.mark.parametrize(
    ("name", "zone", "when", "start", "end"),
    [
        ("day", "UTC", (2026, 3, 29, 12), (2026, 3, 29), (2026, 3, 30)),
        ("day", "Europe/Berlin", (2026, 3, 29, 12), (2026, 3, 29), (2026, 3, 30)),  # 23 hours
        ("day", "America/New_York", (2026, 11, 1, 0), (2026, 11, 1), (2026, 11, 2)),  # 25 hours
        ("month", "Asia/Tokyo", (2026, 12, 31, 23), (2026, 12, 1), (2027, 1, 1)),
        ("month", "UTC", (2028, 2, 29, 1), (2028, 2, 1), (2028, 3, 1)),
    ],
)
def test_a_period_is_a_calendars_day_or_month_in_its_time_zone(name, zone, when, start, end):
    def at(parts):
        return datetime(*parts, tzinfo=ZoneInfo(zone)).timestamp()

    assert calendar_period(name, at(when), zone) == (at(start), at(end))


@pytest.mark.parametrize(("zone", "day"), [("Atlantic/Azores", (2026, 10, 25)), ("America/Havana", (2026, 11, 1))])
def test_a_day_whose_first_hour_comes_twice_is_one_day(zone, day):
    """Its budget began again in the second hour, and what was spent in the first one was not counted."""
    start = int(datetime(*day, tzinfo=ZoneInfo(zone)).timestamp())
    found = {calendar_period("day", now, zone) for now in range(start, start + 25 * 3600, 1800)}
    assert found == {(start, start + 25 * 3600)}


@given(st.floats(1.33e9, 4e9), st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Atlantic/Azores"]))
def test_every_moment_lies_in_its_period(now, zone):
    """Since 2012: before that, days of Newfoundland in which the clock went back ended twice."""
    for name in ("day", "month"):
        start, end = calendar_period(name, now, zone)
        assert start <= now < end and calendar_period(name, end, zone)[0] == end


def test_a_new_day_starts_with_nothing_spent_and_keeps_reservations(tmp_path):
    async def day():
        now = datetime(2026, 5, 1, 23, 59, tzinfo=UTC).timestamp()
        budgets = admission(tmp_path / "l.db", "r", lambda: now, day="0.001")
        await budgets.open()
        first, second = await budgets.reserve(REQUEST), await budgets.reserve(REQUEST)
        budgets.settle(first, Decimal("0.0004"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(budgets.reserve(REQUEST), 0.3)
        now += 120
        third = await asyncio.wait_for(budgets.reserve(REQUEST), 10)  # a new day; the second is held still
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(budgets.reserve(REQUEST), 0.3)
        budgets.settle(second, Decimal("0.0001"))
        budgets.settle(third, None)
        await budgets.close()
        (cap,) = budgets.caps
        return cap.account.settled, cap.account.unsettled, cap.account.reserved

    assert asyncio.run(day()) == (Decimal("0.0001"), Decimal("0.0005"), 0)


def test_a_run_that_has_not_renewed_its_lease_since_midnight_counts_in_the_new_day(tmp_path):
    async def days():
        now = datetime(2026, 5, 1, 23, 59, 50, tzinfo=UTC).timestamp()
        before, after = (admission(tmp_path / "l.db", run, lambda: now, day="0.0011") for run in ("before", "after"))
        await before.open()
        held = [await before.reserve(REQUEST), await before.reserve(REQUEST)]
        now += 20
        await after.open()
        waits = asyncio.ensure_future(after.reserve(REQUEST))
        await asyncio.sleep(0.3)
        assert not waits.done()
        before.settle(held[0], Decimal("0.0005"))
        before.release(held[1])
        record(tmp_path / "l.db", "before", "0.0005", now)
        end(tmp_path / "l.db", await before.close())
        after.release(await asyncio.wait_for(waits, 10))
        await after.close()

    asyncio.run(days())


def test_a_run_whose_lease_has_expired_spends_nothing_before_it_has_a_new_one(tmp_path):
    """A process that was suspended goes on later: others have used the money meanwhile."""
    path = tmp_path / "l.db"

    async def days():
        now = datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp()
        asleep, awake = (admission(path, run, lambda: now, day="0.0011") for run in ("asleep", "awake"))
        await asleep.open()
        first = await asleep.reserve(REQUEST)
        asleep.settle(first, Decimal(0))  # its lease still authorizes a request
        now += 61
        await awake.open()
        for _ in range(2):
            awake.settle(await awake.reserve(REQUEST), Decimal("0.0005"))
            record(path, "awake", "0.0005", now)
        with pytest.raises(tsn.BudgetExceeded, match=r"0\.00100 spent"):
            await asyncio.wait_for(asleep.reserve(REQUEST), 10)
        await asleep.close()
        await awake.close()

    asyncio.run(days())


def test_a_run_gives_back_what_it_does_not_use_while_it_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(budget_leases, "LEASE_SECONDS", 1.0)

    async def both():
        idle, busy = (admission(tmp_path / "l.db", run, day="0.0031") for run in ("idle", "busy"))
        await idle.open()
        first = await idle.reserve(REQUEST)  # its lease authorizes an eighth of the rest, too
        await busy.open()
        held = [await asyncio.wait_for(busy.reserve(REQUEST), 10) for _ in range(5)]
        for one in held:
            busy.release(one)
        idle.release(first)
        await idle.close()
        await busy.close()

    asyncio.run(both())


def test_a_chat_leases_money_while_it_is_answered_and_counts_all_of_its_turns(sim, tmp_path):
    client = paying(sim, tmp_path, budget={"day": 1, "run": 1})
    chat = Conversation(client, max_tokens=100)
    for question in ("One?", "Two?", "Three?"):
        chat.send(question)
        assert leases(client) == []
    with pytest.raises(tsn.BudgetExceeded, match="spent, and the next request may cost"):
        ask(texts(40), paying(sim, tmp_path, budget={"day": bill(sim) + Decimal("0.0001")}))


def test_a_day_and_a_month_are_leased_by_the_smaller_of_both(tmp_path):
    path = tmp_path / "l.db"

    async def leased():
        one = admission(path, "one", run="5", day="0.004", month="0.0011")
        await one.open()
        held = await one.reserve(REQUEST)
        with closing(sqlite3.connect(path)) as connection:
            found = dict(connection.execute("SELECT period, authorized FROM budget_leases").fetchall())
        one.release(held)
        end(path, await one.close())
        return found

    assert asyncio.run(leased()) == {"day": "0.000575", "month": "0.000575"}  # the request, and an eighth of the other 0.0006


@pytest.mark.first
@pytest.mark.parametrize("fault", ["locked", "gone"])
def test_a_ledger_that_cannot_be_written_any_more_ends_the_run_and_keeps_its_answers(tmp_path, monkeypatch, fault):
    """The run goes on while its leases last; then it ends with what it has."""
    monkeypatch.setattr(budget_leases, "LEASE_SECONDS", 1.5)
    monkeypatch.setattr(writer, "LOCKED_SECONDS", 0.1)
    with Simulator(latency=0.05) as slow, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = paying(slow, tmp_path, budget={"day": 1}, limits=tsn.Limits(2))
        run = start(texts(2000), client, cache="off")
        wait_until(lambda: slow.stats().requests > 5)
        other = sqlite3.connect(client.ledger.path, isolation_level=None, timeout=30)
        with closing(other), pytest.raises(tsn.errors.RunError, match=r"can't be kept any longer: .*ledger\.db") as error:
            if fault == "locked":
                other.execute("BEGIN IMMEDIATE")
            else:
                client.ledger.path.rename(tmp_path / "moved.db")
                client.ledger.path.mkdir()
            run.result(progress=False)
        assert error.value.partial["content"].notna().sum() > 5 and slow.stats().requests < 2000


# The arithmetic


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 100), st.sampled_from(["settle", "release", "unknown"])), max_size=60),
       st.randoms(use_true_random=False))  # fmt: skip
def test_reserving_settling_and_releasing_in_any_order_stays_under_every_cap(requests, dice):
    run, day = (Cap(Account(name, Decimal(limit)), Decimal(limit), name) for name, limit in (("run", 100), ("day", 150)))
    out, true = [], Decimal(0)
    for worst, share, outcome in requests:
        if (held := reserve([run.account, day.account], Decimal(worst), 0.0)) is not None:
            out.append((held, Decimal(worst) * share / 100, outcome))
        while out and dice.random() < 0.6:
            held, cost, end = out.pop(dice.randrange(len(out)))
            true += cost if end != "release" else 0  # an unknown outcome may have cost anything up to its worst
            held.settle({"settle": cost, "release": Decimal(0), "unknown": None}[end])
            held.settle(None)  # a second end changes nothing
        for cap in (run, day):
            assert true <= cap.account.spent and cap.account.spent + cap.account.reserved <= cap.limit
            assert cap.account.reserved == sum(held.amount for held, _, _ in out)


AMOUNTS = st.integers(0, 1000).map(lambda cents: Decimal(cents) / 100)
BY_RUN = st.dictionaries(st.sampled_from("abcd"), AMOUNTS)


@given(AMOUNTS, st.lists(AMOUNTS.filter(bool)))
def test_an_extension_is_never_more_than_is_free_and_lets_a_request_go_or_is_nothing(free, waiting):
    more = extension(free, waiting)
    assert 0 <= more <= free
    assert more >= min(sum(waiting), free) if any(amount <= free for amount in waiting) else more == 0


@given(BY_RUN, BY_RUN, BY_RUN)
def test_other_runs_count_once_by_their_lines_or_by_a_larger_lease(known, unknown, authorized):
    others = other_runs("a", known, unknown, authorized)
    each = {run: max(known.get(run, 0) + unknown.get(run, 0), authorized.get(run, 0)) for run in "bcd"}
    assert others.committed == sum(each.values()) >= others.known + others.unknown
    assert others.known == sum(known.get(run, 0) for run in "bcd")


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 60), st.integers(0, 100), st.booleans()), max_size=80),
    st.integers(0, 50),
)
def test_leases_of_several_runs_never_pass_a_cap_whatever_their_order(steps, earlier):
    """Each step is a request of one run, or its end: the cost is on record before or after the lease is renewed."""
    limit, known = Decimal(100), {"earlier": Decimal(earlier)}
    accounts, authorized, open_ = [Account("day") for _ in range(4)], {}, [[] for _ in range(4)]

    def renew(at, waiting):
        others, account = other_runs(str(at), known, {}, authorized), accounts[at]
        authorized[str(at)] = account.total + extension(limit - others.committed - account.total, waiting)
        account.authorized = authorized[str(at)]

    for at, worst, share, ends in steps:
        if ends and open_[at]:
            reservation, cost = open_[at].pop(0)
            reservation.settle(cost)
            known[str(at)] = known.get(str(at), Decimal(0)) + cost
        elif ends and not accounts[at].reserved:
            authorized.pop(str(at), None)  # the run is over
            accounts[at].authorized = Decimal(0)
        elif (
            (found := reserve([accounts[at]], Decimal(worst), 0.0))
            or renew(at, [Decimal(worst)])
            or (found := reserve([accounts[at]], Decimal(worst), 0.0))
        ):
            open_[at].append((found, Decimal(worst) * share / 100))
        assert sum(account.total for account in accounts) + earlier <= limit


@given(st.text(), st.integers(1, 10_000))
def test_the_worst_case_is_above_what_the_simulator_bills(text, most):
    from tsn_frames.api import around_user_text, dumps
    from tsn_frames.simulator.tokens import count_prompt

    before, after = around_user_text("Be kind.")
    try:
        messages = before + dumps(text) + after
    except TypeError:  # a lone surrogate
        return
    worst = worst_case(Prices({"m": (1, 1)}), Request(b"", b'{"messages":', messages, "m", most))
    assert worst * MILLION >= count_prompt(["Be kind.", text]) + most


def test_a_limit_and_a_budget_wait_together(tmp_path):
    """Money reserved for a row that waits at the limiter causes no deadlock."""
    with Simulator(latency=0.0, quota=Quota(requests=20, window=0.5, concurrency=3)) as sim:
        client = paying(sim, tmp_path)
        with pytest.raises(tsn.BudgetExceeded):
            ask(texts(120), client, max_cost=0.003)
        assert Decimal("0.002") < bill(sim) <= Decimal("0.003")
