"""A file that is larger than memory: parts, resuming, one schema, nothing paid twice."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from support.simulators import set_latency
from support.waiting import wait_until

import tsn_frames as tsn
from tsn_frames.simulator import Simulator
from tsn_frames.verbs.files.parquet import Source

PROMPT = "Which topic? {text}"
DTYPES = {
    "content": "string", "finish_reason": "string", "prompt_tokens": "Int64", "completion_tokens": "Int64",
    "total_tokens": "Int64", "cost": "Float64", "cached": "boolean", "error": "string",
}  # fmt: skip


def frame(rows=10):
    return pd.DataFrame({"text": [f"message {i}" for i in range(rows)], "n": np.arange(rows)})


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.parquet"
    frame().to_parquet(path, row_group_size=3)
    return path


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out.parquet"


def ask(source, target, client, prompt=PROMPT, **words):
    return tsn.complete_file(source, target, prompt, client=client, **{"chunksize": 4, "progress": False, **words})


def schemas(target):
    return {str(parquet.read_schema(file)) for file in sorted(target.iterdir())}


def names(target):
    return sorted(file.name for file in target.iterdir())


# What comes out


def test_the_parts_are_what_complete_returns(source, target, client):
    """Same rows, order, columns and dtypes, and of the cost the one bill."""
    done = ask(source, target, client)
    out = pd.read_parquet(target)
    again = frame().tsn.complete(PROMPT, client=client, progress=False)
    pd.testing.assert_frame_equal(out.drop(columns=["cost", "cached"]), again.drop(columns=["cost", "cached"]))
    assert {name: str(dtype) for name, dtype in out.dtypes.items() if name in DTYPES} == DTYPES
    assert names(target) == [f"part-0000{i}.parquet" for i in range(3)] and len(schemas(target)) == 1
    assert (done.parts, done.rows, done.answered, done.requests, done.path) == (3, 10, 10, 10, target)
    assert str(done).endswith(f"3 parts in {target}")


def test_last_run_is_the_last_part(source, target, client):
    ask(source, target, client)
    assert tsn.last_run().summary.rows == 2 and len(tsn.last_run().frame) == 2


def test_equal_rows_of_different_parts_are_paid_for_once(sim, target, client, tmp_path):
    pd.DataFrame({"text": ["same", "other"] * 6}).to_parquet(tmp_path / "in.parquet")
    done = ask(tmp_path / "in.parquet", target, client)
    assert sim.stats().requests == done.requests == 2
    assert ask(tmp_path / "in.parquet", tmp_path / "off", client, cache="off").requests == 6  # two in each of three parts


def test_what_the_source_holds_is_kept_as_it_is(target, client, tmp_path):
    """Types that a frame would change: nested, decimal, dictionary, dates, times with a zone, whole numbers with gaps."""
    table = pa.table({
        "text": ["a", "b", None],
        "list": [[1, 2], None, []],
        "decimal": pa.array([Decimal("1.10"), None, Decimal("2.20")]),
        "word": pa.array(["x", "y", None]).dictionary_encode(),
        "day": pa.array([0, 1, None], pa.date32()),
        "when": pa.array([0, 1, None], pa.timestamp("ms", "Europe/Berlin")),
        "whole": pa.array([2**60 + 1, None, 3], pa.int64()),
    })  # fmt: skip
    parquet.write_table(table, tmp_path / "in.parquet")
    with pytest.warns(tsn.errors.TSNWarning, match="part 1: 1 of 1 rows is not sent"):
        ask(tmp_path / "in.parquet", target, client, chunksize=2)
    out = parquet.read_table(target)
    assert out.select(table.column_names).equals(table)
    assert len(schemas(target)) == 1 and str(pd.read_parquet(target)["content"].dtype) == "string"


@pytest.mark.parametrize("index", [pd.Index(list("abcdefghij"), name="id"), pd.RangeIndex(5, 25, 2), pd.RangeIndex(10)])
def test_the_index_is_restored(target, client, tmp_path, index):
    df = frame().set_index(index)
    df.attrs["note"] = "kept"
    df.to_parquet(tmp_path / "in.parquet")
    ask(tmp_path / "in.parquet", target, client)
    pd.testing.assert_frame_equal(pd.read_parquet(target)[["text", "n"]], df)


def test_every_part_has_one_schema_though_all_of_it_is_missing(sim, target, client, tmp_path):
    """A part without one answer, and facts that are nested, keep the types of the others."""
    pd.DataFrame({"text": [None, None, "a", "b"]}).to_parquet(tmp_path / "in.parquet")
    facts = ("model", "answered_at", "request_key", "reasoning", "logprobs", "cached_tokens", "cost_source")
    with pytest.warns(tsn.errors.TSNWarning, match="not sent"):
        ask(tmp_path / "in.parquet", target, client, chunksize=2, include=facts, name="topic")
    assert len(schemas(target)) == 1
    out = pd.read_parquet(target)
    assert str(out["topic_answered_at"].dtype) == "datetime64[us]" and out["topic"].isna().tolist() == [
        True,
        True,
        False,
        False,
    ]


def test_an_empty_file_gives_an_empty_part(sim, target, client, tmp_path):
    frame(0).to_parquet(tmp_path / "in.parquet")
    done = ask(tmp_path / "in.parquet", target, client)
    out = pd.read_parquet(target)
    assert (done.parts, done.rows, len(out), sim.stats().requests) == (1, 0, 0, 0)
    assert {name: str(out[name].dtype) for name in DTYPES} == DTYPES


def test_the_output_of_one_is_the_source_of_another(source, target, client, tmp_path):
    ask(source, target, client, name="first")
    ask(target, tmp_path / "second", client, "Is this right? {first}", name="second", usage=False, chunksize=3)
    out = pd.read_parquet(tmp_path / "second")
    assert out["second"].notna().all() and out["n"].tolist() == list(range(10))


def test_parameters_come_from_the_piece(sim, source, target, client):
    """A callable gets each piece: so values one a row have a way in."""
    done = ask(source, target, client, temperature=lambda df: df["n"] / 10, tag="night", refresh=lambda df: df["n"] < 0)
    assert done.answered == 10 and set(client.ledger.to_frame()["tag"]) == {"night"}


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(0, 40), groups=st.integers(1, 50), chunksize=st.integers(1, 50))
def test_pieces_are_the_file_in_order(tmp_path_factory, rows, groups, chunksize):
    """Whatever its row groups are, all pieces but the last are whole, and together they are the file."""
    path = tmp_path_factory.mktemp("law") / "in.parquet"
    frame(rows).to_parquet(path, row_group_size=groups)
    found = Source(path, chunksize)
    pieces = list(found.pieces())
    assert [len(piece) for piece in pieces[:-1]] == [chunksize] * (len(pieces) - 1) and len(pieces) == found.parts
    assert pa.concat_tables(pieces).equals(parquet.read_table(path))


# Going on


def estimate(source, target, client, **words):
    return tsn.estimate(tsn.complete_file, source, target, PROMPT, client=client, chunksize=4, **words)


def test_an_estimate_adds_up_the_parts_and_sends_and_writes_nothing(sim, source, target, client):
    """The whole file's rows, requests, tokens and money; the budget is held against the sum, and what is cached is seen."""
    client = tsn.Client(client.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path,
                        prices={"sim-small": (1, 2)})  # fmt: skip
    found = estimate(source, target, client, max_tokens=200)
    one = frame().tsn.estimate(PROMPT, client=client, max_tokens=200)
    assert sim.stats().requests == 0 and not target.exists()
    assert (found.rows, found.requests, found.to_send, found.currency) == (10, 10, 10, None)
    assert found.cost_upper_bound == pytest.approx(one.cost_upper_bound) and found.cost == pytest.approx(one.cost, nan_ok=True)
    assert found.completion_tokens == one.completion_tokens and "3 parts" in found.notes[-1]
    tight = estimate(source, target, client, max_tokens=200, max_cost=one.cost.high * 0.9)
    assert "more than the budget" in tight.notes[-1]
    with pytest.raises(tsn.errors.ParameterError, match="temperature"):
        estimate(source, target, client, temperature=9)
    done = ask(source, target, client, max_tokens=200)
    assert found.cost.low <= done.cost <= found.cost.high
    again = estimate(source, target, client, max_tokens=200)
    assert (again.cached, again.to_send, again.cost.high) == (10, 0, 0)


def test_a_call_that_is_run_again_sends_nothing(sim, source, target, client):
    ask(source, target, client)
    (target / ".part-00001-killed.tmp").write_bytes(b"half a part")
    before = pd.read_parquet(target)
    done = ask(source, target, client)
    assert (done.requests, done.cached, sim.stats().requests) == (0, 10, 10)
    pd.testing.assert_frame_equal(pd.read_parquet(target)[["content", "n"]], before[["content", "n"]])
    assert len(names(target)) == 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning")
def test_parts_that_are_whole_outlive_the_end_of_a_run(sim, source, target, client):
    """The budget runs out in the second part: the first is there, and the same call goes on from the cache."""
    frame(30).to_parquet(source)
    prices = tsn.Prices({"sim-small": (1_000_000, 1_000_000)})
    words = {"cache": client.cache.folder, "ledger": client.ledger.path, "limits": tsn.Limits(1), "prices": prices}
    priced = tsn.Client(client.base_url, model="sim-small", api_key="tsn_test_x", **words)
    one = tsn.complete(frame(1), PROMPT, client=priced, max_tokens=5, progress=False)["cost"].sum()
    with pytest.raises(tsn.BudgetExceeded) as caught:
        ask(source, target, priced, max_cost=one * 20, max_tokens=5)
    kept = len(pd.read_parquet(target))
    assert kept in range(4, 21, 4) and len(caught.value.partial) == 4
    assert f"{kept // 4} of 8 parts are whole" in caught.value.__notes__[0] and "is in the cache" in caught.value.__notes__[0]
    paid = priced.ledger.to_frame()["cost"].sum()
    assert one * 8 < paid <= one * 21 * 1.05  # over all parts, not in each
    assert ask(source, target, priced, max_tokens=5).answered == 30
    assert sim.stats().requests == 30 and len(pd.read_parquet(target)) == 30


SCRIPT = """
import sys, tsn_frames as tsn
url, folder = sys.argv[1:]
client = tsn.Client(url, model="sim-small", cache=folder, ledger=f"{folder}/ledger.db", limits=tsn.Limits(4))
tsn.complete_file(f"{folder}/in.parquet", f"{folder}/out", "Topic? {text}", client=client, chunksize=20, progress=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_or_a_kill_keeps_the_parts(tmp_path, how):
    """Whatever ends the process: whole parts stay, none is half, and only what was in flight is asked again."""
    frame(200).to_parquet(tmp_path / "in.parquet")
    requests = itertools.count(1)

    def answer(_):
        if next(requests) == 60:  # the last one of the third part
            set_latency(sim, 0.5)

    with Simulator(latency=0.02, answer=answer) as sim:
        words = [sys.executable, "-c", SCRIPT, sim.base_url, str(tmp_path)]
        child = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        while not (tmp_path / "out" / "part-00002.parquet").exists():
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(how)
        _, said = child.communicate(timeout=30)
        kept = len(pd.read_parquet(tmp_path / "out"))
        assert child.returncode != 0 and kept >= 60 and kept % 20 == 0
        if how == signal.SIGINT:
            assert f"{kept // 20} of 10 parts are whole and in" in said and "run the same call again" in said
        set_latency(sim, 0.0)
        subprocess.run(words, check=True)
        assert sim.stats().requests <= 200 + 4 and len(pd.read_parquet(tmp_path / "out")) == 200
    assert all(name.endswith(".parquet") for name in names(tmp_path / "out"))


def test_a_first_part_without_its_rows_is_not_counted(source, target, tmp_path):
    """It is there from the start, so that the output can be read; an interrupt in the first part's run says that none is whole."""
    with Simulator(latency=1.0) as sim:
        client = tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db", limits=tsn.Limits(1))
        press = threading.Thread(target=lambda: (wait_until(lambda: sim.stats().requests), os.kill(os.getpid(), signal.SIGINT)))
        press.start()
        with pytest.raises(KeyboardInterrupt, match=r"stopped: 0 of 3 parts are whole") as error:
            ask(source, target, client)
        press.join()
    assert names(target) == ["part-00000.parquet"] and "run the same call again" in str(error.value)


@pytest.mark.slow
def test_the_output_can_be_read_at_every_moment(tmp_path, target):
    """A reader beside the run sees whole parts only, each with all columns, from the first moment on."""
    frame(60).to_parquet(tmp_path / "in.parquet")
    seen, over, problems = [], threading.Event(), []

    def answer(body):
        """Let the reader see the parts so far before the next one is sent."""
        rows = int(body["messages"][-1]["content"].rpartition(" ")[2])
        if rows and rows % 5 == 0:
            wait_until(lambda: (rows, rows) in seen or problems)

    def read():
        while not over.is_set():
            if target.exists() and any(target.glob("part-*")):
                try:
                    out = pd.read_parquet(target)
                except Exception as error:  # noqa: BLE001 - reported by the test
                    problems.append(error)
                    return
                seen.append((len(out), int(out["content"].notna().sum())))

    with Simulator(latency=0.0, answer=answer) as sim:
        reader = threading.Thread(target=read)
        reader.start()
        client = tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "cache", ledger=tmp_path / "l.db")
        ask(tmp_path / "in.parquet", target, client, chunksize=5)
        over.set()
        reader.join()
    assert not problems
    assert all(rows == answered and rows % 5 == 0 for rows, answered in seen)
    assert {rows for rows, _ in seen} >= set(range(5, 60, 5))


def test_other_calls_are_not_written_over(sim, source, target, client):
    """Parts say in their own schema what they belong to; only overwrite=True deletes them, and nothing else ever."""
    ask(source, target, client)
    for words in ({"prompt": "Other {text}"}, {"chunksize": 5}, {"name": "topic"}, {"temperature": 1}):
        with pytest.raises(tsn.errors.ParameterError, match="holds 3 parts of another call"):
            ask(source, target, client, **words)
    assert ask(source, target, client, chunksize=6, overwrite=True).parts == 2 and len(names(target)) == 2
    (target / "notes.txt").write_text("mine")
    with pytest.raises(tsn.errors.ParameterError, match=r"notes\.txt"):
        ask(source, target, client, chunksize=3, overwrite=True)
    assert len(names(target)) == 3 and sim.stats().requests == 10


def test_a_function_is_the_same_call_wherever_it_stands(source, target, client):
    def piece(row):
        return f"Say {row['text']}"

    ask(source, target, client, piece, temperature=lambda df: df["n"] / 20)

    def piece(row):
        return f"Say {row['text']}"

    ask(source, target, client, piece, temperature=lambda df: df["n"] / 20)
    with pytest.raises(tsn.errors.ParameterError, match="another call"):
        ask(source, target, client, piece, temperature=lambda df: df["n"] / 10)


def test_a_shorter_source_leaves_no_old_part(source, target, client):
    ask(source, target, client)
    frame(5).to_parquet(source)
    assert ask(source, target, client).parts == 2 and len(pd.read_parquet(target)) == 5


@pytest.mark.slow
def test_damage_in_the_middle_names_the_file_and_keeps_the_parts_before_it(sim, target, client, tmp_path):
    path = tmp_path / "in.parquet"
    frame(40).to_parquet(path, row_group_size=8)
    at, data = parquet.ParquetFile(path).metadata.row_group(3).column(0).data_page_offset, bytearray(path.read_bytes())
    data[at : at + 40] = b"\xff" * 40
    path.write_bytes(data)
    with pytest.raises(tsn.errors.ParameterError, match=r"in\.parquet can't be read as Parquet") as raised:
        ask(path, target, client)
    assert "parts are whole" in raised.value.__notes__[0]
    assert pd.read_parquet(target)["content"].notna().all() and len(names(target)) == 6


# What is wrong is found before anything is sent


def series(value):
    return pd.Series([value] * 10)


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        ({"prompt": "Topic? {txt}"}, tsn.errors.PromptError, "did you mean 'text'"),
        ({"prompt": None}, tsn.errors.PromptError, "exactly one of"),
        ({"messages": "chats", "prompt": None}, tsn.errors.PromptError, "chats"),
        ({"system": "{nobody}"}, tsn.errors.PromptError, "nobody"),
        ({"temperature": 3}, tsn.errors.ParameterError, "from 0 to 2"),
        ({"temperature": series(0.5)}, tsn.errors.ParameterError, "temperature is a Series.*lambda df"),
        ({"repeat": np.arange(10)}, tsn.errors.ParameterError, "repeat is a ndarray"),
        ({"refresh": series(True)}, tsn.errors.ParameterError, "refresh is a Series"),
        ({"tag": series("a")}, tsn.errors.ParameterError, "tag is a Series"),
        ({"messages": series([]), "prompt": None}, tsn.errors.ParameterError, "messages is a Series"),
        ({"name": "text", "usage": False}, tsn.errors.ColumnError, "already"),
        ({"include": ["modell"]}, tsn.errors.ParameterError, "did you mean 'model'"),
        ({"chunksize": 0}, tsn.errors.ParameterError, "chunksize must be"),
        ({"chunksize": 1.5}, tsn.errors.ParameterError, "chunksize must be"),
        ({"errors": "ignore"}, tsn.errors.ParameterError, "errors must be"),
        ({"cache": "no"}, tsn.errors.ParameterError, "cache must be"),
        ({"max_cost": -1}, tsn.errors.ConfigError, "max_cost"),
        ({"missing": {"txt": ""}}, tsn.errors.PromptError, "txt"),
    ],
)
def test_bad_words_are_found_before_the_first_row(sim, source, target, client, words, error, says):
    with pytest.raises(error, match=says):
        ask(source, target, client, **words)
    assert sim.stats().requests == 0 and not target.exists()


def test_bad_paths_raise(sim, source, target, client, tmp_path):
    (tmp_path / "in.csv").write_text("text\nhello\n")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no PAR1")
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    frame().to_parquet(tmp_path / "mixed" / "a.parquet")
    frame().astype({"n": "float64"}).to_parquet(tmp_path / "mixed" / "b.parquet")
    parquet.write_table(pa.table([[1], [2]], names=["text", "text"]), tmp_path / "twice.parquet")
    (tmp_path / "file").write_text("")
    for given_source, given_target, says in [
        (tmp_path / "in.csv", target, "not a Parquet file.*COPY 'in.csv'"),
        (tmp_path / "bad.parquet", target, "can't be read as Parquet"),
        (tmp_path / "none.parquet", target, "there is no file"),
        (tmp_path / "empty", target, r"no \.parquet files"),
        (tmp_path / "mixed", target, "b.parquet has other columns or types than a.parquet"),
        (tmp_path / "twice.parquet", target, "'text' appears more than once"),
        (3, target, "source must be the path"),
        (source, None, "target must be the path"),
        (source, source, "is the source"),
        (tmp_path / "mixed", tmp_path / "mixed" / "out", "other columns|lies in it"),
        (source, tmp_path / "file", "is a file; the output is a directory"),
        (source, tmp_path / "no" / "out", "there is no folder"),
    ]:
        with pytest.raises((tsn.errors.ParameterError, tsn.errors.ColumnError), match=says):
            ask(given_source, given_target, client)
    assert sim.stats().requests == 0 and not target.exists()


def test_without_pyarrow_the_error_names_the_package_to_install(source, target, client, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(tsn.errors.ConfigError, match=r"pip install 'tsn-frames\[parquet\]'"):
        ask(source, target, client)


# Rows that fail, and their warnings


def test_a_warning_is_shown_once_and_not_once_a_part(target, client, tmp_path):
    pd.DataFrame({"text": ["a", None] * 10}).to_parquet(tmp_path / "in.parquet")
    with pytest.warns(tsn.errors.TSNWarning) as caught:
        done = ask(tmp_path / "in.parquet", target, client)
    assert [str(w.message)[:26] for w in caught] == ["part 0: 2 of 4 rows are no"] and done.missing == 10


@pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning")
def test_errors_raise_ends_after_all_parts(source, target, client):
    with pytest.raises(tsn.RunError, match="10 of 10 rows failed; all parts are in"):
        ask(source, target, client, cache="only", errors="raise")
    assert pd.read_parquet(target)["error"].str.startswith("not_cached").all()


def test_the_card_of_each_part_says_what_was_called(source, target, client):
    ask(source, target, client)
    assert tsn.runs(client=client)["verb"].tolist() == ["complete_file"] * 3


def test_a_file_that_takes_long_says_so_at_once_and_not_when_its_part_is_over(sim, source, target, client):
    """No part takes ten minutes, the file does: 40 rows at 3 a minute, of which the first part waits for more than a minute."""
    frame(40).to_parquet(source)
    slow = tsn.Client(client.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path,
                      limits=tsn.Limits(requests_per_minute=3))  # fmt: skip
    with (
        pytest.raises(
            tsn.errors.TSNWarning, match=r"part 0: this file will take about 1\d minutes: up to \d\d requests at 3 a minute"
        ),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error", tsn.errors.TSNWarning)  # a warning at the end of the part would come after a minute
        ask(source, target, slow)
    assert sim.stats().requests <= 3


def test_the_bar_goes_over_the_whole_file(source, target, client, capsys):
    done = ask(source, target, client, progress=True)
    said = capsys.readouterr().err
    assert "10/10" in said and "4/4" not in said and str(done) in said


@pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning")
def test_the_budget_of_a_run_is_that_of_the_whole_file(source, target, client, tmp_path):
    prices = tsn.Prices({"sim-small": (1_000_000, 1_000_000)})
    words = {"model": "sim-small", "api_key": "tsn_test_x", "prices": prices, "ledger": tmp_path / "ledger.db"}
    whole = ask(source, tmp_path / "first", tsn.Client(client.base_url, cache=tmp_path / "one", **words), max_tokens=5).cost
    tight = tsn.Client(client.base_url, cache=tmp_path / "two", budget={"run": whole / 2}, **words)
    with pytest.raises(tsn.BudgetExceeded):
        ask(source, target, tight, max_tokens=5)


def test_integers_beside_gaps_are_exact_and_no_prompt_depends_on_the_chunksize(tmp_path, client, sim):
    columns = {
        "id": [9007199254740993, 2, None, 4],
        "flag": [True, None, False, True],
        "list": [[1, None], [2**60 + 1], None, []],
    }
    types = {"id": pa.int64(), "flag": pa.bool_(), "list": pa.list_(pa.int64())}
    parquet.write_table(
        pa.table({name: pa.array(values, types[name]) for name, values in columns.items()}), tmp_path / "in.parquet"
    )
    for size in (1, 2, 4):
        ask(tmp_path / "in.parquet", tmp_path / f"out{size}", client, "{id} {flag} {list}", chunksize=size, missing="empty")
    prompts = [entry.body["messages"][-1]["content"] for entry in sim.log]
    assert sorted(prompts) == sorted(["9007199254740993 True [1, None]", "2  [1152921504606846977]", " False ", "4 True []"])


def test_files_of_a_folder_may_differ_as_pandas_and_pyarrow_tolerate(tmp_path, client):
    folder = tmp_path / "in"
    folder.mkdir()
    parquet.write_table(pa.table({"text": ["a", "b"], "n": [1, 2]}), folder / "a.parquet")
    parquet.write_table(pa.table({"n": [3], "text": pa.array(["c"], pa.large_string())}), folder / "b.parquet")
    parquet.write_table(pa.table({"text": pa.nulls(1), "n": [4]}), folder / "c.parquet")
    ask(folder, tmp_path / "out", client, "{text} {n}", missing="empty", chunksize=3)
    out = pd.read_parquet(tmp_path / "out")
    assert out["n"].tolist() == [1, 2, 3, 4] and out["content"].notna().all()
    assert [None if pd.isna(text) else text for text in out["text"]] == ["a", "b", "c", None]
    assert len(schemas(tmp_path / "out")) == 1
