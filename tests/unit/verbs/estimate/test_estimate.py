"""Estimates: what a call will send, use and cost, compared with what it did."""

import json
import re
import threading
import warnings
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.independent_server import Threads

import tsn_frames as tsn
from tsn_frames.engine.ledger.earlier_runs import PastUsage
from tsn_frames.simulator import Faults, Quota, Simulator
from tsn_frames.text import money
from tsn_frames.verbs.estimate.result import _CELL as CELL
from tsn_frames.verbs.estimate.token_ratios import DEFAULTS, Prompts, fit_lines, tokens_of

PRICES = {"sim-small": (0.25, 1.00), "sim-large": (2.5, 10)}
PROMPT = "Summarise: {t}"


def client_of(sim, folder, **words):
    words = {"model": "sim-small", "prices": PRICES, **words}
    return tsn.Client(sim.base_url, cache=folder / "cache", ledger=folder / "ledger.db", **words)


@pytest.fixture
def client(sim, tmp_path):
    return client_of(sim, tmp_path)


def texts(number=400, seed=0, word="word "):
    dice = np.random.default_rng(seed)
    return pd.DataFrame(
        {"t": [f"{i} " + word * int(n) for i, n in enumerate(np.minimum(2_000, dice.lognormal(3.5, 1.0, number)))]}
    )


def run(df, client, **words):
    return df.tsn.complete(PROMPT, client=client, **{"progress": False, "max_tokens": 100, **words})


def guess(df, client, **words):
    return df.tsn.estimate(PROMPT, client=client, **{"progress": False, "max_tokens": 100, **words})


def holds(found, value):
    return (found.low is None or found.low <= value) and (found.high is None or value <= found.high)


# Nothing is sent


def test_an_estimate_counts_rows_and_sends_nothing(sim, client):
    df = pd.concat([texts(20), texts(5), pd.DataFrame({"t": ["", None]})])
    with pytest.warns(tsn.errors.TSNWarning, match="missing or blank"):
        found = guess(df, client)
    assert (found.rows, found.missing, found.invalid, found.requests, found.cached, found.to_send) == (27, 2, 0, 20, 0, 20)
    assert sim.stats().requests == 0 and not client.ledger.path.exists()


@pytest.mark.parametrize("words", [{}, {"cache": "refresh"}, {"max_cost": 1}, {"name": "x", "usage": False}], ids=str)
def test_the_estimate_of_complete_is_its_short_form(sim, client, words):
    whole = tsn.estimate(texts().tsn.complete, PROMPT, client=client, max_tokens=100, **words)
    assert isinstance(whole, tsn.Estimate) and whole == guess(texts(), client, **words)
    assert tsn.estimate(tsn.complete, texts(), PROMPT, client=client, max_tokens=100, **words) == whole
    assert sim.stats().requests == 0


def test_a_series_has_the_estimate_of_its_frame(sim, client):
    series = texts()["t"]
    whole = tsn.estimate(series.tsn.complete, PROMPT, client=client, max_tokens=100)
    assert whole == guess(texts(), client) == series.tsn.estimate(PROMPT, client=client, max_tokens=100)
    named = series.rename("content").tsn.estimate("{content}", client=client, max_tokens=100)
    assert named.rows == whole.rows and sim.stats().requests == 0


def test_an_estimate_finds_a_column_that_is_there_already(client):
    with pytest.raises(tsn.errors.ColumnError, match="overwrite"):
        texts().assign(content="x").tsn.estimate(PROMPT, client=client)


def test_wrong_input_raises_what_the_call_itself_would_raise(client):
    for words, kind in [({"temperature": 9}, tsn.errors.ParameterError), ({"cache": "no"}, tsn.errors.ParameterError),
                        ({"model": 3}, tsn.errors.ParameterError), ({"max_cost": -1}, tsn.errors.ConfigError)]:  # fmt: skip
        with pytest.raises(kind):
            guess(texts(3), client, **words)
    with pytest.raises(tsn.errors.PromptError, match="did you mean 't'"):
        texts(3).tsn.estimate("{tt}", client=client)


def test_an_empty_frame_and_one_that_is_all_cached_cost_nothing(sim, client):
    nothing = guess(texts(3).iloc[:0], client)
    assert (nothing.to_send, nothing.cost.high, nothing.minutes, str(nothing).count("\n")) == (0, 0.0, 0.0, 0)
    run(texts(12), client)
    found = guess(texts(12), client)
    assert (found.cached, found.to_send, found.cost.high, found.cost_upper_bound) == (12, 0, 0.0, 0.0)
    assert str(found) == "12 rows: 12 distinct requests, 12 cached, 0 to be sent"
    assert str(guess(texts(1), client)).startswith("1 row: 1 distinct request, ")


# The bounds


@pytest.mark.parametrize("word", ["word ", "包裹在哪里", "где моя посылка ", "😀 ", '\\"\n'], ids=ascii)
def test_the_bounds_and_the_worst_case_hold_whatever_the_language(sim, client, word):
    df = texts(60, word=word)
    found = guess(df, client)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)  # answers that are cut off
        out = run(df, client)
    assert holds(found.completion_tokens, out["completion_tokens"].sum())
    assert out["cost"].sum() <= found.cost_upper_bound
    if word != '\\"\n':
        assert holds(found.prompt_tokens, out["prompt_tokens"].sum()) and holds(found.cost, out["cost"].sum())


def test_without_max_tokens_there_is_no_upper_bound_and_without_prices_no_money(sim, tmp_path, client):
    found = guess(texts(), client, max_tokens=None)
    assert found.completion_tokens == (400, None, None) and found.cost.high is None and found.cost_upper_bound is None
    assert "or more" in str(found) and "pilot=30" in str(found)
    unpriced = guess(texts(), client_of(sim, tmp_path, prices=None))
    assert unpriced.cost == (None, None, None) and unpriced.cost_upper_bound is None and unpriced.completion_tokens.high == 40_000
    assert re.search(r"cost +unknown", str(unpriced))


def test_several_models_are_priced_each_by_its_own(sim, client):
    df = texts(40).assign(m=["sim-small", "sim-large"] * 20)
    found = guess(df, client, model=df["m"])
    out = run(df, client, model=df["m"])
    assert holds(found.cost, out["cost"].sum()) and out["cost"].sum() <= found.cost_upper_bound
    assert guess(df, client, model=df["m"].replace("sim-large", "sim-reasoner")).cost == (None, None, None)


def test_a_cap_that_is_too_small_is_refused(client):
    assert "would end there" in str(guess(texts(), client, max_cost=0.001))
    assert "would end there" not in str(guess(texts(), client, max_cost=10))


# Tokens


def test_the_ratio_is_learned_from_the_ledger_by_model_and_kind_of_writing(sim, client):
    df, others = texts(200), texts(200, seed=1)
    default = guess(others, client)
    assert "default" in default.basis["prompt_tokens"]
    run(df, client)
    learned = guess(others, client)
    truth = run(others, client, cache="refresh")["prompt_tokens"].sum()
    assert "200 earlier answers" in learned.basis["prompt_tokens"]
    assert abs(learned.prompt_tokens.expected / truth - 1) < 0.03 and holds(learned.prompt_tokens, truth)
    assert learned.prompt_tokens.high - learned.prompt_tokens.low < default.prompt_tokens.high - default.prompt_tokens.low
    chinese = guess(texts(50, word="包裹在哪里"), client)
    assert "default" in chinese.basis["prompt_tokens"]  # English teaches nothing about Chinese


def test_a_fit_needs_ten_answers_and_meets_their_sum():
    past = [PastUsage("m", "latin", 100 * n, 40 * n + 20, 1, 0.1) for n in range(1, 11)]
    assert fit_lines(past[:9]) == {}
    prompts = Prompts(np.arange(100.0, 1_100, 100), np.zeros(10, dtype=int), [("m", "latin")])
    table, basis = tokens_of(prompts, fit_lines(past))
    assert table.sum(axis=0) == pytest.approx([40 * 55 + 200] * 3, rel=0.05) and basis == "10 earlier answers in the ledger"
    assert table[:, 1] == pytest.approx(np.arange(60, 421, 40), rel=0.2)
    assert all(low < expected < high for low, expected, high, *_ in DEFAULTS.values())


def rows_of(kind, number=200):
    return pd.DataFrame({"t": [f"{'a long text ' * 300}{i}" if kind == "long" else f"short {i}" for i in range(number)]})


@pytest.mark.filterwarnings("ignore:.*cut off by max_tokens")
@pytest.mark.parametrize(("seen", "asked"), [("short", "long"), ("long", "short"), (None, "short"), (None, "long")], ids=str)
def test_ranges_hold_for_lengths_that_were_never_seen(sim, client, seen, asked):
    if seen:
        rows_of(seen).tsn.complete("{t}", client=client, max_tokens=20, progress=False)
    found = rows_of(asked).tsn.estimate("{t}", client=client, max_tokens=20)
    out = rows_of(asked).tsn.complete("{t}", client=client, max_tokens=20, progress=False)
    assert holds(found.prompt_tokens, out["prompt_tokens"].sum()), (found.prompt_tokens, out["prompt_tokens"].sum())
    assert holds(found.cost, out["cost"].sum()), (found.cost, out["cost"].sum())
    if seen:
        assert found.prompt_tokens.expected == pytest.approx(out["prompt_tokens"].sum(), rel=0.15)
        assert found.prompt_tokens.high > 1.2 * found.prompt_tokens.low


@given(
    st.lists(st.tuples(st.integers(31, 20_000), st.floats(0.15, 1.5), st.integers(1, 20)), min_size=10, max_size=80),
    st.lists(st.integers(31, 100_000), min_size=1, max_size=20),
)
def test_the_tokens_of_a_prompt_are_a_range_in_order_and_never_less_than_one(seen, asked):
    past = [PastUsage("m", "latin", chars, 1 + int(chars * ratio) + more, 1, 0.1) for chars, ratio, more in seen]
    prompts = Prompts(np.array(asked, dtype=float), np.zeros(len(asked), dtype=int), [("m", "latin")])
    for lines in ({}, fit_lines(past)):
        table, _ = tokens_of(prompts, lines)
        assert (table[:, 0] <= table[:, 1] + 1e-9).all() and (table[:, 1] <= table[:, 2] + 1e-9).all() and (table >= 1).all()


def test_a_tokenizer_is_used_where_one_is_given(sim, client):
    df = texts(50)
    by_number = guess(df, client, system="Be brief.", tokenizer=lambda text: -(-len(text.encode()) // 4))
    truth = run(df, client, system="Be brief.")["prompt_tokens"].sum()
    assert by_number.prompt_tokens.expected == truth
    assert guess(df, client, tokenizer=str.split).prompt_tokens.low == sum(len(f"Summarise: {t}".split()) for t in df["t"])
    assert guess(df, client, tokenizer=lambda text: np.int64(7)).prompt_tokens.low == 7 * 50
    for bad in (lambda text: "three", lambda text: None, lambda text: -1, lambda text: True):
        with pytest.raises(tsn.errors.ParameterError, match="tokenizer must return"):
            guess(df, client, tokenizer=bad)
    with pytest.raises(tsn.errors.ParameterError, match="tokenizer must be a function"):
        guess(df, client, tokenizer="cl100k")


# The pilot


@pytest.mark.parametrize("seed", range(3))
def test_a_pilot_estimates_the_bill_of_the_whole_frame(sim, client, seed):
    df = texts(400, seed=seed)
    found = guess(df, client, pilot=30, random_state=seed)
    assert sim.stats().answers == found.sampled == 30 and found.to_send == 370
    out = run(df, client)
    assert sim.stats().answers == 400  # what the pilot paid for isn't paid for again
    assert out["cost"].sum() == pytest.approx(found.cost.expected, rel=0.25)
    assert found.cost.high / found.cost.low < 1.6
    stats = sim.stats()
    bill = (stats.billed_prompt_tokens * 0.25 + stats.billed_completion_tokens) / 1e6
    assert found.total_cost.expected == pytest.approx(bill, rel=0.25)
    assert found.total_cost.high - found.cost.high == pytest.approx(bill - out["cost"].sum())


@pytest.mark.slow
def test_the_intervals_of_many_pilots_hold_the_bill(sim, client):
    """Against real requests: 20 pilots of one frame, all of which is known at the end."""
    df = texts(300)
    out = run(df, client, cache="use")
    whole = out["cost"].sum()
    held = 0
    for seed in range(20):
        folder = client.ledger.path.parent / str(seed)
        again = client_of(sim, folder)
        found = guess(df, again, pilot=30, random_state=seed)
        held += found.total_cost.low <= whole <= found.total_cost.high
    assert held >= 16


def test_a_pilot_that_is_run_again_sends_nothing_and_says_the_same(sim, client):
    first = guess(texts(), client, pilot=30)
    again = guess(texts(), client, pilot=30)
    assert sim.stats().requests == 30 and again.cost == first.cost and again.sampled == 30
    guess(texts(), client, pilot=30, random_state=1)
    assert 30 < sim.stats().requests <= 60


def test_a_pilot_shows_the_rows_that_it_has_tried(client):
    df = texts().set_index(pd.RangeIndex(1000, 1400))
    rows = guess(df, client, pilot=20).answers
    assert len(rows) == 20 and rows["content"].notna().all() and set(rows.index) <= set(df.index)
    assert (df.loc[rows.index, "t"] == rows["t"]).all() and len(set(rows["t"])) == 20


def test_the_cost_of_a_pilot_is_stated_before_and_after(sim, client):
    """Before: of the requests that it would send. After, and when the cell is run again: what they were billed, by the ledger."""
    df = texts(100)
    before = guess(df, client)
    assert sim.stats().requests == 0 and 0 < before.pilot_cost.low < before.pilot_cost.high < before.cost.high
    assert f"pilot cost         {money(before.pilot_cost.low)} to {money(before.pilot_cost.high)} " in repr(before)
    after = guess(df, client, pilot=30)
    paid = client.ledger.to_frame()["cost"].sum()
    assert after.pilot_cost == (pytest.approx(paid),) * 3 and holds(before.pilot_cost, paid)
    for found in (after, guess(df, client, pilot=30)):
        assert f"{money(paid)} " in next(line for line in repr(found).splitlines() if line.startswith("pilot cost"))
        assert (
            "paid for 30 requests of the pilot" in repr(found) and f"<td style='{CELL}'>{money(paid)}</td>" in found._repr_html_()
        )
        assert found.to_frame().loc["pilot_cost", "expected"] == pytest.approx(paid)
    run(df, client)
    whole = guess(df, client, pilot=30)
    assert whole.pilot_cost == after.pilot_cost and whole.to_send == 0
    assert whole.pilot_cost.high < client.ledger.to_frame()["cost"].sum()


def test_rows_of_a_pilot_carry_their_tags(client):
    """Each line of the ledger has the tag of its row; of equal rows that of the first."""
    df = texts(60).assign(team=[f"team {i % 7}" for i in range(60)])
    df = pd.concat([df, df.head(30).assign(team="never pays")], ignore_index=True)
    guess(df, client, pilot=30, tag=df["team"])
    lines = client.ledger.to_frame().set_index("request_key")["tag"]
    out = run(df, client, include=["request_key"]).drop_duplicates("request_key").set_index("request_key")
    assert len(lines) == 30 and lines.to_dict() == out["team"].loc[lines.index].to_dict()
    assert client.ledger.summary("tag")["cost"].sum() == pytest.approx(client.ledger.to_frame()["cost"].sum())


def test_the_cost_of_a_pilot_has_the_currency_of_the_prices(sim, tmp_path):
    client = client_of(sim, tmp_path, prices=tsn.Prices(PRICES, currency="EUR"))
    for words in ({}, {"pilot": 30}):
        found = guess(texts(50), client, **words)
        assert "pilot cost in EUR" in repr(found) and "pilot cost in EUR" in found._repr_html_()


def test_the_cost_of_a_pilot_is_unknown_without_prices_and_the_least_where_an_answer_was_lost(sim, tmp_path, client):
    free = client_of(sim, tmp_path / "other", prices=None)
    for words in ({}, {"pilot": 30}):
        found = guess(texts(50), free, **words)
        assert found.pilot_cost == (None, None, None) and "pilot cost" not in repr(found)
    sim.faults = Faults(no_usage=0.5)
    with pytest.warns(tsn.errors.TSNWarning, match="totals are 'at least'"):
        found = guess(texts(50), client, pilot=30)
    assert found.pilot_cost == (pytest.approx(client.ledger.to_frame()["cost"].sum()), None, None)
    assert f"{money(found.pilot_cost.low)} or more" in repr(found)


def test_a_pilot_of_all_knows_the_cost(sim, client):
    found = guess(texts(25), client, pilot=30)
    assert (found.to_send, found.cached, found.cost.high) == (0, 25, 0.0)
    stats = sim.stats()
    bill = (stats.billed_prompt_tokens * 0.25 + stats.billed_completion_tokens) / 1e6
    assert found.total_cost == pytest.approx((bill, bill, bill))


def test_a_pilot_draws_the_same_rows_whatever_the_server_is_called(tmp_path):
    df, drawn = texts(200), []
    for number in range(2):
        with Simulator(latency=0.0) as sim:
            found = guess(df, client_of(sim, tmp_path / str(number)), pilot=30)
            drawn.append((found.answers.index.tolist(), found.cost))
    assert drawn[0] == drawn[1]


def test_a_pilot_on_a_frame_that_is_partly_cached_is_about_the_rest(sim, client):
    df = texts(400)
    run(df.head(200), client)
    found = guess(df, client, pilot=30)
    assert found.to_send == 170 and sim.stats().answers == 230
    assert holds(found.cost, run(df, client)["cost"].sum())


class Biller:
    """A server that bills as a function of the prompt says, so that nothing is learned from the simulator's own rule."""

    def __init__(self, tokens):
        self.bills = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version, wbufsize = "HTTP/1.1", 65_536

            def log_message(self, *_):
                pass

            def do_POST(handler):  # noqa: N805 - self is the server
                body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
                prompt, completion = tokens(body["messages"][-1]["content"])
                self.bills.append((prompt, completion))
                usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
                choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
                completion = {"id": "x", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice]}
                data = json.dumps({**completion, "usage": usage}).encode()
                handler.send_response(200)
                handler.send_header("content-type", "application/json")
                handler.send_header("content-length", str(len(data)))
                handler.end_headers()
                handler.wfile.write(data)

        self.server = Threads(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def dense(text):
    return len(text) // 2 + 8, 3


def test_the_interval_holds_where_tokens_are_not_what_the_ratio_says(tmp_path):
    """Text of two characters a token: no guessed ratio may cut the pilot's interval off."""
    held = 0
    with Biller(dense) as server:
        for seed in range(4):
            client = client_of(server, tmp_path / str(seed), limits=tsn.Limits(8))
            df = texts(150, seed=seed, word="if(x[i]){y+=2;}")
            found = guess(df, client, pilot=30, random_state=seed, max_tokens=20)
            out = run(df, client, max_tokens=20)
            assert found.cost.low < found.cost.expected < found.cost.high
            held += holds(found.cost, out["cost"].sum()) and holds(found.prompt_tokens, dense_tokens(df, found))
    assert held >= 3


def dense_tokens(df, found):
    """The prompt tokens of those rows that the pilot left."""
    left = df["t"].drop(found.answers.index)
    return sum(dense(f"Summarise: {text}")[0] for text in left.unique())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*cut off by max_tokens")
def test_a_ratio_learned_on_short_rows_does_not_cut_the_interval_of_a_pilot_on_long_ones(sim, tmp_path):
    held = 0
    for seed in range(6):
        client, dice = client_of(sim, tmp_path / str(seed)), np.random.default_rng(seed)
        run(pd.DataFrame({"t": [f"short {i}" for i in range(30)]}), client, max_tokens=20)
        df = pd.DataFrame({"t": [f"{seed} {i} " + "a long text " * int(dice.lognormal(5, 0.8) + 1) for i in range(200)]})
        found = guess(df, client, pilot=30, random_state=seed, max_tokens=20)
        again = guess(df, client, pilot=30, random_state=seed, max_tokens=20)
        assert again.cost == found.cost and again.prompt_tokens == found.prompt_tokens  # though the ratio was learned again
        held += holds(found.cost, run(df, client, max_tokens=20)["cost"].sum())
    assert held >= 5  # of 6


@pytest.mark.slow
def test_answers_of_another_department_do_not_stand_for_those_that_a_pilot_is_about(tmp_path):
    def by_department(text):
        return len(text) // 4 + 8, 5 if "A:" in text else 300

    held = 0
    with Biller(by_department) as server:
        for seed in range(3):
            client = client_of(server, tmp_path / str(seed), limits=tsn.Limits(8))
            df = texts(200, seed=seed)
            df["t"] = np.where(df.index < 100, f"{seed} A: ", f"{seed} B: ") + df["t"]
            run(df.head(100), client, max_tokens=400)
            before = len(server.bills)
            found = guess(df, client, pilot=30, random_state=seed, max_tokens=400)
            assert len(server.bills) - before == found.sampled == 30 and found.to_send == 70
            again = guess(df, client, pilot=30, random_state=seed, max_tokens=400)
            assert len(server.bills) - before == 30 and again.cost == found.cost
            held += holds(found.cost, run(df, client, max_tokens=400)["cost"].sum())
    assert held >= 2


def test_a_pilot_on_another_frame_is_not_a_pilot_of_this_one(tmp_path):
    def by_department(text):
        return len(text) // 4 + 8, 5 if "A:" in text else 300

    with Biller(by_department) as server:
        client = client_of(server, tmp_path)
        df = texts(100)
        df["t"] = np.where(df.index < 50, "A: ", "B: ") + df["t"]
        guess(df.head(50), client, pilot=50, max_tokens=400)
        found = guess(df, client, pilot=30, max_tokens=400)
        assert len(server.bills) == 80 and found.to_send == 20
        assert holds(found.cost, run(df, client, max_tokens=400)["cost"].sum())


def test_requests_of_the_pilot_that_failed_are_still_to_be_sent(tmp_path):
    with Simulator(latency=0.0, faults=Faults(error_500=0.4)) as sim:
        client = client_of(sim, tmp_path, retry=tsn.Retry(attempts=1, backoff=0.01, budget=10_000))
        with pytest.warns(tsn.errors.TSNWarning, match="no answer"):
            found = guess(texts(100), client, pilot=40)
        assert 10 <= found.sampled < 40 and found.cached == found.sampled and found.to_send == 100 - found.sampled
        plain = guess(texts(100), client)
    assert (plain.to_send, plain.cached) == (found.to_send, found.cached)


def test_the_least_is_never_less_than_the_prompts(tmp_path):
    def rarely_long(text):
        return len(text) // 4 + 8, 1_000 if int(text.split()[-1].rstrip("x")) % 30 == 0 else 1

    with Biller(rarely_long) as server:
        client = client_of(server, tmp_path, prices={"sim-small": (1, 100)}, limits=tsn.Limits(8))
        df = pd.DataFrame({"t": [f"row {i}" + "x" * (i % 61) for i in range(230)]})
        for seed in range(4):
            found = guess(df, client, pilot=30, random_state=seed, max_tokens=1_000)
            assert found.completion_tokens.low >= found.to_send
            assert found.cost.low >= (found.prompt_tokens.low * 0.99 + found.to_send * 100) / 1e6


def test_a_frame_that_has_nothing_to_send_is_not_called_cached(client):
    with pytest.warns(tsn.errors.TSNWarning):
        blank = guess(pd.DataFrame({"t": [None, ""]}), client, pilot=30)
    for found in (blank, guess(pd.DataFrame({"t": pd.Series([], dtype=str)}), client, pilot=30)):
        assert found.notes == ("there is nothing to send: no pilot was needed",)


def test_a_pilot_whose_cache_would_not_be_used_is_refused(sim, client):
    for words in ({"cache": "off"}, {"cache": "refresh"}, {"refresh": lambda df: df["t"].notna()}):
        with pytest.raises(tsn.errors.ParameterError, match="paid for again"):
            guess(texts(), client, pilot=30, **words)
    for bad in (0, 9, -3, True, 2.5, "30"):
        with pytest.raises(tsn.errors.ParameterError, match="pilot must be a number"):
            guess(texts(), client, pilot=bad)
    with pytest.raises(tsn.errors.ParameterError, match="random_state"):
        guess(texts(), client, pilot=30, random_state="x")
    assert sim.stats().requests == 0


def test_a_pilot_keeps_to_its_budget(sim, client):
    with pytest.raises(tsn.BudgetExceeded):
        guess(texts(), client, pilot=30, max_cost=0.001)


def test_rows_of_the_pilot_that_fail_are_refused_and_left_out(tmp_path):
    with Simulator(latency=0.0, faults=Faults(no_usage=0.3)) as sim:
        client = client_of(sim, tmp_path)
        with pytest.warns(tsn.errors.TSNWarning, match="cost of some answers is unknown"):
            found = guess(texts(), client, pilot=30)
    assert 10 <= found.sampled < 30 and found.cost.expected > 0
    assert found.total_cost == (None, None, None)
    with Simulator(latency=0.0, faults=Faults(no_usage=1.0)) as sim, pytest.warns(tsn.errors.TSNWarning):
        found = guess(texts(seed=5), client_of(sim, tmp_path), pilot=30)
    assert found.sampled == 0 and found.cost.expected is None and "too few" in str(found)


def test_a_refused_key_ends_the_pilot(tmp_path):
    with Simulator(latency=0.0, keys=["tsn_test_right"]) as sim, pytest.raises(tsn.errors.AuthenticationError):
        guess(texts(), client_of(sim, tmp_path, api_key="tsn_test_wrong"), pilot=30)


# What is known without a pilot


def test_answers_of_the_same_frame_and_of_earlier_runs_predict_completions(sim, client):
    df = texts(400)
    run(df.head(100), client)
    half = guess(df, client)
    assert "the 100 that are cached" in half.basis["cost"]
    new = guess(texts(300, seed=7), client)
    assert "run of" in new.basis["cost"] and new.completion_tokens.expected is not None
    truth = run(texts(300, seed=7), client)
    assert holds(new.cost, truth["cost"].sum())
    assert holds(half.cost, run(df, client)["cost"].sum())
    other = guess(texts(300, seed=8), client, system="Another task.")
    assert other.completion_tokens.expected is None  # nothing is known about another prompt


# Misses


@pytest.mark.parametrize(
    ("words", "changed"),
    [({"system": "Be brief."}, "`system`"), ({"temperature": 0.5}, "`temperature`"), ({"max_tokens": 90}, "`max_tokens`"),
     ({"model": "sim-large"}, "`model`")],
    ids=str,
)  # fmt: skip
def test_misses_are_explained_by_what_has_changed(client, words, changed):
    run(texts(30), client)
    text = str(guess(texts(30), client, **words))
    assert re.search(rf"0 of 30 cached; the run of \d{{4}}-\d\d-\d\d had the same rows; changed: {changed}", text), text


def test_misses_of_the_same_request_are_explained_by_the_cache(sim, tmp_path, client):
    run(texts(30), client)
    elsewhere = tsn.Client(sim.base_url, model="sim-small", prices=PRICES, cache=tmp_path / "other", ledger=client.ledger.path)
    assert "in another cache, or were deleted" in str(guess(texts(30), elsewhere))
    changed = texts(30).tsn.estimate("Shorten: {t}", client=client, max_tokens=100)
    assert "changed: `prompt`" in str(changed)


def test_new_rows_need_no_explanation(client):
    run(texts(30), client)
    assert "had the same rows" not in str(guess(texts(30, seed=9), client))
    assert "had the same rows" not in str(guess(texts(30), client))


# Minutes


def test_minutes_follow_the_limits_that_the_user_sets(sim, tmp_path):
    slow = client_of(sim, tmp_path, limits=tsn.Limits(requests_per_minute=20))
    found = guess(texts(400), slow)
    assert found.minutes == pytest.approx(20) and "20 requests a minute, as Limits says" in str(found)
    thin = client_of(sim, tmp_path, limits=tsn.Limits(tokens_per_minute=1000))
    assert guess(texts(400), thin).minutes > 20


def test_minutes_follow_the_limits_that_the_service_has_stated(tmp_path):
    with Simulator(latency=0.0, quota=Quota(requests=120, window=60.0)) as sim:
        client = client_of(sim, tmp_path)
        run(texts(5), client)
        found = guess(texts(400), client)
    assert found.minutes == pytest.approx(395 / 120, rel=0.01) and "as the service has stated" in found.basis["minutes"]


def test_minutes_without_limits_are_those_of_earlier_answers(tmp_path):
    with Simulator(latency=0.1) as sim:
        client = client_of(sim, tmp_path, limits=tsn.Limits(4))
        run(texts(12), client)
        found = guess(texts(400, seed=3), client)
    seconds = client.ledger.to_frame()["seconds"].median()
    assert (
        seconds >= 0.1
        and found.minutes == pytest.approx(400 * seconds / 4 / 60)
        and "no limit is known" in found.basis["minutes"]
    )


# How it looks


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)


def test_it_is_plain_text_in_a_terminal_a_table_in_a_notebook_and_a_frame(client):
    found = guess(texts(), client, pilot=30)
    text, page, table = repr(found), found._repr_html_(), found.to_frame()
    for word in (
        "400 rows",
        "prompt tokens",
        "completion tokens",
        "cost",
        "total cost",
        "cost upper bound",
        "minutes",
        "95 % interval",
    ):
        assert word in text and word in page, word
    assert table.loc["cost", "expected"] == found.cost.expected and table.loc["rows", "low"] == 400
    assert {name: str(kind) for name, kind in table.dtypes.items()} == {
        "low": "Float64", "expected": "Float64", "high": "Float64", "basis": "string"
    }  # fmt: skip


def test_an_estimate_answers_as_its_table(client):
    found = guess(texts(), client)
    table = found.to_frame()
    assert len(found) == len(table) and list(found) == ["low", "expected", "high", "basis"]
    assert found["high"]["cost_upper_bound"] == found.cost_upper_bound and found["basis"].equals(table["basis"])


def test_what_the_page_shows_is_escaped(client):
    found = tsn.Estimate(1, 0, 0, 1, 0, 1, basis={"cost": "<script>alert(1)</script>"}, notes=("<img src=x onerror=y>",))
    parser = Tags()
    parser.feed(found._repr_html_())
    assert set(parser.seen) <= {"div", "p", "table", "tr", "th", "td"}
