"""What the answers of a frame used and cost, read off its columns: also when it was saved, loaded, cut or put together."""

import io
import re
import warnings

import numpy as np
import pandas as pd
import pytest

import tsn_frames as tsn
from tsn_frames.engine.progress.progress_bar import status
from tsn_frames.engine.runtime.simulator_detection import MODELS, is_simulated
from tsn_frames.simulator import Faults, options
from tsn_frames.text import money

PRICES = {"sim-small": (1, 2), "sim-large": (10, 20)}
FACTS = ("request_key", "model", "answered_at", "cost_source")


@pytest.fixture
def client(sim, tmp_path):
    prices = tsn.Prices(PRICES, currency="EUR")
    made = tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "cache", ledger=tmp_path / "ledger.db", prices=prices)
    tsn.set_client(made)
    return made


def ask(df, **words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)
        return df.tsn.complete("Say: {text}", progress=False, **words)


def frame(*texts):
    return pd.DataFrame({"text": texts or ["a", "bb", "a", "ccc", None], "team": list("xyxyx")[: len(texts) or 5]})


def owed(out, prompt=1, completion=2):
    return (out["prompt_tokens"] * prompt + out["completion_tokens"] * completion).astype("Float64") / 1e6


def test_what_a_run_billed_by_any_column(client):
    """The sum is the bill; copies and skipped rows are 0; groups are what groupby makes of the columns."""
    out = ask(frame(), include=FACTS)
    report = out.tsn.cost()
    assert report.total == pytest.approx(client.ledger.to_frame()["cost"].sum()) and not report.at_least
    assert report.currency == "EUR" and "EUR billed by this run" in repr(report)
    table = out.tsn.cost(by="team").to_frame()
    assert table.index.tolist() == ["x", "y"] and table["cost"].sum() == pytest.approx(report.total)
    assert table["rows"].tolist() == [3, 2] and table["answered"].tolist() == [2, 2] and table["copied"].tolist() == [1, 0]
    assert table.loc["x", "saved_by_copies"] == pytest.approx(owed(out)[2]) and table.loc["y", "saved_by_copies"] == 0
    assert table.loc["y", "mean"] == pytest.approx(out["cost"][[1, 3]].mean()) and table["wasted"].tolist() == [0, 0]
    for by in (["team", "text"], out["team"], lambda row: row % 2, ["team", lambda row: row]):
        some = out.tsn.cost(by=by).to_frame()
        assert some["cost"].sum() == pytest.approx(report.total) and some["rows"].sum() == 5
    assert len(report.top(np.int64(1))) == 1
    assert out.tsn.cost().top(1).index.tolist() == [out["cost"].idxmax()] and len(report.top(99)) == 3
    assert "text" in report.top(2).columns


def test_usage_in_all_and_by_group(client):
    """Every answer counts, also those that were free; what was free is shown as a share."""
    ask(frame("a", "bb"))
    out = ask(frame(), include=FACTS)
    whole = out.tsn.usage().to_frame().iloc[0]
    assert whole["total_tokens"] == out["total_tokens"].sum() and whole["prompt_tokens"] == out["prompt_tokens"].sum()
    assert whole["saved_by_cache"] == out["total_tokens"][[0, 1, 2]].sum() and whole["billed_tokens"] == out["total_tokens"][3]
    assert (
        whole["saved_by_copies"] == 0
        and whole["mean"] == out["total_tokens"].mean()
        and whole["max"] == out["total_tokens"].max()
    )
    text = repr(out.tsn.usage())
    assert "4 of 5 rows answered (3 cached, 1 missing)" in text and "% from the cache" in text
    assert out.tsn.usage(by="team").to_frame()["total_tokens"].sum() == whole["total_tokens"]


def test_by_names_a_column_or_a_level_of_the_index_and_anything_else_is_told_so(client):
    out = ask(frame(), include=FACTS).set_index("team")
    assert out.tsn.usage(by="team").to_frame()["total_tokens"].sum() == out["total_tokens"].sum()
    for report in (out.tsn.usage, out.tsn.cost):
        with pytest.raises(tsn.errors.ParameterError, match="by='taem': the frame has no column 'taem'; did you mean 'team'"):
            report(by="taem")
    with pytest.raises(tsn.errors.ParameterError, match="the frame has no column 'none'"):
        out.tsn.cost(by=["team", "none"])


def test_answers_that_were_free_still_have_a_price(client):
    """The report of a bill of 0 has its reason; basis='answers' is what the answers cost, once for equal rows."""
    first = ask(frame(), include=FACTS)
    again = ask(frame(), include=FACTS)
    assert again.tsn.cost().total == 0 and "nothing was billed: 4 answers came from the cache" in repr(again.tsn.cost())
    bought = again.tsn.cost(basis="answers", by="text")
    assert bought.total == pytest.approx(first["cost"].sum()) and bought.to_frame()["cost"]["a"] == pytest.approx(
        first["cost"][0]
    )
    shares = again.tsn.cost(basis="answers", by=again.index).to_frame()["cost"]
    assert shares[0] == shares[2] == pytest.approx(first["cost"][0] / 2) and shares[4] == 0
    assert again.tsn.cost().to_frame()["saved_by_cache"].iloc[0] == pytest.approx(owed(again).sum())


def test_what_it_would_have_cost_on_another_model(client):
    """The same usage, other prices: one model for all, a mapping, or the table of another provider."""
    out = ask(frame(), include=FACTS, model=pd.Series(["sim-small", "sim-large"] * 2 + ["sim-small"]))
    assert out.tsn.cost(model="sim-large").total == pytest.approx(owed(out, 10, 20)[[0, 1, 3]].sum())
    swapped = out.tsn.cost(model={"sim-large": "sim-small"})
    assert swapped.total == pytest.approx(owed(out)[[0, 1, 3]].sum())
    other = out.tsn.cost(prices={"x": (3, 3)}, model="x")
    assert other.total == pytest.approx(owed(out, 3, 3)[[0, 1, 3]].sum()) and other.currency is None
    assert out.tsn.cost(basis="answers", model="sim-large").total == pytest.approx(owed(out, 10, 20)[[0, 1, 3]].sum())


def test_the_price_of_the_day_is_used(client):
    """An answer of a day that no price covers is NA, not 0."""
    out = ask(frame("a"), include=FACTS)
    past = {
        "sim-small": [
            {"prompt": 5, "completion": 5, "valid_to": "2020-01-01"},
            {"prompt": 1, "completion": 2, "valid_from": "2020-01-02"},
        ]
    }
    assert out.tsn.cost(prices=past).total == pytest.approx(owed(out)[0])
    out["answered_at"] = pd.Timestamp("2019-06-01", tz="UTC")
    assert out.tsn.cost(prices=past).total == pytest.approx(owed(out, 5, 5)[0])


def test_totals_over_na_say_at_least(sim, client):
    """A lost usage, or a model without a price, is reported; one hint names the model."""
    sim.faults = Faults(no_usage=0.5)
    out = ask(pd.DataFrame({"text": [f"t{i}" for i in range(20)]}), include=FACTS)
    lost = int(out["total_tokens"].isna().sum())
    assert 0 < lost < 20
    for report in (out.tsn.cost(), out.tsn.usage(), out.tsn.cost(basis="answers")):
        assert report.at_least and "at least" in repr(report) and report.to_frame()["at_least"].all()
    with pytest.warns(tsn.errors.TSNWarning, match="no price for the model 'sim-small'") as found:
        unknown = out.tsn.cost(prices={"other": (1, 1)})
    assert len(found) == 1 and pd.isna(unknown.total) and unknown.to_frame()["cost"].isna().all()
    assert "cost unknown: give prices=" in repr(unknown) and "nan" not in repr(unknown) and "at least 0" not in repr(unknown)


def test_a_report_without_prices_says_that_the_cost_is_unknown(sim, tmp_path):
    """Neither "at least 0" nor a sum of nothing."""
    client = tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "cache", ledger=tmp_path / "ledger.db")
    tsn.set_client(client)
    shown = repr(ask(frame("a", "bb")).tsn.cost())
    assert "cost unknown: give prices=" in shown and "at least" not in shown


def test_every_amount_has_the_currency_of_the_prices(client):
    """Of a frame whose columns don't name it, the records of its runs do; a frame of an unknown run shows none."""
    out = ask(frame())
    run = tsn.last_run()
    report = out.tsn.cost()
    assert report.currency == "EUR" and re.findall(r"0\.0\d*(?! EUR|\d)", repr(report)) == []
    assert repr(report).count(" EUR") == 5
    assert re.search(r"cost [\d.]+ EUR", str(run.summary)) and "EUR spent" in status(run.progress)
    lost = out.copy()
    lost.attrs = {}
    assert lost.tsn.cost().currency is None
    small = {"max_cost": 1e-9, "max_tokens": 5}
    with pytest.raises(tsn.BudgetExceeded, match=r"budget of 0\.0000000010\d* EUR for this run .* may cost [\d.]+ EUR"):
        ask(frame("new"), **small)
    found = frame("a", "b").tsn.compare("Which? {text}", models=["sim-small", "sim-large"], progress=False)
    assert re.findall(r"0\.0\d+(?! EUR|\d)", found._shown_table()[["cost", "billed"]].to_string()) == []


@pytest.mark.parametrize("include", [FACTS, ()])
def test_a_report_names_what_earlier_runs_have_paid(client, include):
    """A pilot and a first run paid for some rows; below the table stands exactly that, and later purchases don't count."""
    df = pd.DataFrame({"text": [f"text {i}" for i in range(40)], "team": list("xy") * 20})
    df.tsn.estimate("Say: {text}", pilot=10, progress=False, tag=df["team"])
    assert client.ledger.to_frame()["tag"].isin(["x", "y"]).all()
    ask(df.head(20))
    paid = client.ledger.to_frame()["cost"].sum()
    assert ask(df.head(0)).tsn.cost(by="team").left_out == ""
    out = ask(df, include=include)
    report = out.tsn.cost(by="team")
    assert report.total + paid == pytest.approx(client.ledger.to_frame()["cost"].sum())
    line = f"{money(paid, currency='EUR')} more was paid by earlier runs and pilots"
    assert repr(report).splitlines()[-1] == line and line in report._repr_html_()
    ask(df, refresh=pd.Series(data=True, index=df.index))
    assert out.tsn.cost().left_out == line


def test_the_top_rows_are_those_of_the_reports_basis(client):
    """Rows that came from the cache have cost 0 in the frame, and rank by what their answers cost when they were bought."""
    df = frame("a", "a longer text that costs more than the others", "bb")
    ask(df)
    out = ask(df, include=FACTS)
    assert not out["cost"].any() and out.tsn.cost().top().empty
    assert out.tsn.cost(basis="answers").top(3).index.tolist() == owed(out).sort_values(ascending=False).index.tolist()


def test_answers_of_the_simulator_are_marked(client, tmp_path):
    """On the bar, the summary, the report and the list of runs."""
    out = ask(frame())
    run = tsn.last_run()
    assert "(SIMULATED)" in str(run.summary) and status(run.progress).startswith("SIMULATED, ")
    assert ", SIMULATED\n" in repr(out.tsn.cost()) and tsn.runs()["simulated"].tolist() == [True]
    tsn.set_client(tsn.Client("https://api.example.com", model="sim-small", api_key="k", ledger=tmp_path / "other.db"))
    assert "SIMULATED" not in repr(out.tsn.cost())


def test_simulated_is_the_simulators_models_on_this_machine():
    """A local service with another model isn't, and neither is another host that has the simulator's names."""
    assert set(options.MODELS) == MODELS
    assert is_simulated("127.0.0.1:8000", options.MODELS) and is_simulated("[::1]:80", ["sim-small"])
    assert is_simulated("localhost", ["sim-large"]) and not is_simulated("api.example.com", ["sim-large"])
    assert not is_simulated("127.0.0.1:8000", ["sim-small", "qwen3"]) and not is_simulated("127.0.0.1", [])


def many(number=20):
    return pd.DataFrame({"text": [f"t{i}" for i in range(number)]})


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_waste_whose_usage_was_not_seen_is_unknown_and_not_nothing(sim, client, share, one_day):
    """Every attempt was billed and its answer was lost: NA where nothing is known, else 'at least'."""
    sim.faults = Faults(cut_json=share)
    client = tsn.Client(client.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path, prices=PRICES,
                        retry=tsn.Retry(attempts=1, unreadable=1))  # fmt: skip
    out = ask(many(), include=FACTS, client=client)
    lost = int(out["error"].notna().sum())
    assert out["cost"].isna().sum() == lost and (lost == 20) == (share == 1.0)
    reports = [out.tsn.cost(), out.tsn.usage(), out.tsn.cost(prices=PRICES)]
    for report in reports:
        line = report.to_frame().iloc[0]
        assert report.at_least and line["at_least"] and pd.isna(line["wasted"])
        assert "at least" in repr(report) or "no usage is known" in repr(report)
        assert "nan" not in repr(report) and "0.00 " not in repr(report)
    assert "the ledger has their attempts" in repr(reports[0])
    assert client.ledger.summary()[["unknown", "at_least"]].iloc[0].tolist() == [lost, True]
    assert out.tsn.cost(basis="answers").to_frame()["wasted"].iloc[0] == 0  # no answer is there that was bought
    if lost == 20:
        assert pd.isna(reports[2].total) and pd.isna(reports[1].to_frame()["billed_tokens"].iloc[0])


def test_a_retried_row_makes_a_total_the_least_also_at_other_prices(sim, client):
    """Its first answer was lost: what the second one cost is in the ledger, and every report says 'at least'."""
    sim.faults = Faults(cut_json=0.5, first_attempt_only=True)
    client = tsn.Client(client.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path, prices=PRICES,
                        retry=tsn.Retry(backoff=0.01))  # fmt: skip
    with pytest.warns(tsn.errors.TSNWarning, match="requests may be billed, and their usage is unknown; the ledger lists them"):
        out = many().tsn.complete("Say: {text}", progress=False, include=FACTS, client=client)
    assert out["error"].isna().all() and 0 < out["cost"].isna().sum() < 20
    for report in (out.tsn.cost(), out.tsn.usage(), out.tsn.cost(prices=PRICES)):
        assert report.at_least and "at least" in repr(report) and pd.isna(report.to_frame()["wasted"].iloc[0])
    everything = owed(out).sum()
    assert out.tsn.cost(prices=PRICES).total == pytest.approx(everything) == client.ledger.summary()["cost"].sum()
    assert not out.tsn.cost(basis="answers").at_least  # what the answers cost is known


def test_the_paid_row_is_found_by_the_costs_and_not_off_the_order(client):
    """Rows reversed, or cut, or paid for twice: equal keys alone do not show which row was free."""
    out = ask(frame(), include=FACTS)
    ahead, back = (df.tsn.cost(by=df.index, prices=PRICES).to_frame()["cost"] for df in (out, out.iloc[::-1]))
    assert back[2] == 0 < back[0] == ahead[0]
    assert out.iloc[1:].tsn.cost(prices=PRICES).to_frame()["copied"].tolist() == [1]  # its payer was cut off
    twice = pd.concat([ask(frame("a"), include=FACTS, cache="off") for _ in range(2)])
    for report in (twice.tsn.cost(), twice.tsn.cost(prices=PRICES), twice.tsn.usage()):
        assert report.to_frame()["copied"].tolist() == [0]
    assert twice.tsn.cost(prices=PRICES).total == pytest.approx(twice["cost"].sum()) == twice.tsn.cost().total
    free = {"sim-small": (0, 0)}
    unpriced = ask(frame(), include=FACTS, cache="off", client=tsn.Client(client.base_url, model="sim-small", prices=free))
    for df in (unpriced, out.drop(columns="cost")):  # the costs decide nothing: the first of equal keys is the one that was sent
        assert df.tsn.usage(by=df.index).to_frame()["copied"].tolist() == [0, 0, 1, 0, 0]


def test_a_price_that_needs_a_column_that_is_not_there_warns(client):
    """Cached tokens and the day change a price: taken for none and for today, with a warning; with the columns, without one."""
    out = ask(frame(), include=("request_key", "model"))
    full = ask(frame(), include=("request_key", "model", "cached_tokens", "answered_at"))
    cached = {"sim-small": {"prompt": 1, "completion": 2, "cached": 0.1}}
    dated = {"sim-small": [{"prompt": 9, "completion": 2, "valid_to": "2020-01-01"},
                           {"prompt": 1, "completion": 2, "valid_from": "2020-01-02"}]}  # fmt: skip
    for prices, field in [(cached, "cached_tokens"), (dated, "answered_at")]:
        for basis in ("billed", "answers"):
            with pytest.warns(tsn.errors.TSNWarning, match=f"no column '{field}'.*include=.'{field}'") as found:
                out.tsn.cost(prices=prices, basis=basis)
            assert len(found) == 1
            full.tsn.cost(prices=prices, basis=basis)  # a warning is an error here
    out.tsn.cost(prices={"sim-small": dated["sim-small"][1]})  # one price only
    out.tsn.cost(prices=dated, model="sim-small")  # as another model: at today's price by its meaning


def test_words_for_nothing_known_and_for_a_model_that_is_free(sim, client):
    """No 'nan' and no half sentence."""
    sim.faults = Faults(no_usage=1.0)
    out = ask(many(3))
    assert "no usage is known" in repr(out.tsn.usage()) and "nan" not in repr(out.tsn.usage())
    sim.faults = Faults()
    free = ask(frame("a"), client=tsn.Client(client.base_url, model="sim-small", prices={"sim-small": (0, 0)}), cache="off")
    assert repr(free.tsn.cost()).splitlines()[1].strip() == "0.00 billed by this run"


def test_a_users_own_token_column_is_not_an_answer(client):
    """Only the group of columns that complete() writes is taken for one."""
    out = ask(frame().assign(user_prompt_tokens=1), name="q", include=FACTS)
    assert out.tsn.cost().total == pytest.approx(out["q_cost"].sum())
    with pytest.raises(tsn.errors.ColumnError, match="no column 'prompt_tokens'"):
        frame().assign(user_prompt_tokens=1, prompt_tokens=2).tsn.cost()


def test_waste_is_what_rows_without_an_answer_cost(sim, client):
    sim.faults = Faults(filtered=0.5)
    out = ask(pd.DataFrame({"text": [f"t{i}" for i in range(20)]}))
    wasted = out["cost"][out["error"].notna()].sum()
    assert wasted > 0 and out.tsn.cost().to_frame()["wasted"].iloc[0] == pytest.approx(wasted)
    assert "on rows without a usable answer" in repr(out.tsn.cost())


@pytest.mark.parametrize("kind", ["csv", "parquet", "json", "concat", "index"])
def test_a_frame_that_was_saved_says_the_same(client, tmp_path, kind):
    """No hidden state: the columns are all that is read, in whatever dtypes a file gives them back."""
    ask(frame("a", "bb"))
    out = ask(frame(), include=FACTS)
    if kind == "csv":
        back = pd.read_csv(io.StringIO(out.to_csv(index=False)))
    elif kind == "parquet":
        out.to_parquet(tmp_path / "x.parquet")
        back = pd.read_parquet(tmp_path / "x.parquet")
    elif kind == "json":
        back = pd.read_json(io.StringIO(out.to_json(orient="records", date_format="iso")))
    elif kind == "concat":
        back = pd.concat([out.iloc[:2], out.iloc[2:]])
    else:
        back = out.set_index(pd.Index([7] * 5))
    for ask_for in (lambda df: df.tsn.cost(), lambda df: df.tsn.cost(basis="answers"), lambda df: df.tsn.usage(by="team")):
        one, other = ask_for(out).to_frame(), ask_for(back).to_frame()
        pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True), check_dtype=False)


def test_a_prefix_is_found_or_asked_for(client):
    out = ask(frame(), name="first", include=FACTS)
    assert out.tsn.cost().total == pytest.approx(out["first_cost"].sum())
    both = ask(out, name="second", include=FACTS)
    with pytest.raises(tsn.errors.ColumnError, match=r"\['first', 'second'\].*name='first'"):
        both.tsn.cost()
    assert both.tsn.cost(name="second").total == 0 < both.tsn.cost(name="first").total


def test_what_is_missing_is_named_with_the_way_to_get_it(client):
    plain, bare = ask(frame()), ask(frame(), usage=False)
    for work, said in [
        (bare.tsn.cost, "no column 'prompt_tokens': complete.*usage=True"),
        (plain.drop(columns="cost").tsn.cost, "no column 'cost'"),
        (lambda: plain.tsn.cost(name="x"), "no column 'x_prompt_tokens'"),
        (lambda: plain.tsn.cost(basis="answers"), "no column 'model'.*include=.*free"),
        (lambda: plain.tsn.cost(basis="answers", model="sim-small"), "needs the column 'request_key'"),
        (lambda: plain.tsn.cost(prices={"sim-small": (1, 1)}), "no column 'model'"),
    ]:
        with pytest.raises(tsn.errors.ColumnError, match=said):
            work()
    with pytest.raises(tsn.errors.ParameterError, match="'billed', 'answers', got 'paid'"):
        plain.tsn.cost(basis="paid")
    for odd in ("much", -1.0, float("inf")):
        with pytest.raises(tsn.errors.ParameterError, match="column 'cost' should hold numbers of 0 or more"):
            plain.assign(cost=odd).tsn.cost()
    tsn.set_client(tsn.Client(client.base_url, model="sim-small"))
    with pytest.raises(tsn.errors.ConfigError, match="no prices are known"):
        plain.tsn.cost(model="sim-small")


def test_costs_in_two_currencies_are_not_added(sim, client):
    """Put together from two runs, their sources say so."""
    other = tsn.Client(sim.base_url, model="sim-small", cache=client.cache.folder, prices=tsn.Prices(PRICES, currency="USD"))
    both = pd.concat([ask(frame("a"), include=FACTS), ask(frame("z"), include=FACTS, client=other)])
    with pytest.raises(tsn.errors.ParameterError, match="in EUR and USD, which can't be added"):
        both.tsn.cost()


def test_a_currency_that_is_not_named_is_another_one(sim, client):
    """Costs of a table without a currency aren't taken for euros; where a source is missing, no currency is shown."""
    other = tsn.Client(sim.base_url, model="sim-small", cache=client.cache.folder, prices=PRICES)
    one, two = ask(frame("a"), include=FACTS), ask(frame("z"), include=FACTS, client=other)
    with pytest.raises(tsn.errors.ParameterError, match="in EUR and a currency that isn't named"):
        pd.concat([one, two]).tsn.cost()
    assert two.tsn.cost().currency is None and one.tsn.cost().currency == "EUR"
    assert pd.concat([one, two.drop(columns="cost_source")]).tsn.cost().currency is None


def test_a_table_in_a_notebook_holds_no_markup_of_the_data(client):
    out = ask(frame("a", "bb").assign(team="<script>alert(1)</script>"))
    shown = out.tsn.cost(by="team")._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;" in shown and "Cost" in shown


def test_an_empty_frame_costs_nothing(client):
    empty = ask(frame().iloc[:0], include=FACTS)
    assert "isn't known" not in repr(empty.tsn.cost()) and "unknown" not in repr(empty.tsn.usage())
    assert empty.tsn.cost().total == 0 and empty.tsn.usage().to_frame()["rows"].tolist() == [0]
    assert "0 of 0 rows" in repr(empty.tsn.cost(basis="answers")) and len(empty.tsn.cost(by="team").to_frame()) == 0


def test_a_report_answers_as_its_table(client):
    report = ask(frame("a", "bb").assign(team=["x", "y"]), include=FACTS).tsn.cost(by="team")
    table = report.to_frame()
    assert len(report) == len(table) == 2 and list(report) == list(table)
    pd.testing.assert_series_equal(report["cost"], table["cost"])
    assert report[["rows", "cost"]].loc["y", "rows"] == 1
    with pytest.raises(KeyError, match="nothing"):
        report["nothing"]
