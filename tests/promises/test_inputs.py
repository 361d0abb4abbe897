"""The nasty inputs: a test's number is that of the floor list it holds (`-k test_05`)."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import threading
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from support.ids import stable_repr

import tsn_frames as tsn
from tsn_frames.api.base_url import is_loopback, normalise
from tsn_frames.secret import Secret
from tsn_frames.simulator import Faults

USAGE = ["content", "finish_reason", "prompt_tokens", "completion_tokens", "total_tokens", "cost", "cached", "error"]


def texts(df, prompt, **words):
    return [None if found is None else found[-1]["content"] for found in df.tsn.messages(prompt, **words)]


def ask(df, client, prompt=None, **words):
    return df.tsn.complete(prompt, client=client, progress=False, **words)


def ask_quietly(df, client, prompt=None, **words):
    """Complete rows that are known to fail, and ignore the warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)
        return ask(df, client, prompt, **words)


def sent(sim):
    """The last message of every request that arrived, in order of arrival."""
    return [exchange.body["messages"][-1]["content"] for exchange in sim.log]


GAPS = [np.nan, None, pd.NA, pd.NaT, float("nan"), Decimal("NaN"), np.datetime64("NaT", "ns")]


# 1 to 4: what is missing


@pytest.mark.parametrize("gap", GAPS, ids=repr)
def test_01_a_missing_value_is_skipped_and_never_a_text(client, sim, gap):
    df = pd.DataFrame({"t": pd.Series(["a", gap], dtype=object)})
    with pytest.warns(tsn.errors.TSNWarning, match="1 of 2 rows is not sent.*'t' in 1.*missing='empty'"):
        out = ask(df, client, "Say {t}")
    assert sent(sim) == ["Say a"]
    assert out["error"].iloc[1].startswith("missing: ")
    assert out.loc[1, [c for c in USAGE if c not in ("cost", "cached", "error")]].isna().all()
    assert tsn.last_run().summary.missing == 1
    assert tsn.last_run().summary.failed == 0


def test_01_missing_values_of_every_dtype_are_found():
    columns = {
        "float": pd.Series([1.5, None]), "Int64": pd.Series([1, None], dtype="Int64"), "boolean": pd.Series([True, None], dtype="boolean"),
        "string": pd.Series(["a", None], dtype="string"), "str": pd.Series(["a", None]), "category": pd.Series(["a", None], dtype="category"),
        "datetime": pd.to_datetime(pd.Series(["2024-01-01", None])), "tz": pd.to_datetime(pd.Series(["2024-01-01", None])).dt.tz_localize("UTC"),
        "period": pd.Series([pd.Period("2024"), pd.NaT], dtype="period[Y]"), "timedelta": pd.to_timedelta(pd.Series(["1h", None])),
    }  # fmt: skip
    for name, column in columns.items():
        with pytest.warns(tsn.errors.TSNWarning, match="1 of 2 rows"):
            found = texts(pd.DataFrame({name: column}), f"-{{{name}}}")
        assert found[1] is None, name
        assert texts(pd.DataFrame({name: column}), f"-{{{name}}}", missing="empty")[1] == "-", name


def test_01_missing_raise_names_columns_and_first_labels():
    df = pd.DataFrame({"t": [None] * 7 + ["x"], "u": ["x"] * 7 + [None]}, index=list("abcdefgh"))
    with pytest.raises(tsn.errors.PromptError, match=r"'t' in 7, 'u' in 1 rows; .* \['a', 'b', 'c', 'd', 'e'\]"):
        texts(df, "{t}{u}", missing="raise")


def test_01_a_mapping_fills_its_columns_and_the_others_skip():
    df = pd.DataFrame({"brand": [None, "B", None], "text": ["x", "y", None]})
    with pytest.warns(tsn.errors.TSNWarning, match="'text' in 1"):
        assert texts(df, "{brand}:{text}", missing={"brand": "none"}) == ["none:x", "B:y", None]


def test_01_a_mapping_is_checked():
    df = pd.DataFrame({"t": ["x"]})
    with pytest.raises(tsn.errors.PromptError, match="missing= names a column 'u' that the frame doesn't have"):
        texts(df, "{t}", missing={"u": ""})
    with pytest.raises(tsn.errors.PromptError, match="must be a string"):
        texts(df, "{t}", missing={"t": 0})
    with pytest.raises(tsn.errors.PromptError, match="missing must be one of"):
        texts(df, "{t}", missing="drop")


def test_02_a_missing_value_in_a_column_that_is_not_used_is_ignored():
    assert texts(pd.DataFrame({"t": ["x"], "u": [None]}), "{t}") == ["x"]


@pytest.mark.parametrize("blank", ["", "  ", "\n\t", "\u00a0"])
@pytest.mark.parametrize("dtype", [object, "string", "string[pyarrow]", "category"])
def test_03_a_blank_text_is_missing_whatever_its_dtype(blank, dtype):
    if dtype == "string[pyarrow]":
        dtype = pd.ArrowDtype(pytest.importorskip("pyarrow").string())
    df = pd.DataFrame({"t": pd.Series(["x", blank], dtype=dtype)})
    with pytest.warns(tsn.errors.TSNWarning, match="missing or blank"):
        assert texts(df, "{t}") == ["x", None]
    assert texts(df, "{t}", missing="empty") == ["x", blank]


@pytest.mark.parametrize(
    "words",
    [{}, {"temperature": lambda d: d["t"].astype(float)}, {"include": ("model", "answered_at", "request_key", "logprobs")}],
)
def test_04_an_empty_frame_needs_no_server_key_or_model_and_has_all_columns(words):
    df = pd.DataFrame({"t": pd.Series([], dtype="string"), "n": pd.Series([], dtype="Int64")})
    out = ask(df, tsn.Client("https://api.example.com"), "{t}", **words)
    assert len(out) == 0
    assert list(out.columns[:10]) == ["t", "n", *USAGE]
    assert out.dtypes.astype(str).iloc[1:10].tolist() == [
        "Int64",
        "string",
        "string",
        "Int64",
        "Int64",
        "Int64",
        "Float64",
        "boolean",
        "string",
    ]


def test_04_a_frame_without_rows_in_an_odd_shape_is_fine():
    df = pd.DataFrame({"t": ["a"], "n": [1]}, index=pd.MultiIndex.from_tuples([("x", 1)], names=["a", "b"])).iloc[:0]
    out = ask(df, tsn.Client("https://api.example.com"), "{t}", name="s")
    assert out.index.equals(df.index)
    assert out.index.names == ["a", "b"]


# 5 to 13: index and names


def test_05_duplicate_index_keeps_rows(client):
    df = pd.DataFrame({"t": ["a", "b", "a"]}, index=[7, 7, 7])
    out = ask(df, client, "{t}")
    assert out.index.tolist() == [7, 7, 7]
    assert out["t"].tolist() == ["a", "b", "a"]
    assert out["content"].iloc[0] == out["content"].iloc[2] != out["content"].iloc[1]


@pytest.mark.parametrize(
    "index",
    [
        pd.MultiIndex.from_tuples([("b", 2), ("a", 1)], names=["k", None]), pd.DatetimeIndex(["2024-01-02", "2024-01-01"], name="day"),
        pd.CategoricalIndex(["y", "x"]), pd.Index([None, "x"], dtype=object), pd.IntervalIndex.from_breaks([0, 1, 2]),
        pd.period_range("2024", periods=2, freq="Y"), pd.Index([1, "a"], dtype=object),
    ],
    ids=lambda index: type(index).__name__,
)  # fmt: skip
def test_06_any_index_is_kept(client, index):
    df = pd.DataFrame({"t": ["a", "b"]}, index=index)
    out = ask(df, client, "{t}")
    pd.testing.assert_index_equal(out.index, df.index)


def test_07_columns_of_several_levels_are_refused_with_the_mend(client, sim):
    df = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]))
    with pytest.raises(tsn.errors.PromptError, match=r"flatten them first: df\.columns ="):
        ask(df, client, "{a}")
    assert sim.stats().requests == 0


def test_08_a_column_that_is_there_twice_is_refused_only_where_it_is_used(client, sim):
    df = pd.DataFrame([["x", "y", "z"]], columns=["t", "t", "u"])
    with pytest.raises(tsn.errors.PromptError, match="'t' appears 2 times"):
        ask(df, client, "{t}")
    with pytest.raises(tsn.errors.PromptError, match="'t' appears more than once"):
        ask(df, client, lambda row: row["u"])
    assert sim.stats().requests == 0
    out = ask(df, client, "{u}")
    assert out.columns.tolist() == ["t", "t", "u", *USAGE]
    assert out.iloc[0, :3].tolist() == ["x", "y", "z"]


def test_09_names_with_blanks_dots_and_dashes_are_columns():
    assert texts(pd.DataFrame([["1", "2", "3"]], columns=["my col", "a.b", "a-b"]), "{my col}{a.b}{a-b}") == ["123"]


def test_10_a_name_with_braces_is_refused_with_the_mend():
    with pytest.raises(tsn.errors.PromptError, match=r"braces in its name.*rename"):
        texts(pd.DataFrame({"a{b}": ["x"], "b": ["y"]}), "{a{b}}")


def test_11_names_that_are_not_texts():
    df = pd.DataFrame([["x", "y", "z"]], columns=pd.Index([0, ("a", 1), None], dtype=object))
    assert texts(df, "{0} {('a', 1)} {None}") == ["x y z"]
    assert ask(df.iloc[:0], tsn.Client(), lambda row: str(row[0])).columns[0] == 0
    with pytest.raises(tsn.errors.PromptError, match="ambiguous"):
        texts(pd.DataFrame([["x", "y"]], columns=pd.Index([0, "0"], dtype=object)), "{0}")


def test_12_an_output_column_that_is_there_is_refused_before_sending(client, sim):
    df = pd.DataFrame({"t": ["a"], "content": ["mine"]})
    with pytest.raises(tsn.errors.ColumnError, match="overwrite=True"):
        ask(df, client, "{t}")
    assert sim.stats().requests == 0
    assert ask(df, client, "{t}", overwrite=True)["content"].iloc[0] != "mine"


def test_13_every_output_column_that_is_there_is_named(client, sim):
    df = pd.DataFrame({"t": ["a"], "s_error": [1], "s_cost": [1], "s_model": [1], "s": [1]})
    with pytest.raises(tsn.errors.ColumnError, match=r"\['s', 's_cost', 's_error', 's_model'\]"):
        ask(df, client, "{t}", name="s", include="model")
    assert sim.stats().requests == 0


# 14 to 18: cells


ARROW = pytest.importorskip("pyarrow")
CELLS = [
    ("category", pd.Series(["a", "b"], dtype="category"), ["a", "b"]),
    ("category of ints", pd.Series([2**60 + 1, 1], dtype="category"), ["1152921504606846977", "1"]),
    ("category of float32", pd.Series(np.array([0.1, 2], dtype="float32")).astype("category"), ["0.1", "2.0"]),
    ("Int64", pd.Series([5, 2**60 + 1], dtype="Int64"), ["5", "1152921504606846977"]),
    ("uint64", pd.Series([2**64 - 1, 1], dtype="uint64"), ["18446744073709551615", "1"]),
    ("boolean", pd.Series([True, False], dtype="boolean"), ["True", "False"]),
    ("bool", pd.Series([True, False]), ["True", "False"]),
    ("string[pyarrow]", pd.Series(["a", "b"], dtype="string[pyarrow]"), ["a", "b"]),
    ("string[python]", pd.Series(["a", "b"], dtype="string[python]"), ["a", "b"]),
    ("arrow int", pd.Series([1, 2**60 + 1], dtype="int64[pyarrow]"), ["1", "1152921504606846977"]),
    ("arrow float", pd.Series([0.1, 2], dtype="float[pyarrow]"), ["0.1", "2.0"]),
    ("arrow decimal", pd.Series([Decimal("1.10"), Decimal("2.00")], dtype=pd.ArrowDtype(ARROW.decimal128(5, 2))), ["1.10", "2.00"]),
    ("arrow list", pd.Series([["a"], ["b", "c"]], dtype=pd.ArrowDtype(ARROW.list_(ARROW.string()))), ["['a']", "['b', 'c']"]),
    ("datetime", pd.Series(pd.to_datetime(["2024-01-02 03:04:05", "2024-01-02 00:00:00"])), ["2024-01-02 03:04:05", "2024-01-02 00:00:00"]),
    ("datetime tz", pd.Series(pd.to_datetime(["2024-07-02 03:04:05"] * 2)).dt.tz_localize("Europe/Berlin"), ["2024-07-02 03:04:05+02:00"] * 2),
    ("period", pd.Series(pd.period_range("2024-01", periods=2, freq="M")), ["2024-01", "2024-02"]),
    ("timedelta", pd.Series(pd.to_timedelta(["1h", "2D"])), ["0 days 01:00:00", "2 days 00:00:00"]),
    ("Decimal", pd.Series([Decimal("1.10"), Decimal("1E+3")]), ["1.10", "1E+3"]),
    ("list", pd.Series([["a", 1], []], dtype=object), ["['a', 1]", "[]"]),
    ("list of numpy", pd.Series([[np.float64(1.5)], (np.int64(2), np.str_("x"))], dtype=object), ["[1.5]", "(2, 'x')"]),
    ("dict", pd.Series([{"a": np.int64(1)}, {}], dtype=object), ["{'a': 1}", "{}"]),
    ("float32", pd.Series([0.1, 16777216], dtype="float32"), ["0.1", "16777216.0"]),
    ("Float32", pd.Series([0.1, 2], dtype="Float32"), ["0.1", "2.0"]),
    ("float16", pd.Series([0.1, 2], dtype="float16"), ["0.1", "2.0"]),
    ("float64", pd.Series([0.1, 1e300]), ["0.1", "1e+300"]),
    ("sparse", pd.Series(pd.arrays.SparseArray([1, 0])), ["1", "0"]),
    ("date", pd.Series([dt.date(2024, 1, 2)] * 2), ["2024-01-02"] * 2),
    ("Timestamp in object", pd.Series([pd.Timestamp("2024-01-02"), np.datetime64("2024-01-02T00:00:00.000000001")], dtype=object),
     ["2024-01-02 00:00:00", "2024-01-02 00:00:00.000000001"]),
    ("mixed", pd.Series([1, 1.0], dtype=object), ["1", "1.0"]),
    ("numpy scalars", pd.Series([np.str_("s"), np.float32(0.1)], dtype=object), ["s", "0.1"]),
    ("numpy bool", pd.Series([np.bool_(True), np.int8(5)], dtype=object), ["True", "5"]),
    ("interval", pd.Series(pd.interval_range(0, 2)), ["(0, 1]", "(1, 2]"]),
]  # fmt: skip


@pytest.mark.parametrize(("column", "shown"), [pytest.param(c, s, id=i) for i, c, s in CELLS])
def test_14_a_cell_is_shown_as_what_it_is(column, shown):
    assert texts(pd.DataFrame({"x": column, "float": [0.5, 1.5]}), "{x}") == shown
    gaps = pd.concat([pd.DataFrame({"x": column}), pd.DataFrame({"x": column}).iloc[:1]], ignore_index=True)
    assert texts(gaps, "{x}!")[2] == shown[0] + "!"


def test_14_a_long_array_in_a_cell_is_not_cut_short():
    (found,) = texts(pd.DataFrame({"x": [np.arange(5_000)]}), "{x}")
    assert json.loads(found) == list(range(5_000))


def test_14_a_category_with_a_gap_keeps_its_whole_numbers():
    df = pd.DataFrame({"x": pd.Categorical.from_codes([0, -1, 1], categories=[1, 2**60 + 1])})
    assert texts(df, "{x}", missing="empty") == ["1", "", "1152921504606846977"]


def test_15_whole_numbers_beside_floats_stay_whole():
    df = pd.DataFrame({"i": [1, 2**60 + 1], "f": [0.5, 1.5]})
    assert texts(df, "{i} {f}") == ["1 0.5", "1152921504606846977 1.5"]
    assert texts(df, lambda row: f"{row['i']} {row['f']}") == ["1 0.5", "1152921504606846977 1.5"]


def test_16_a_function_gets_plain_scalars():
    df = pd.DataFrame({
        "i": [1], "f": [0.5], "f32": np.array([0.1], "float32"), "b": [True], "s": ["x"], "t": [pd.Timestamp("2024-01-01")], "I": pd.array([2], dtype="Int64"),
        "np": pd.Series([np.int64(3)], dtype=object),
    })  # fmt: skip
    seen = []
    texts(df, lambda row: seen.append(dict(row)) or "x")
    assert [type(value) for value in seen[0].values()] == [int, float, float, bool, str, pd.Timestamp, int, int]
    assert seen[0]["f32"] == 0.1


def test_17_lone_surrogate_fails_its_row_with_the_position(client, sim):
    df = pd.DataFrame({"t": pd.Series(["fine", "ab\ud800c", "too"], dtype=object)})
    out = ask_quietly(df, client, "{t}")
    assert out["error"].iloc[1].startswith("bad_text: a lone surrogate at position 2")
    assert sorted(sent(sim)) == ["fine", "too"]


@pytest.mark.parametrize("prompt", [lambda row: row["t"], lambda row: [{"role": "user", "content": row["t"]}]])
def test_17_lone_surrogate_of_a_function_fails_its_row(client, prompt):
    df = pd.DataFrame({"t": pd.Series(["fine", "ab\ud800c"], dtype=object)})
    out = ask_quietly(df, client, prompt)
    assert out["error"].str.split(":").str[0].tolist() == [pd.NA, "bad_text"]


def test_17_lone_surrogate_in_a_message_list_fails_its_row(client):
    df = pd.DataFrame({"m": [[{"role": "user", "content": "fine"}], [{"role": "user", "content": "\udfff"}]]})
    out = ask_quietly(df, client, messages="m")
    assert out["error"].str.split(":").str[0].tolist() == [pd.NA, "bad_text"]


LONG = "x" * 1_000_001


@pytest.mark.parametrize(
    "words", [{"prompt": "{t}"}, {"prompt": lambda row: row["t"]}, {"messages": "m"}, {"prompt": "{u}", "system": "{t}"}]
)
def test_18_a_huge_prompt_fails_its_row_and_is_never_shown(client, sim, words):
    df = pd.DataFrame({"t": ["short", LONG], "u": "u", "m": [[{"role": "user", "content": t}] for t in ("short", LONG)]})
    out = ask_quietly(df, client, **words)
    assert out["error"].iloc[1].startswith("too_long: 1,000,00")
    assert len(out["error"].iloc[1]) < 200
    assert sim.stats().requests == 1


# 19 to 27: templates (test_template.py has more)


def test_19_data_that_looks_like_a_template_is_sent_as_it_is(client, sim):
    cells = ["{x}", "{{ 7*7 }}", "{t}", "{t.__class__}"]
    ask(pd.DataFrame({"t": cells}), client, "{t}")
    assert sorted(sent(sim)) == sorted(cells)


def test_20_a_missing_column_is_refused_with_the_nearest():
    with pytest.raises(tsn.errors.PromptError, match="'missing' that the frame doesn't have; did you mean 'missing_'"):
        texts(pd.DataFrame({"missing_": ["x"]}), "{missing}")


@pytest.mark.parametrize("template", ["{}", "{0}"])
def test_21_a_placeholder_without_a_name_is_refused(template):
    with pytest.raises(tsn.errors.PromptError, match="name"):
        texts(pd.DataFrame({"t": ["x"]}), template)
    assert texts(pd.DataFrame([["x"]]), "{0}") == ["x"]


@pytest.mark.parametrize("template", ["{t!r:>10}", "{t:.2f}", "{t:>999999999}"])
def test_22_formats_are_refused(template):
    with pytest.raises(tsn.errors.PromptError, match="nothing more"):
        texts(pd.DataFrame({"t": [1.0]}), template)


@pytest.mark.parametrize("template", ["{t.__class__}", "{t[0]}", "{t:{u}}"])
def test_23_access_is_refused(template):
    with pytest.raises(tsn.errors.PromptError, match="nothing more"):
        texts(pd.DataFrame({"t": [1.0], "u": 1}), template)


def test_24_json_in_a_template_is_left_alone():
    assert texts(pd.DataFrame({"t": ["x"]}), '{"label": "a", "text": "{t}"} {{"b": 1}}') == [
        '{"label": "a", "text": "x"} {"b": 1}'
    ]


def test_25_jinja_is_warned_of():
    with pytest.warns(tsn.errors.TSNWarning, match="Jinja"):
        texts(pd.DataFrame({"t": ["x"]}), "{{ t }}{t}")


def test_26_a_template_without_a_column_warns_and_sends_one_request(client, sim):
    with pytest.warns(tsn.errors.TSNWarning, match="every row sends the same text"):
        out = ask(pd.DataFrame({"t": list("abc")}), client, "Say hello")
    assert sim.stats().requests == 1
    assert len(set(out["content"])) == 1


@pytest.mark.parametrize("prompt", [5, ["{t}"], {"a": 1}, pd.Series(["x"]), b"x"])
def test_27_a_prompt_of_another_type_is_refused(prompt, client):
    with pytest.raises(tsn.errors.PromptError, match="prompt must be a template or a function"):
        ask(pd.DataFrame({"t": ["x"]}), client, prompt)


@pytest.mark.parametrize(("name", "column"), [("body", "body"), (None, "text")])
def test_27_a_series_as_prompt_is_told_how_a_template_names_its_column(client, name, column):
    with pytest.raises(tsn.errors.PromptError, match=f"got a Series: name its column in a template, such as '{{{column}}}'$"):
        ask(pd.DataFrame({"body": ["x"]}), client, pd.Series(["x"], name=name))


def test_27_a_value_of_several_lines_is_named_in_one(client):
    with pytest.raises(tsn.errors.PromptError) as raised:
        ask(pd.DataFrame({"t": ["x"]}), client, pd.DataFrame({"t": ["x", "y"]}))
    assert str(raised.value) == "prompt must be a template or a function of a row, got t 0 x 1 y"


def test_27_a_list_with_a_value_for_each_row_is_told_to_be_a_series(client):
    with pytest.raises(tsn.errors.ParameterError, match=r"give a Series: temperature=pd\.Series\(\[\.\.\.\], df\.index\)$"):
        ask(pd.DataFrame({"t": ["x", "y"]}), client, "{t}", temperature=[0, 1])
    with pytest.raises(tsn.errors.ParameterError, match=r"got \[0\]$|got \[0, 1, 1\]$"):
        ask(pd.DataFrame({"t": ["x", "y"]}), client, "{t}", temperature=[0, 1, 1])


def test_27_exactly_one_of_prompt_and_messages_is_given(client):
    df = pd.DataFrame({"t": ["x"]})
    for words in ({}, {"prompt": "{t}", "messages": "t"}):
        with pytest.raises(tsn.errors.PromptError, match="exactly one"):
            ask(df, client, **words)


def test_27_a_function_is_called_once_a_row_before_anything_is_sent(client, sim):
    seen = []

    def prompt(row):
        seen.append((row["t"], sim.stats().requests))
        return f"say {row['t']}"

    ask(pd.DataFrame({"t": ["a", "b", "a"]}), client, prompt)
    assert seen == [("a", 0), ("b", 0), ("a", 0)]
    assert sorted(sent(sim)) == ["say a", "say b"]


def test_27_an_exception_in_a_function_is_its_rows_error(client, sim):
    def prompt(row):
        return row["t"] if row["t"] != "b" else row["nothing"]

    out = ask_quietly(pd.DataFrame({"t": list("abc")}), client, prompt)
    assert out["error"].iloc[1] == "prompt: the prompt function failed: KeyError: 'nothing'"
    assert out["error"].isna().tolist() == [True, False, True]
    assert sorted(sent(sim)) == ["a", "c"]


def test_27_an_exceptions_text_is_cut_and_cleaned():
    def prompt(row):
        raise ValueError("\x1b[31mred\u202e\ud800 tsn_live_abcdef " + "x" * 10_000)

    error = ask_quietly(pd.DataFrame({"t": ["a"]}), tsn.Client(model="m"), prompt)["error"].iloc[0]
    assert len(error) < 400
    assert not set("\x1b\u202e\ud800") & set(error)
    assert "tsn_live_a" not in error


def test_27_rows_that_fail_before_sending_are_counted_in_a_warning(client):
    df = pd.DataFrame({"t": ["a", "\ud800", None]}, dtype=object)
    with pytest.warns(tsn.errors.TSNWarning) as caught:
        ask(df, client, "{t}")
    assert any("1 of 3 row" in str(one.message) and "bad_text" in str(one.message) for one in caught)
    summary = tsn.last_run().summary
    assert (summary.answered, summary.failed, summary.missing) == (1, 1, 1)
    with pytest.raises(tsn.RunError, match="bad_text"):
        ask(df.head(2), client, "{t}", errors="raise")


@pytest.mark.parametrize("nothing", [None, "", "  ", np.nan, pd.NA], ids=repr)
def test_27_a_function_that_returns_nothing_skips_its_row(client, sim, nothing):
    out = ask(pd.DataFrame({"t": list("ab")}), client, lambda row: "x" if row["t"] == "a" else nothing)
    assert out["error"].iloc[1].startswith("missing: ")
    assert sim.stats().requests == 1


@pytest.mark.parametrize("made", [5, {"role": "user"}, [], [5], [{"role": "boss", "content": "x"}], b"x"], ids=repr)
def test_27_a_function_that_returns_no_prompt_is_its_rows_error(client, made):
    out = ask_quietly(pd.DataFrame({"t": ["a"]}), client, lambda row: made)
    assert out["error"].iloc[0].startswith("prompt: ")


def test_27_a_function_may_return_message_lists(client, sim):
    ask(pd.DataFrame({"t": ["a"]}), client, lambda row: [{"role": "user", "content": row["t"]}], system="Be {t}")
    assert sim.log[0].body["messages"] == [{"role": "system", "content": "Be a"}, {"role": "user", "content": "a"}]


# 28 and 29: message lists


HELLO = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(
    "given",
    [
        tuple(HELLO),
        np.array(HELLO),
        HELLO,
        [{"content": "Hello", "role": "user"}],
        [{"role": np.str_("user"), "content": np.str_("Hello")}],
    ],
    ids=repr,
)
def test_28_tuples_and_arrays_are_message_lists(given):
    column = pd.Series([None, given], dtype=object).iloc[1:]
    found = pd.DataFrame({"m": column}).tsn.messages(messages="m")
    assert found.iloc[0] == HELLO
    assert list(found.iloc[0][0]) == ["role", "content"]


def test_28_message_lists_survive_parquet(tmp_path):
    df = pd.DataFrame({"m": [HELLO, [*HELLO, {"role": "assistant", "content": "Hi"}]]})
    df.to_parquet(tmp_path / "m.parquet")
    assert pd.read_parquet(tmp_path / "m.parquet").tsn.messages(messages="m").tolist() == df["m"].tolist()


def test_28_a_series_of_lists_is_aligned():
    df = pd.DataFrame({"t": ["x", "y"]}, index=[1, 2])
    other = pd.Series([[{"role": "user", "content": "2"}], HELLO], index=[2, 1])
    assert df.tsn.messages(messages=other).tolist() == [HELLO, [{"role": "user", "content": "2"}]]


def test_28_messages_as_json_text_are_refused_with_the_mend(client, sim):
    with pytest.raises(tsn.errors.PromptError, match=r"parse it first: .*json\.loads"):
        ask(pd.DataFrame({"m": [json.dumps(HELLO)]}), client, messages="m")
    assert sim.stats().requests == 0


def test_28_a_list_in_place_of_a_column_is_refused():
    for given in (HELLO, "nothing", 5):
        with pytest.raises(tsn.errors.PromptError, match="messages must be a column of message lists"):
            pd.DataFrame({"m": [HELLO]}).tsn.messages(messages=given)


def test_28_a_ragged_list_is_refused_as_any_other():
    with pytest.raises(tsn.errors.PromptError, match="message 0, must be a dict"):
        pd.DataFrame({"m": [[["a"], ["b", "c"]]]}).tsn.messages(messages="m")


@pytest.mark.parametrize("options", [{}, {"missing": "empty"}])
def test_28_a_missing_list_is_skipped_with_a_warning(client, options):
    df = pd.DataFrame({"m": [HELLO, None]})
    with pytest.warns(tsn.errors.TSNWarning, match="1 of 2 rows is not sent.*'messages' in 1"):
        out = ask(df, client, messages="m", **options)
    assert out["error"].iloc[1].startswith("missing: ")


def test_28_a_missing_list_raises_where_asked():
    with pytest.raises(tsn.errors.PromptError, match=r"'messages' in 1 rows; the first have the labels \[1\]"):
        pd.DataFrame({"m": [HELLO, None]}).tsn.messages(messages="m", missing="raise")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([{"role": "boss", "content": "x"}], "the role 'boss'; the roles are system, user, assistant"),
        ([{"content": "x"}], "the role None"), ([{"role": ["user"], "content": "x"}], "the role"), ([{"role": "user"}], "no content"),
        ([{"role": "user", "content": None}], "no content"), ([{"role": "user", "content": np.nan}], "no content"),
        ([{"role": "user", "content": 5}], "must be a string, or a list of parts"), ([{"role": "user", "content": ["x"]}], "must be a string"),
        ([], "at least one message"), (["Hello"], "must be a dict"), (5, "must be a list"),
    ],
    ids=repr,
)  # fmt: skip
def test_29_what_is_not_a_message_list_is_refused_before_any_row_is_sent(client, sim, bad, message):
    df = pd.DataFrame({"m": pd.Series([HELLO, bad], index=["fine", "odd"], dtype=object)})
    with pytest.raises(tsn.errors.PromptError, match=f"in row 'odd'.*{message}"):
        ask(df, client, messages="m")
    assert sim.stats().requests == 0


def test_29_a_late_system_message_is_sent_as_it_is_with_a_warning(client, sim):
    late = [*HELLO, {"role": "system", "content": "Be kind"}]
    with pytest.warns(tsn.errors.TSNWarning, match="1 of 2 message lists have a system message that isn't their first"):
        pd.DataFrame({"m": [HELLO, late]}).tsn.messages(messages="m")
    ask_quietly(pd.DataFrame({"m": [HELLO, late]}), client, messages="m")  # the simulator refuses it
    assert late in [exchange.body["messages"] for exchange in sim.log]


def test_29_a_list_that_ends_with_the_assistant_is_sent(client, sim):
    ask(pd.DataFrame({"m": [[*HELLO, {"role": "assistant", "content": "Well"}]]}), client, messages="m")
    assert sim.stats().requests == 1


def test_29_two_system_messages_are_refused():
    df = pd.DataFrame({"m": [[{"role": "system", "content": "A"}, *HELLO]]})
    with pytest.raises(tsn.errors.PromptError, match="leave system= out"):
        df.tsn.messages(messages="m", system="B")


def test_29_more_than_role_and_content_is_kept():
    call = [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "content": "x", "tool_call_id": "1"},
    ]
    parts = [{"role": "user", "content": [{"type": "text", "text": "x"}]}]
    assert pd.DataFrame({"m": [call, parts]}).tsn.messages(messages="m").tolist() == [call, parts]


@pytest.mark.parametrize(
    "instead", [{"tool_calls": [{"id": "1"}]}, {"function_call": {"name": "f"}}, {"refusal": "No."}, {"audio": {"id": "1"}}]
)
def test_29_an_assistant_turn_may_have_no_content_where_the_api_allows_it(instead):
    messages = [*HELLO, {"role": "assistant", "content": None, **instead}]
    assert pd.DataFrame({"m": [messages]}).tsn.messages(messages="m").tolist() == [messages]
    with pytest.raises(tsn.errors.PromptError, match="no content"):
        pd.DataFrame({"m": [[*HELLO, {"role": "user", "content": None, **instead}]]}).tsn.messages(messages="m")


def test_29_bytes_in_a_cell_are_an_error_that_says_how_to_decode_them():
    for value in (b"caf\xc3\xa9", bytearray(b"x"), memoryview(b"x"), [b"x"], {"a": b"x"}, np.array([b"x"])):
        with pytest.raises(
            tsn.errors.PromptError, match=r"column 't' holds bytes.*str.decode|column 't' holds (bytearray|memoryview)"
        ):
            pd.DataFrame({"t": [value]}).tsn.messages("{t}")


def test_30_blanks_around_a_model_are_stripped_with_a_warning(client, sim):
    with pytest.warns(UserWarning, match="blanks around it: 'sim-small' is sent"):
        ask(pd.DataFrame({"t": ["x"]}), client, "{t}", model=" sim-small\n")
    assert sim.log[0].body["model"] == "sim-small"


def test_30_stop_takes_as_many_texts_as_the_service_does(client, sim):
    ask(pd.DataFrame({"t": ["x"]}), client, "{t}", stop=list("abcdef"), errors="coerce")
    assert sim.log[0].body["stop"] == list("abcdef")


# 30 to 34: parameters


BAD = [
    *[("temperature", value) for value in (3, -1, "0.2", np.nan, True, np.inf, [0.1], 10**400)],
    *[("top_p", value) for value in (1.1, -0.1, "1")],
    *[("frequency_penalty", value) for value in (2.1, -2.1, np.float32("nan"))],
    *[("presence_penalty", value) for value in (-3, False)],
    *[("max_tokens", value) for value in (0, -5, 1.5, 1e3, True, "5", np.nan, 2**63)],
    *[("stop", value) for value in ("", ["a", ""], 5, [], [1], ["\ud800"])],
    *[("model", value) for value in ("", " ", 5, "\ud800", "a\x00b", "a\nb", "a\x7f")],
    *[("repeat", value) for value in (-1, 1.0, "1", True)],
    *[("seed", value) for value in (1.0, "7", True, 2**63, -(2**63) - 1, [1])],
    *[
        ("response_format", value)
        for value in (
            "json_object",
            {},
            {"type": 1},
            {"type": "json_schema"},
            {"type": "json_schema", "json_schema": {"schema": {}}},
            {"type": "text", "a": np.nan},
        )
    ],
    *[("extra_body", value) for value in ("x", {"a": np.nan}, {"a": {1}}, {1: 2}, {"a": 2**70}, {"a": object()}, {"a\ud800": 1})],
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=lambda value: stable_repr(value)[:30])
def test_30_to_32_a_parameter_out_of_its_range_is_refused_before_sending(client, sim, name, value):
    with pytest.raises(tsn.errors.ParameterError, match=name):
        ask(pd.DataFrame({"t": ["x"]}), client, "{t}", **{name: value})
    assert sim.stats().requests == 0


def test_30_to_32_the_edges_and_numpy_scalars_are_fine(client, sim):
    words = {
        "temperature": np.float64(2), "top_p": np.array(0), "frequency_penalty": np.int64(-2), "presence_penalty": np.float32(0.1),
        "max_tokens": np.int64(5), "stop": ("a", np.str_("b")), "repeat": np.int8(0), "extra_body": {"seed": np.int64(7), "x": {"b": (1,), "a": np.array([1.5])}},
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)  # five tokens may cut the answer off
        ask(pd.DataFrame({"t": ["x"]}), client, "{t}", **words)
    body = dict(sim.log[0].body)
    assert body.pop("messages") and body.pop("model") == "sim-small"
    assert body == {
        "temperature": 2.0, "top_p": 0.0, "frequency_penalty": -2.0, "presence_penalty": 0.1, "max_tokens": 5, "stop": ["a", "b"],
        "seed": 7, "x": {"a": [1.5], "b": [1]},
    }  # fmt: skip


def test_30_what_is_not_given_is_not_in_the_body(client, sim):
    ask(pd.DataFrame({"t": ["x"]}), client, "{t}", temperature=None)
    assert list(sim.log[0].body) == ["model", "messages"]


def test_30_per_row_values_go_to_their_rows(client, sim):
    df = pd.DataFrame({"t": ["a", "b"], "heat": [0.5, 1.0]}, index=["x", "x"])
    ask(
        df,
        client,
        "{t}",
        temperature=df["heat"],
        max_tokens=lambda d: d["heat"].mul(100).astype(int),
        stop=pd.Series([["a"], "b"], index=df.index),
    )
    found = {e.body["messages"][-1]["content"]: (e.body["temperature"], e.body["max_tokens"], e.body["stop"]) for e in sim.log}
    assert found == {"a": (0.5, 50, ["a"]), "b": (1.0, 100, "b")}


def test_30_a_series_in_another_order_is_aligned(client, sim):
    df = pd.DataFrame({"t": ["a", "b"]}, index=["x", "y"])
    ask(df, client, "{t}", max_tokens=pd.Series([30, 20, 10], index=["z", "y", "x"]) * 10)
    assert {e.body["messages"][-1]["content"]: e.body["max_tokens"] for e in sim.log} == {"a": 100, "b": 200}


def test_30_a_series_that_cannot_be_aligned_is_refused(client, sim):
    df = pd.DataFrame({"t": ["a", "b"]}, index=["x", "y"])
    for index, message in (
        (["x", "x"], "duplicates"),
        (["x", "z"], "no value for 1 rows of the frame, the first is 'y'"),
        ([1, "x"], "'y'"),
    ):
        with pytest.raises(tsn.errors.ParameterError, match=message):
            ask(df, client, "{t}", temperature=pd.Series([0.1, 0.2], index=pd.Index(index, dtype=object)))
    assert sim.stats().requests == 0


@pytest.mark.parametrize("gap", [np.nan, None, pd.NA])
@pytest.mark.parametrize("dtype", [object, "Float64"])
def test_30_a_gap_in_a_rows_parameter_is_refused(client, gap, dtype):
    df = pd.DataFrame({"t": ["a", "b"]}, index=["x", "y"])
    with pytest.raises(tsn.errors.ParameterError, match="temperature is missing in 1 rows, the first is 'y'"):
        ask(df, client, "{t}", temperature=pd.Series([0.1, gap], index=df.index, dtype=dtype))


def test_30_a_rows_parameter_out_of_its_range_names_the_row(client):
    df = pd.DataFrame({"t": ["a", "b"]}, index=["x", "y"])
    with pytest.raises(tsn.errors.ParameterError, match="in row 'y': temperature must be from 0 to 2, got 3"):
        ask(df, client, "{t}", temperature=pd.Series([1, 3], index=df.index))
    with pytest.raises(tsn.errors.ParameterError, match="in row 'x': stop must be"):
        ask(df, client, "{t}", stop=pd.Series([(["a"],), "b"], index=df.index))


@pytest.mark.skipif(not hasattr(pd, "col"), reason="pandas 3 has pd.col")
def test_30_an_expression_of_pandas_3_is_a_value_a_row(client, sim):
    df = pd.DataFrame({"t": ["a", "b"], "heat": [0.5, 1.0]})
    ask(df, client, "{t}", temperature=pd.col("heat") / 2)
    assert sorted(e.body["temperature"] for e in sim.log) == [0.25, 0.5]


def test_30_extra_body_may_differ_by_row(client, sim):
    df = pd.DataFrame({"t": ["a", "a"]})
    ask(df, client, "{t}", extra_body=pd.Series([{"seed": 1}, {"seed": 2}]))
    assert sorted(e.body["seed"] for e in sim.log) == [1, 2]


def test_30_seed_and_response_format_may_differ_by_row(client, sim):
    df = pd.DataFrame({"t": ["a", "a"], "n": [1, -2]})
    ask(df, client, "{t}", seed=df["n"], response_format={"type": "json_object"})
    assert sorted(e.body["seed"] for e in sim.log) == [-2, 1]
    assert [e.body["response_format"] for e in sim.log] == [{"type": "json_object"}] * 2


def test_34_a_field_that_is_given_by_name_and_in_extra_body_is_refused(client, sim):
    with pytest.raises(tsn.errors.ParameterError, match="extra_body has 'seed', which is given as seed= too"):
        ask(pd.DataFrame({"t": ["x"]}), client, "{t}", seed=1, extra_body={"seed": 2})
    assert sim.stats().requests == 0


def test_33_an_unknown_parameter_is_refused_before_sending(client, sim):
    with pytest.raises(TypeError, match="temprature"):
        ask(pd.DataFrame({"t": ["x"]}), client, "{t}", temprature=1)
    assert sim.stats().requests == 0


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("temperature", "give temperature="),
        ("model", "give model="),
        ("messages", "give prompt= or messages="),
        ("stream", "give stream=True"),
        ("n", "not for frames"),
    ],
)
def test_34_extra_body_with_a_named_field_is_refused(client, sim, field, message):
    with pytest.raises(tsn.errors.ParameterError, match=message):
        ask(pd.DataFrame({"t": ["x"]}), client, "{t}", extra_body={field: 1})
    assert sim.stats().requests == 0


def test_34_several_answers_are_not_for_frames(client):
    with pytest.raises(TypeError):
        ask(pd.DataFrame({"t": ["x"]}), client, "{t}", n=2)


@pytest.mark.parametrize("value", [1, "yes", None])
def test_34_a_stream_that_is_neither_true_nor_false_is_refused(client, sim, value):
    with pytest.raises(tsn.errors.ParameterError, match="stream must be True or False"):
        ask(pd.DataFrame({"t": ["x"]}), client, "{t}", stream=value)
    assert sim.stats().requests == 0


def test_34_a_streamed_answer_is_the_same_request(client, sim):
    df = pd.DataFrame({"t": ["x", "y"]})
    streamed = ask(df, client, "{t}", stream=True)
    assert [e.body["stream"] for e in sim.log] == [True, True] and streamed["error"].isna().all()
    again = ask(df, client, "{t}")
    assert again["cached"].all() and again["content"].equals(streamed["content"])
    assert again["completion_tokens"].equals(streamed["completion_tokens"])


@pytest.mark.parametrize("value", [0, -1, 1.5, "8", True])
def test_35_a_concurrency_that_is_none_is_refused(value):
    with pytest.raises(tsn.errors.ConfigError, match="concurrency"):
        tsn.Limits(concurrency=value)


def test_36_a_series_is_asked_by_its_name(client, sim):
    found = pd.Series(["a", None, "b"], name="my text", index=[5, 6, 5])
    with pytest.warns(tsn.errors.TSNWarning, match="1 of 3"):
        out = found.tsn.complete("Say {my text}", client=client, progress=False)
    assert sorted(sent(sim)) == ["Say a", "Say b"]
    assert out.index.tolist() == [5, 6, 5]
    assert out.isna().tolist() == [False, True, False]
    assert pd.Series(["x"]).tsn.messages("{value}").iloc[0][0]["content"] == "x"


def test_36_a_frame_without_columns_is_reported(client):
    with pytest.raises(tsn.errors.PromptError, match="; there are none"):
        ask(pd.DataFrame(index=[1, 2]), client, "{t}")


def test_36_what_is_not_a_frame_is_refused(client):
    for given in ([1], {"t": [1]}, pd.Series(["x"]), None):
        with pytest.raises(tsn.errors.ParameterError, match="a pandas DataFrame is needed"):
            tsn.complete(given, "{t}", client=client)


def test_36_output_words_are_checked(client):
    df = pd.DataFrame({"t": ["x"]})
    for words in (
        {"name": 5},
        {"name": ""},
        {"include": ("modell",)},
        {"errors": "ignore"},
        {"cache": True},
        {"refresh": [True]},
        {"tag": 5},
    ):
        with pytest.raises(tsn.errors.ParameterError):
            ask(df, client, "{t}", **words)


# 37 to 44: address, key, environment


@pytest.mark.parametrize(
    "given",
    [
        "api.example.com",
        "api.example.com/v1",
        "htps://api.example.com",
        "file:///etc/passwd",
        "https://",
        "//api.example.com",
        "ftp://x.io",
    ],
)
def test_37_a_base_url_without_a_usable_scheme_is_refused(given):
    with pytest.raises(tsn.errors.ConfigError, match=r"must begin with https://|usable host"):
        tsn.Client(given)
    if "example" in given:
        with pytest.raises(tsn.errors.ConfigError, match="did you mean 'https://"):
            tsn.Client(given)


@pytest.mark.parametrize(
    ("given", "form"),
    [
        *[(f"https://api.example.com{end}", "https://api.example.com/v1") for end in
          ("", "/", "/v1", "/v1/", "/v1//", "//v1", "/v1/chat/completions", "/v1/chat/completions/", "/v1//chat/completions")],
        *[(f"https://api.example.com{end}", "https://api.example.com/chat/completions") for end in
          ("/chat/completions", "//chat/completions/")],
        (" https://API.Example.com:443/v1\n", "https://api.example.com/v1"), ("https://x.io:8443/proxy/v1", "https://x.io:8443/proxy/v1"),
        ("https://x.io/Open/AI", "https://x.io/Open/AI"), ("http://localhost:8000", "http://localhost:8000/v1"), ("http://[::1]:80", "http://[::1]/v1"),
        ("HTTP://127.0.0.1/v1", "http://127.0.0.1/v1"),
    ],
)  # fmt: skip
def test_38_every_form_of_a_base_url_is_one(given, form):
    assert normalise(given) == form
    assert normalise(form) == form


@pytest.mark.parametrize(
    "given",
    [
        "https://x.io/v1?k=1", "https://x.io/v1?", "https://x.io/v1#a", "https://me:hidden@x.io/v1", "https://hidden@x.io", "https://me:hidden\u2100@x.io",
        "https://x.io:hidden/v1", "https://x .io", "https://x.io/v 1", "https://[hidden", "https://x.io:99999",
    ],
)  # fmt: skip
def test_39_a_base_url_with_more_in_it_is_refused_without_showing_a_password(given):
    with pytest.raises(tsn.errors.ConfigError, match="base_url") as caught:
        tsn.Client(given)
    assert "hidden" not in str(caught.value)


def test_40_http_to_another_machine_is_refused_unless_allowed():
    for host in ("example.com", "127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "0.0.0.0"):
        with pytest.raises(tsn.errors.ConfigError, match="allow_http=True"):
            tsn.Client(f"http://{host}")
        assert tsn.Client(f"http://{host}", allow_http=True).base_url == f"http://{host}/v1"
        assert not is_loopback(host)


@pytest.mark.parametrize("key", ["tsn_live\nX: y", "tsn_live_\x00", "tsn live", "tsn_live_ü", "tsn_live_\u200b"])
def test_41_a_key_that_no_header_can_hold_is_refused_unseen(key):
    with pytest.raises(tsn.errors.ConfigError, match="can't stand in a header") as caught:
        tsn.Client(api_key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        "Bearer tsn_test_1",
        "bearer  tsn_test_1",
        '"tsn_test_1"',
        "'tsn_test_1'",
        " tsn_test_1 ",
        "tsn_test_1\n",
        "Bearer 'tsn_test_1'",
    ],
)
def test_42_what_stands_around_a_key_is_taken_off_with_a_warning(key):
    with pytest.warns(tsn.errors.TSNWarning, match="taken off"):
        assert Secret(key).reveal() == "tsn_test_1"


@pytest.mark.parametrize("key", ["", "  ", None, "''"])
def test_42_without_a_key_the_three_ways_to_give_one_are_named_in_order(key):
    with pytest.raises(tsn.errors.ConfigError, match=r"(?s)api_key=.*set_key\(\).*TSN_API_KEY"):
        ask(pd.DataFrame({"t": ["x"]}), tsn.Client("https://api.example.com", api_key=key, model="m"), "{t}")


def test_42_the_key_of_the_environment_is_read_when_it_is_needed(sim, client, monkeypatch):
    plain = tsn.Client(sim.base_url, model="sim-small", cache=client.cache.folder)
    monkeypatch.setenv("TSN_API_KEY", "tsn_test_2")
    ask(pd.DataFrame({"t": ["x"]}), plain, "{t}")
    assert sim.log[0].key_sent


@pytest.mark.parametrize("proxy", ["gopher://me:hidden@127.0.0.1:1", "http://me:hidden@127.0.0.1:1"])
def test_44_a_proxy_that_cannot_be_used_is_reported_without_its_password(monkeypatch, tmp_path, proxy):
    monkeypatch.setenv("ALL_PROXY", proxy)
    client = tsn.Client("https://api.example.com", api_key="tsn_test_1", model="m", cache=tmp_path, retry=tsn.Retry(attempts=1))
    with pytest.raises(tsn.errors.TSNError) as caught:
        ask(pd.DataFrame({"t": ["x"]}), client, "{t}")
    assert "hidden" not in str(caught.value)
    assert "tsn_test_1" not in str(caught.value)


# 50, 51, 53, 54: where it is called, and what comes back


def test_50_two_threads_on_one_frame_get_the_same(client, sim):
    df = pd.DataFrame({"t": [f"row {i}" for i in range(20)]})
    found = {}
    threads = [threading.Thread(target=lambda n=n: found.update({n: ask(df, client, "{t}")})) for n in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert found[0]["content"].tolist() == found[1]["content"].tolist()
    assert sim.stats().requests == 20


def test_51_it_works_where_an_event_loop_runs(client):
    async def cell():
        df = pd.DataFrame({"t": ["x"]})
        return ask(df, client, "{t}"), await df.tsn.acomplete("{t}", client=client, progress=False)

    blocking, awaited = asyncio.run(cell())
    assert blocking["content"].tolist() == awaited["content"].tolist()


@pytest.mark.parametrize("fault", ["no_usage", "absurd_usage"])
def test_53_usage_that_is_none_is_unknown_and_never_zero(client, sim, tmp_path, fault):
    sim.faults = Faults(**{fault: 1.0})
    priced = tsn.Client(
        sim.base_url, model="sim-small", prices={"sim-small": (1, 1)}, cache=tmp_path / "c", ledger=tmp_path / "l.db"
    )
    with pytest.warns(tsn.errors.TSNWarning, match="at least"):
        out = ask(pd.DataFrame({"t": ["x"]}), priced, "{t}")
    assert out["content"].notna().all()
    assert out[["prompt_tokens", "completion_tokens", "total_tokens", "cost"]].isna().to_numpy().all()


@pytest.mark.parametrize("fault", ["html", "gzip_bomb", "malformed", "empty_body"])
def test_54_an_answer_that_is_none_is_its_rows_error(client, sim, fault):
    sim.faults = Faults(**{fault: 1.0})
    quick = tsn.Client(sim.base_url, model="sim-small", cache=client.cache.folder, retry=tsn.Retry(unreadable=1))
    with pytest.warns(tsn.errors.TSNWarning, match="1 of 1 row"):
        out = ask(pd.DataFrame({"t": ["x"]}), quick, "{t}")
    assert out["error"].iloc[0].startswith("unreadable: ")
    assert len(out["error"].iloc[0]) < 500
    assert "<script" not in out["error"].iloc[0]


def test_54_a_paid_answer_with_halves_of_surrogate_pairs_is_read():
    from tsn_frames.api import decode, error_of

    half = b'{"choices":[{"message":{"content":"a\\ud800b \\ud83d\\ude00"},"finish_reason":"stop"}],"usage":null}'
    assert decode(half).content == "a\ufffdb \U0001f600"
    assert error_of(b'{"error":{"message":"no \\ud800"}}')[0].encode()
