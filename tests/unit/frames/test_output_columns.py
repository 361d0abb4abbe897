"""The columns of answers: names, dtypes, what they say, and that nothing else of a frame changes."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pandas as pd
import pytest

import tsn_frames as tsn
from tsn_frames.errors import ROW_CODES
from tsn_frames.simulator import Faults, Simulator

USAGE = ["finish_reason", "prompt_tokens", "completion_tokens", "total_tokens", "cost", "cached"]
ALL = ["content", *USAGE, "error"]
DTYPES = ["string", "string", "Int64", "Int64", "Int64", "Float64", "boolean", "string"]
PRICES = {"sim-small": (1_000_000, 10_000_000)}  # a prompt token costs 1, a completion token 10


def ask(df, client, prompt="{t}", **words):
    return df.tsn.complete(prompt, client=client, progress=False, **words)


def ask_quietly(df, client, prompt="{t}", **words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)
        return ask(df, client, prompt, **words)


@pytest.fixture
def priced(sim, tmp_path):
    retry = tsn.Retry(attempts=2, backoff=0.001)
    return tsn.Client(
        sim.base_url, model="sim-small", prices=PRICES, cache=tmp_path / "cache", ledger=tmp_path / "ledger.db", retry=retry
    )


def bill(out):
    """What the answers of a frame would cost by their usage."""
    return (out["prompt_tokens"] + 10 * out["completion_tokens"]).astype("Float64")


# Names


def test_the_columns_and_their_dtypes_are_those_of_the_documents(client):
    out = ask(pd.DataFrame({"t": ["a"]}), client)
    assert out.columns.tolist() == ["t", *ALL]
    assert [str(out[column].dtype) for column in ALL] == DTYPES


def test_a_name_takes_the_answer_and_prefixes_the_rest(client):
    out = ask(pd.DataFrame({"t": ["a"]}), client, name="summary", include=("model",))
    assert out.columns.tolist() == ["t", "summary", *[f"summary_{column}" for column in (*USAGE, "error", "model")]]


def test_without_usage_the_answer_and_its_error_are_left(client):
    assert ask(pd.DataFrame({"t": ["a"]}), client, usage=False).columns.tolist() == ["t", "content", "error"]


def test_more_facts_come_as_asked_and_in_that_order(client):
    out = ask(
        pd.DataFrame({"t": ["a", None]}),
        client,
        include=("logprobs", "request_key", "answered_at", "model", "reasoning"),
        missing="empty",
    )
    assert out.columns.tolist()[9:] == ["logprobs", "request_key", "answered_at", "model", "reasoning"]
    assert [str(dtype) for dtype in out.dtypes.iloc[9:]] == ["object", "string", "datetime64[us]", "string", "string"]
    assert out["request_key"].str.fullmatch("[0-9a-f]{64}").all()
    assert abs(out["answered_at"].iloc[0].tz_localize("UTC") - pd.Timestamp.now("UTC")) < pd.Timedelta("1min")
    assert out["model"].eq("sim-small").all()


def test_a_hit_keeps_its_time_and_model(client):
    df = pd.DataFrame({"t": ["a"]})
    first, second = (ask(df, client, include=("answered_at", "model")) for _ in range(2))
    assert second["cached"].tolist() == [True]
    assert abs(first["answered_at"].iloc[0] - second["answered_at"].iloc[0]) < pd.Timedelta("1s")
    assert first["model"].tolist() == second["model"].tolist()


def test_reasoning_is_a_fact_of_models_that_think(client):
    assert ask(pd.DataFrame({"t": ["a"]}), client, model="sim-reasoner", include="reasoning")["reasoning"].notna().all()


def test_an_unknown_fact_is_refused_with_the_nearest(client):
    with pytest.raises(tsn.errors.ParameterError, match="did you mean 'model'"):
        ask(pd.DataFrame({"t": ["a"]}), client, include="modell")


def test_overwriting_replaces_columns_where_they_stand(client):
    df = pd.DataFrame({"content": [1], "t": ["a"], "error": ["old"]})
    out = ask(df, client, overwrite=True, usage=False)
    assert out.columns.tolist() == ["content", "t", "error"]
    assert out["error"].isna().all()
    assert str(out["content"].dtype) == "string"


def test_a_second_answer_stands_beside_the_first(client):
    out = ask(ask(pd.DataFrame({"t": ["a"]}), client, name="one"), client, "Again: {one}", name="two")
    assert out.columns.tolist() == ["t", "one", *[f"one_{c}" for c in ALL[1:]], "two", *[f"two_{c}" for c in ALL[1:]]]
    assert out["two"].notna().all()


# What stays


def odd_frame():
    return pd.DataFrame(
        {
            "t": pd.array(["b", "a", "b"], dtype="string"), "n": pd.array([1, None, 3], dtype="Int64"), "c": pd.Categorical(["x", None, "y"]),
            "when": pd.to_datetime(["2024-01-01", None, "2024-01-02"]).tz_localize("Europe/Berlin"), "f": np.array([0.1, 0.2, 0.3], dtype="float32"),
            "lists": [[1], [2], [{"deep": [3]}]],
        },
        index=pd.MultiIndex.from_tuples([("z", 2), ("a", 1), ("z", 2)], names=["k", None]),
    )  # fmt: skip


def test_rows_order_index_and_dtypes_are_kept(client):
    df = odd_frame()
    df.columns.name, df.attrs = "fields", {"source": "here"}
    out = ask(df, client)
    pd.testing.assert_frame_equal(out[list(df.columns)], df)
    assert out.columns.name == "fields"
    assert out.attrs["source"] == "here" and df.attrs == {"source": "here"}


def test_the_input_is_never_touched(client):
    df = odd_frame()
    before = copy.deepcopy(df)
    out = ask(df, client, overwrite=True)
    pd.testing.assert_frame_equal(df, before)
    out.loc[:, "t"] = "changed"
    out.loc[:, "f"] = 9.0
    out["c"] = out["c"].cat.rename_categories({"x": "q"})
    out.index = range(3)
    out.columns = [f"x{i}" for i in range(out.shape[1])]
    pd.testing.assert_frame_equal(df, before)


def test_a_view_of_a_frame_can_be_asked(client):
    df = pd.DataFrame({"t": list("abcd"), "n": range(4)})
    part = df[df["n"] > 1]
    out = ask(part, client)
    assert out.index.tolist() == [2, 3]
    out["n"] = 0
    assert df["n"].tolist() == [0, 1, 2, 3]


def test_a_frame_put_together_column_by_column_brings_no_warning_of_ours(client):
    df = pd.DataFrame({"t": ["a"]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.PerformanceWarning)
        for number in range(120):
            df[f"c{number}"] = number * 0.5
    assert ask(df, client).shape == (1, 129)


def test_attrs_have_the_ids_of_the_runs_and_nothing_else(client):
    out = ask(pd.DataFrame({"t": ["a"]}), client)
    assert out.attrs == {"tsn_runs": " ".join(tsn.runs(client)["run"])}


# Cost


def test_the_first_of_equal_rows_costs_and_its_copies_do_not(priced):
    out = ask(pd.DataFrame({"t": ["a", "b", "a", "a"]}, index=[1, 1, 1, 1]), priced)
    assert out["cost"].tolist() == [bill(out).iloc[0], bill(out).iloc[1], 0.0, 0.0]
    assert out["cached"].tolist() == [False] * 4
    assert out["prompt_tokens"].iloc[0] == out["prompt_tokens"].iloc[2]
    assert out["cost"].sum() == pytest.approx(tsn.last_run().summary.cost)
    assert tsn.last_run().summary.deduplicated == 2


def test_a_hit_costs_nothing_and_says_so(priced):
    df = pd.DataFrame({"t": ["a", "a", "b"]})
    ask(df.head(2), priced)
    out = ask(df, priced)
    assert out["cached"].tolist() == [True, True, False]
    assert out["cost"].tolist() == [0.0, 0.0, bill(out).iloc[2]]
    assert out[["prompt_tokens", "completion_tokens", "total_tokens"]].notna().to_numpy().all()


def test_a_skipped_row_costs_nothing(priced):
    out = ask_quietly(pd.DataFrame({"t": ["a", None, "\ud800"]}, dtype=object), priced)
    assert out["cost"].iloc[1:].tolist() == [0.0, 0.0]
    assert out["cached"].tolist() == [False] * 3


def test_a_row_that_was_not_sent_costs_nothing(sim, priced):
    sim.balance = 0
    with pytest.raises(tsn.errors.BalanceError) as caught:
        ask(pd.DataFrame({"t": ["a"]}), priced)
    assert caught.value.partial["cost"].tolist() == [0.0]
    assert caught.value.partial["error"].str.startswith("not_sent: ").all()


def test_without_a_price_cost_is_unknown_and_never_zero(client, sim, tmp_path):
    df = pd.DataFrame({"t": ["a", "a"]})
    out = ask(df, client)
    assert out["cost"].isna().tolist() == [True, False]
    assert tsn.last_run().summary.cost is None
    other = tsn.Client(sim.base_url, model="sim-small", prices={"other": (1, 1)}, cache=tmp_path / "o", ledger=tmp_path / "o.db")
    with pytest.warns(tsn.errors.TSNWarning, match="at least"):
        assert ask(df, other)["cost"].isna().tolist() == [True, False]


def test_a_failed_attempt_makes_the_cost_unknown(sim, priced):
    sim.faults = Faults(cut_json=1.0, first_attempt_only=True)
    with pytest.warns(tsn.errors.TSNWarning, match="at least"):
        out = ask(pd.DataFrame({"t": ["a"]}), priced)
    assert out["content"].notna().all()
    assert out["cost"].isna().all()


def test_a_free_failure_before_the_answer_adds_nothing(sim, priced):
    sim.faults = Faults(error_500=1.0, first_attempt_only=True)
    out = ask(pd.DataFrame({"t": ["a"]}), priced)
    assert out["cost"].tolist() == bill(out).tolist()


def test_prices_count_exactly_in_decimal():
    prices = tsn.Prices({"m": (0.1, "0.2"), "n": (np.float64(0.27), 1)})
    usage = tsn.api.Usage(1, 1, 2)
    assert str(prices.cost("m", usage)) == "3E-7"
    assert str(prices.cost("n", usage)) == "0.00000127"
    assert prices.cost("m", tsn.api.Usage()) is None


@pytest.mark.parametrize(
    "table",
    [{"m": 1}, {"m": (1,)}, {"m": (-1, 1)}, {"m": ("x", 1)}, {"m": (float("nan"), 1)}, {"m": (True, 1)}, [("m", (1, 1))], 5],
    ids=repr,
)
def test_a_price_that_is_none_is_refused(table):
    with pytest.raises(tsn.errors.ConfigError, match="price"):
        tsn.Prices(table)


# Errors


def codes(out):
    assert out["error"].isna().eq(out["content"].notna()).all(), "a row has an answer or a reason"
    return out["error"].str.partition(":")[0].tolist()


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        ({"error_500": 1.0}, "server"), ({"error_other": 1.0}, "server"), ({"error_502": 1.0}, "server"), ({"echo_key": 1.0}, "bad_request"),
        ({"html": 1.0}, "unreadable"), ({"cut_json": 1.0}, "unreadable"), ({"reset": 1.0}, "connection"), ({"truncate": 1.0}, "connection"),
        ({"hang": 1.0}, "timeout"),
        ({"null_content": 1.0}, "empty"), ({"filtered": 1.0}, "filtered"), ({"no_choices": 1.0}, "empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)  # fmt: skip
def test_every_failure_of_a_row_has_a_code_of_the_closed_list(sim, tmp_path, faults, code):
    sim.faults = Faults(**faults)
    retry = tsn.Retry(attempts=1, unreadable=1)
    client = tsn.Client(
        sim.base_url,
        model="sim-small",
        cache=tmp_path / "c",
        ledger=tmp_path / "l.db",
        retry=retry,
        timeout=0.5 if "hang" in faults else 30,
    )
    with pytest.warns(tsn.errors.TSNWarning, match=f"1 of 1 row.*first: {code}: "):
        out = ask(pd.DataFrame({"t": ["a"]}), client)
    assert codes(out) == [code]
    assert code in ROW_CODES


def test_what_is_wrong_before_sending_has_a_code_too(client):
    df = pd.DataFrame({"t": ["a", None, "\ud800", "x" * 1_000_001]}, dtype=object)
    assert codes(ask_quietly(df, client)) == [pd.NA, "missing", "bad_text", "too_long"]
    assert codes(ask_quietly(df.head(1), client, lambda row: row["u"])) == ["prompt"]
    assert codes(ask_quietly(df.head(1), client, "not {t}", cache="only")) == ["not_cached"]


def test_an_unknown_model_closes_its_rows_and_the_others_go_on(client):
    df = pd.DataFrame({"t": ["a", "b"], "m": ["sim-small", "nothing"]})
    out = ask_quietly(df, client, model=df["m"])
    assert codes(out) == [pd.NA, "model"]


def test_a_text_of_the_service_that_no_column_can_hold_is_mended(client):
    from tsn_frames.secret import redact

    assert redact("half \ud800 pair \x1b[31m \u202e").encode() == b"half   pair  [31m"
    assert redact("a risk-free task-based disk-space sk-abcdefghijkl") == "a risk-free task-based disk-space ***"


def test_errors_raise_keeps_the_frame(sim, priced):
    sim.faults = Faults(error_500=1.0)
    with pytest.raises(tsn.RunError, match="1 of 1 row") as caught:
        ask(pd.DataFrame({"t": ["a"]}), priced, errors="raise")
    assert caught.value.partial.columns.tolist() == ["t", *ALL]


def test_an_answer_cut_off_keeps_its_text_and_is_warned_of(client):
    with pytest.warns(tsn.errors.TSNWarning, match="cut off by max_tokens"):
        out = ask(pd.DataFrame({"t": ["Tell me a long story about a very long road"]}), client, max_tokens=1)
    assert out["finish_reason"].tolist() == ["length"]
    assert out["content"].notna().all()
    assert out["error"].isna().all()


def test_a_run_in_the_background_shows_na_where_no_answer_is_yet():
    with Simulator(latency=60.0) as slow:
        client = tsn.Client(slow.base_url, model="sim-small")
        run = pd.DataFrame({"t": ["a"]}).tsn.start("{t}", client=client)
        frame = run.frame
        run._engine.stop(grace=0.0)
        with pytest.warns(tsn.errors.TSNWarning, match="since the run was stopped"):
            run.wait(30, progress=False)
    assert frame.columns.tolist() == ["t", *ALL]
    assert frame[[c for c in ALL if c != "cost"]].isna().to_numpy().all()
