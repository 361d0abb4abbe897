"""start() and estimate() take every paying verb, as a method and as a function, with its own words and checks."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
import warnings

import pandas as pd
import pytest

import tsn_frames as tsn
from tsn_frames.api.parameters import NAMES, ORDER, ApiParameters
from tsn_frames.simulator import Simulator
from tsn_frames.verbs.run.verb_options import CompleteOptions

ASK = "Which tone? {text}"
MODELS = ["sim-small", "sim-large"]


@pytest.fixture
def df():
    return pd.DataFrame({"text": [f"text {n}" for n in range(8)]})


@pytest.fixture
def source(tmp_path, df):
    df.to_parquet(tmp_path / "in.parquet")
    return tmp_path / "in.parquet"


def test_start_returns_the_run_of_a_method_and_of_a_function(df, client, sim):
    for run in (
        tsn.start(df.tsn.complete, ASK, client=client),
        tsn.start(tsn.complete, df, ASK, client=client),
        df.tsn.start(ASK, client=client),
    ):
        assert isinstance(run, tsn.Run)
        assert run.result(progress=False)["error"].isna().all()
    assert sim.stats().requests == len(df)


def test_the_run_of_a_series_returns_a_series(df, client):
    found = tsn.start(df["text"].tsn.complete, ASK, client=client).result(progress=False)
    pd.testing.assert_series_equal(found, df["text"].tsn.complete(ASK, client=client, progress=False))


def test_a_comparison_in_the_background_has_the_result_and_the_counts_of_all_its_models(df, client, sim):
    run = tsn.start(df.tsn.compare, ASK, models=MODELS, client=client)
    found = run.result(progress=False)
    assert isinstance(found, tsn.Comparison) and list(found.table.index) == MODELS
    assert run.done and run.progress.rows == 2 * len(df) == run.progress.answered == run.summary.requests == sim.stats().requests
    assert run.wait(progress=False) and run.result(progress=False) is found
    assert "16 of 16 rows answered" in str(run.summary) and "done" in repr(run)
    assert len(run.frame) == len(df) and len(list(run.answers())) == len(df) and run.client == client


def test_a_file_in_the_background_is_written_and_counted(source, tmp_path, client):
    run = tsn.start(tsn.complete_file, source, tmp_path / "out", ASK, chunksize=3, client=client)
    done = asyncio.run(run.aresult(progress=False))
    assert isinstance(done, tsn.FileSummary)
    assert (done.parts, done.rows, run.progress.rows) == (3, 8, 8)
    assert pd.read_parquet(tmp_path / "out")["error"].isna().all()


@pytest.mark.parametrize("verb", ["compare", "complete_file"])
def test_a_verb_of_several_runs_is_stopped_as_a_whole(tmp_path, verb):
    df, source = pd.DataFrame({"text": [f"text {n}" for n in range(200)]}), tmp_path / "in.parquet"
    df.to_parquet(source)
    with Simulator(latency=0.2) as slow:
        client = tsn.Client(
            slow.base_url, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db", limits=tsn.Limits(1)
        )
        if verb == "compare":
            run = tsn.start(df.tsn.compare, ASK, models=MODELS, client=client)
        else:
            run = tsn.start(tsn.complete_file, source, tmp_path / "out", ASK, chunksize=100, client=client)
        while not run.progress.answered:
            run.wait(0.05, progress=False)
        run.stop()
        with (
            pytest.raises(tsn.RunError, match="stopped"),
            pytest.warns(tsn.errors.TSNWarning, match="not sent, since the run was stopped"),
        ):
            run.result(progress=False)
        assert run.done and 0 < slow.stats().requests < 100
        assert slow.stats().requests == len(client.ledger.to_frame())


def test_warnings_of_several_runs_reach_the_waiting_thread(df, client):
    df.loc[3, "text"] = None
    with warnings.catch_warnings(record=True) as before:
        warnings.simplefilter("always")
        run = tsn.start(df.tsn.compare, ASK, models=MODELS, client=client, max_tokens=1)
    assert ["missing" in str(one.message) for one in before] == [True]
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        run.result(progress=False)
    assert [one.filename for one in found] == [__file__] * len(found)
    assert any("cut off by max_tokens" in str(one.message) for one in found)


def test_the_error_of_a_run_in_the_background_is_raised_by_its_result(df, client, sim):
    run = tsn.start(df.tsn.compare, ASK, models=["no-such-model"], client=client)
    with pytest.raises(tsn.errors.ModelError):
        run.result(progress=False)
    assert run.done


def test_a_mistake_is_found_before_a_run_is_started(df, source, tmp_path, client, sim):
    for verb, args, words in [
        (df.tsn.complete, (), {}),
        (df.tsn.compare, (), {"models": MODELS}),
        (tsn.complete_file, (source, tmp_path / "out"), {}),
    ]:
        for call in (tsn.start, tsn.estimate):
            with pytest.raises(tsn.errors.ParameterError, match="temperature"):
                call(verb, *args, ASK, temperature=9, client=client, **words)
            with pytest.raises(TypeError, match="no parameter 'temprature'; did you mean 'temperature'"):
                call(verb, *args, ASK, temprature=1, client=client, **words)
    assert sim.stats().requests == 0


@pytest.mark.parametrize("call", [tsn.start, tsn.estimate])
def test_what_is_not_a_paying_verb_is_refused(df, client, call):
    for verb, named in [(df, "a DataFrame"), (len, "function len"), (df.tsn.usage, "function usage"), (df.tsn, "FrameAccessor")]:
        with pytest.raises(TypeError, match=f"{named} is not a verb that sends requests.*tsn.start.df.tsn.complete"):
            call(verb, ASK)


@pytest.mark.parametrize(("word", "successor"), [("background", r"tsn\.start\(verb"), ("dry_run", r"tsn\.estimate\(verb")])
def test_a_replaced_word_names_its_successor(df, source, tmp_path, client, sim, word, successor):
    for verb, args in [
        (df.tsn.complete, ()),
        (df.tsn.acomplete, ()),
        (df["text"].tsn.complete, ()),
        (tsn.complete, (df,)),
        (df.tsn.compare, ()),
        (tsn.complete_file, (source, tmp_path / "out")),
    ]:
        with pytest.raises(TypeError, match=f"'{word}'; {successor}"):
            found = verb(*args, ASK, client=client, **{word: True})
            asyncio.run(found)
    assert sim.stats().requests == 0


def test_the_short_forms_have_the_words_of_complete(df):
    words = list(inspect.signature(df.tsn.complete).parameters)
    assert list(inspect.signature(df.tsn.start).parameters) == list(inspect.signature(df.tsn.acomplete).parameters) == words
    assert set(words) <= set(inspect.signature(df.tsn.estimate).parameters)
    for method in (df.tsn.start, df.tsn.acomplete, df.tsn.complete):
        text = inspect.getdoc(method)
        named = {name.strip() for line in text.splitlines() if " : " in line for name in line.split(" : ")[0].split(",")}
        assert set(words) <= named, method


def test_every_parameter_of_the_api_is_an_option_once():
    assert set(ApiParameters.__annotations__) == set(NAMES)
    assert list(ApiParameters.__annotations__)[: len(ORDER)] == list(ORDER)
    assert set(NAMES) <= set(CompleteOptions.__annotations__)


def test_tab_completes_the_words_of_a_verb():
    """In its own process: IPython keeps one shell."""
    completions = {
        "df.tsn.complete(resp": "response_format=",
        "df.tsn.start(max_c": "max_cost=",
        "df.tsn.estimate(pil": "pilot=",
        "tsn.compare(df, see": "seed=",
        "df['text'].tsn.complete(str": "stream=",
        "tsn.Chat(temp": "temperature=",
    }
    program = f"""
import json, pandas as pd, tsn_frames as tsn
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.completer import provisionalcompleter
shell = InteractiveShell.instance(user_ns={{"tsn": tsn, "df": pd.DataFrame({{"text": ["a"]}})}})
shell.Completer.use_jedi = False
with provisionalcompleter():
    print(json.dumps([[one.text for one in shell.Completer.completions(code, len(code))] for code in {list(completions)!r}]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for found, completion in zip(json.loads(done.stdout), completions.values(), strict=True):
        assert completion in found
