"""What a usage costs: prices and where they come from, with unknown never taken for 0."""

import json
import pickle
import sys
from datetime import UTC, date, datetime
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tsn_frames as tsn
from tsn_frames.api import Usage, decode
from tsn_frames.pricing.price_table import Prices


def answered(**usage):
    return decode(json.dumps({"choices": [{"message": {"content": "x"}}], "usage": usage}).encode())


@pytest.mark.parametrize(
    ("details", "cached"),
    [({"cached_tokens": 7}, 7), ({"cached_tokens": 0}, 0), ({}, None), (None, None), ({"cached_tokens": "7"}, 7),
     ({"cached_tokens": -1}, None), ({"cached_tokens": 11}, None), ({"cached_tokens": True}, None), ([7], None)],
)  # fmt: skip
def test_the_cached_part_of_a_prompt_is_read_where_it_is_stated(details, cached):
    """A count that can't be one is none: more than the prompt has would make a cost negative."""
    answer = answered(prompt_tokens=10, completion_tokens=2, prompt_tokens_details=details)
    assert answer.usage == Usage(10, 2, 12, cached) and answer.cached_tokens == cached


def test_the_cached_part_is_read_under_another_providers_name():
    """DeepSeek's: beside the counts, not below them."""
    other = {"prompt_cache_hit_tokens": 7, "prompt_cache_miss_tokens": 3}
    assert answered(prompt_tokens=10, completion_tokens=2, **other).cached_tokens == 7


def test_a_price_is_a_pair_a_dict_or_periods():
    """Per million tokens, in Decimal: no cost is off by the rounding of a float."""
    prices = Prices({"a": (0.1, 0.2), "b": {"prompt": "0.27", "completion": 1, "cached": 0.07}}, currency="USD", source="list")
    assert prices.cost("a", Usage(3, 3, 6)) == Decimal("0.0000009") and prices.models == ["a", "b"]
    assert prices.cost("b", Usage(100, 10, 110, 40)) == (60 * Decimal("0.27") + 40 * Decimal("0.07") + 10) / 1_000_000
    assert prices.cost("b", Usage(100, 10, 110)) == (100 * Decimal("0.27") + 10) / 1_000_000  # nothing stated: nothing cached
    assert prices.price("b").note == "0.27 / 1, cached 0.07 USD per million; list"
    assert pickle.loads(pickle.dumps(prices)) == prices and hash(prices) == hash(pickle.loads(pickle.dumps(prices)))


@pytest.mark.parametrize("usage", [Usage(), Usage(1), Usage(None, 1), Usage(None, None, 5)])
def test_unknown_usage_costs_na_and_never_0(usage):
    assert Prices({"a": (1, 1)}).cost("a", usage) is None


def test_thoughts_that_only_the_total_counts_are_billed_as_completion():
    """Some services count them beside the completion; a total that is too small is ignored."""
    prices = Prices({"m": {"prompt": 1, "completion": 2, "cached": "0.5"}})
    assert prices.cost("m", Usage(10, 1, 31)) == Decimal(10 + 21 * 2) / 1_000_000
    assert prices.cost("m", Usage(10, 1, 31, 4)) == Decimal(8 + 21 * 2) / 1_000_000
    assert prices.cost("m", Usage(10, 1, 11)) == prices.cost("m", Usage(10, 1, 3)) == prices.cost("m", Usage(10, 1))


def test_the_price_of_the_answers_own_time_counts():
    """Days are in UTC and both ends of a period are in it; a period without an end lasts until the next begins."""
    prices = Prices(
        {"m": [{"prompt": 3, "completion": 3, "valid_from": "2026-07-01"}, {"prompt": 1, "completion": 1, "valid_to": "2026-01-31"},
               {"prompt": 2, "completion": 2, "valid_from": date(2026, 2, 1)}]}
    )  # fmt: skip

    def at(text):
        found = prices.price("m", datetime.fromisoformat(text).timestamp())
        return found and int(found.prompt)

    days = ["2020-01-01T00:00+00:00", "2026-01-31T23:59:59+00:00", "2026-02-01T00:00+00:00", "2026-06-30T23:59+00:00"]
    assert [at(day) for day in [*days, "2026-06-30T23:59-03:00", "2099-01-01T00:00+00:00"]] == [1, 1, 2, 2, 3, 3]
    assert "from 2026-02-01 to 2026-06-30" in prices.price("m", datetime(2026, 3, 1, tzinfo=UTC).timestamp()).note


def test_a_price_that_is_over_is_unknown_and_said():
    prices = Prices({"m": {"prompt": 1, "completion": 1, "valid_to": "2026-01-31"}})
    assert prices.cost("m", Usage(1, 1, 2)) is None and prices.worst("m", 1, 1) is None
    assert "isn't valid any more" in prices.hint(["m"])
    assert prices.hint(["n", "o"]).startswith("there is no price for the model 'n' and 1 other model;") and not prices.hint([])


BAD = {
    "negative": ({"m": (-1, 1)}, "price of 'm' must be a number of 0 or more, got -1"),
    "nan": ({"m": (float("nan"), 1)}, "must be a number of 0 or more"),
    "infinite": ({"m": (1, "inf")}, "must be a number of 0 or more"),
    "bool": ({"m": (True, 1)}, "must be a number of 0 or more"),
    "text": ({"m": ("cheap", 1)}, "must be a number of 0 or more"),
    "one": ({"m": 5}, r"must be \(prompt, completion\) per million"),
    "three": ({"m": (1, 2, 3)}, r"must be \(prompt, completion\) per million"),
    "no completion": ({"m": {"prompt": 1}}, "has no 'completion'"),
    "word": ({"m": {"prompt": 1, "completion": 1, "cache": 1}}, "has 'cache'; did you mean 'cached'"),
    "cached": ({"m": {"prompt": 1, "completion": 1, "cached": -1}}, "must be a number of 0 or more"),
    "model": ({1: (1, 1)}, "by the name of a model"),
    "table": ([("m", 1, 1)], "must be a dict"),
    "day": ({"m": {"prompt": 1, "completion": 1, "valid_from": "soon"}}, "must be days such as"),
    "hour": ({"m": {"prompt": 1, "completion": 1, "valid_from": datetime(2026, 1, 1, 9, tzinfo=UTC)}}, "must be days such as"),
    "backwards": ({"m": {"prompt": 1, "completion": 1, "valid_from": "2026-02-01", "valid_to": "2026-01-01"}}, "before it begins"),
    "overlap": ({"m": [{"prompt": 1, "completion": 1, "valid_to": "2026-02-01"}, {"prompt": 1, "completion": 1, "valid_from": "2026-02-01"}]},
                "the prices of 'm' overlap: to 2026-02-01, and from 2026-02-01"),
    "twice": ({"m": [{"prompt": 1, "completion": 1}, {"prompt": 2, "completion": 1}]}, "overlap: always, and always"),
    "currencies": ({"a": {"prompt": 1, "completion": 1, "currency": "USD"}, "b": {"prompt": 1, "completion": 1, "currency": "EUR"}},
                   r"one currency.*USD \('a'\), EUR \('b'\)"),
    "some currency": ({"a": {"prompt": 1, "completion": 1, "currency": "USD"}, "b": (1, 1)}, r"no currency \('b'\)"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_price_that_cannot_be_right_is_refused(what):
    table, said = BAD[what]
    with pytest.raises(tsn.errors.ConfigError, match=said):
        Prices(table)


FILES = {
    "list.csv": "model, prompt, completion, cached, valid_from, valid_to, currency, source\n"
    "small,0.25,1.00,,,2026-06-30,EUR,a list\nsmall,0.30,1.10,0.03,2026-07-01,,EUR,a list\n",
    "list.json": '{"currency": "EUR", "source": "a list", "prices": {"small": [{"prompt": 0.25, "completion": 1.00, '
    '"valid_to": "2026-06-30"}, {"prompt": 0.30, "completion": 1.10, "cached": 0.03, "valid_from": "2026-07-01"}]}}',
    "list.toml": 'currency = "EUR"\nsource = "a list"\n[[prices.small]]\nprompt = 0.25\ncompletion = 1.00\n'
    "valid_to = 2026-06-30\n[[prices.small]]\nprompt = 0.30\ncompletion = 1.10\ncached = 0.03\nvalid_from = 2026-07-01\n",
}


def test_the_same_table_from_every_kind_of_file(tmp_path, monkeypatch):
    """CSV, JSON, TOML, and back through to_frame; TSN_PRICES names the file that a Client reads."""
    read = []
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8-sig" if name.endswith("csv") else "utf-8")
        read.append(Prices.from_file(tmp_path / name))
    assert read[0] == read[1] == read[2] and read[0].currency == "EUR" and len(read[0].to_frame()) == 2
    assert read[0].price("small", 1.8e9).note == "0.30 / 1.10, cached 0.03 EUR per million; a list; from 2026-07-01"
    read[0].to_frame().to_csv(tmp_path / "again.csv", index=False)
    assert Prices.from_file(str(tmp_path / "again.csv")) == read[0]
    monkeypatch.setenv("TSN_PRICES", str(tmp_path / "list.toml"))
    assert tsn.Client(model="m").prices == read[0] and tsn.Client(prices={"m": (1, 1)}).prices.models == ["m"]
    assert tsn.Client(prices=tmp_path / "list.csv").prices == read[0]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("x.csv", "model,prompt,price\nm,1,2", "has a column 'price'"), ("x.csv", "model,prompt,completion\n,1,2", "line 2 has no model"),
     ("x.csv", "model,prompt,completion\nm,1", "has no 'completion'"), ("x.csv", "model,prompt,completion\nm,1,2,3", "more fields"),
     ("x.json", "{", "can't be read"), ("x.json", "[]", "must have 'prices'"), ("x.json", '{"m": [1, 2]}', "must have 'prices'"),
     ("x.toml", "prices = 3", "must have 'prices'"), ("x.xlsx", "", "a .csv, .json or .toml"), ("x.csv", None, "can't be read"),
     ("x.json", '{"prices": {"m": [1, 2], "m": [9, 9]}}', "it has 'm' twice"), ("x.toml", "[prices]\nm = [1, 2]\nm = [9, 9]", "can't be read"),
     ("x.json", '{"prices": {"m": [NaN, 1]}}', "x.json: the price of 'm'"), ("x.csv", "", "it has no column 'model'"),
     ("x.json", "[" * 100_000, "can't be read"), ("x.toml", "prices = " + "[" * 100_000, "can't be read"),
     ("x.json", '{"prices": {"m": ["1e400", 1]}}', "must be a number of 0 or more, got '1e400'")],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_file_that_is_not_a_price_list_says_what_is_wrong(tmp_path, name, text, said):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(tsn.errors.ConfigError, match=said):
        Prices.from_file(tmp_path / name)


@pytest.mark.parametrize("path", [None, 3, ""], ids=str)
def test_a_price_file_is_named_by_a_path(path):
    with pytest.raises(tsn.errors.ConfigError, match=r"a price file is a \.csv, \.json or \.toml file, got"):
        Prices.from_file(path)


def test_public_prices_are_looked_up_by_explicit_choice():
    """Real names of a real provider, in USD, with the package's version as their source."""
    prices = Prices.public("openai")
    assert "gpt-4o-mini" in prices and prices.currency == "USD" and len(prices) > 50
    assert prices.price("gpt-4o-mini").source.startswith("genai-prices ") and prices.cost("gpt-4o-mini", Usage(1, 1, 2)) > 0
    assert Prices.public("deepseek", ["deepseek-chat-of-a-new-name"]).worst("deepseek-chat-of-a-new-name", 1, 1) > 0
    assert "highest of several" in Prices.public("deepseek").price("deepseek-chat").source  # it depends on the hour
    for word, said in ((("nobody",), "no provider 'nobody'"), (("openai", ["no-such-model"]), "no model 'no-such-model'")):
        with pytest.raises(tsn.errors.ConfigError, match=said):
            Prices.public(*word)
    assert tsn.Client(model="gpt-4o-mini").prices is None  # never by itself


def test_public_prices_without_the_package_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "genai_prices.data", None)
    with pytest.raises(tsn.errors.ConfigError, match=r"pip install 'tsn-frames\[prices\]'"):
        Prices.public("openai")


def test_the_price_stands_beside_the_cost(sim, tmp_path):
    """In the column cost_source, and in the ledger with its currency; cached tokens are billed at their own price."""
    from tsn_frames.simulator import Simulator

    table = {"sim-small": {"prompt": 1, "completion": 2, "cached": "0.1", "source": "our list", "currency": "EUR"}}
    with Simulator(latency=0.0, cached_tokens=True) as server:
        client = tsn.Client(server.base_url, model="sim-small", prices=table, limits=tsn.Limits(1))
        df = pd.DataFrame({"text": ["a", "b", "c"]})
        words = dict(system="You are a careful reader of letters.", client=client, progress=False)
        out = df.tsn.complete("{text}", include=["cost_source", "cached_tokens"], **words)
        bill = server.stats()
    assert out["cost_source"].tolist() == ["1 / 2, cached 0.1 EUR per million; our list"] * 3
    assert out["cached_tokens"].iloc[0] == 0 and out["cached_tokens"].iloc[1] > 0
    cached = int(out["cached_tokens"].sum())
    owed = bill.billed_prompt_tokens - cached + Decimal("0.1") * cached + 2 * bill.billed_completion_tokens
    lines = list(client.ledger.entries())
    assert sum(Decimal(line.cost) for line in lines) == owed / 1_000_000
    assert {line.currency for line in lines} == {"EUR"} and lines[0].price_source == out["cost_source"][0]
    assert sum(line.cached_tokens for line in lines) == cached


def test_a_model_without_a_price_has_na_and_one_hint(sim):
    """Never 0; the warning names the model and the nearest that has a price."""
    client = tsn.Client(sim.base_url, model="sim-small", prices={"sim-smal": (1, 1)})
    with pytest.warns(tsn.errors.TSNWarning, match="no price for the model 'sim-small'; did you mean 'sim-smal'") as found:
        out = pd.DataFrame({"text": ["a", "b"]}).tsn.complete("{text}", client=client, progress=False, include=["cost_source"])
    assert out["cost"].isna().all() and out["cost_source"].isna().all() and len(found) == 1


def test_simulate_takes_prices_of_your_own():
    with pytest.raises(tsn.errors.ConfigError, match="prices must be"):
        tsn.simulate(prices=3)
    with tsn.simulate(latency=0.0, prices=tsn.Prices({"sim-small": (1000, 0)}, currency="EUR")):
        out = pd.DataFrame({"text": ["Hi"]}).tsn.complete("{text}", progress=False)
        assert out["cost"].tolist() == [out["prompt_tokens"].item() / 1000]
        assert tsn.get_client().ledger.to_frame()["currency"].tolist() == ["EUR"]


tokens, amount = st.integers(0, 10**7), st.decimals(0, 1000, places=6)


@given(st.lists(st.tuples(tokens, tokens, tokens), min_size=1, max_size=5), amount, amount, amount, amount)
def test_costs_add_up_and_never_pass_the_worst_case(usages, prompt, completion, cached, later):
    """The cost of a sum is the sum of the costs, to the last digit; no answer costs more than its worst case."""
    first = {"prompt": prompt, "completion": completion, "cached": cached, "valid_to": "2098-12-31"}
    prices = Prices({"m": [first, {"prompt": later, "completion": later, "valid_from": "2099-01-01"}]})
    bounded = [Usage(p, c, p + c, min(k, p)) for p, c, k in usages]
    whole = Usage(*(sum(values) for values in zip(*bounded, strict=True)))
    costs = [prices.cost("m", usage) for usage in bounded]
    assert sum(costs) == prices.cost("m", whole) and all(cost >= 0 for cost in costs)
    for usage, cost in zip(bounded, costs, strict=True):
        worst = prices.worst("m", usage.prompt_tokens, usage.completion_tokens)
        assert cost <= worst and prices.cost("m", usage, datetime(2100, 1, 1, tzinfo=UTC).timestamp()) <= worst
