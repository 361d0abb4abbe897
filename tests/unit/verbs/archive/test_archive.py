"""What ``archive`` writes: contents, report, and refusals before anything is written."""

from __future__ import annotations

import json
import zipfile

import pandas as pd
import pytest

import tsn_frames as tsn
from tsn_frames.errors import CacheError, ConfigError, ParameterError, TSNWarning

LABELS = ["delivery", "praise"]


def ask(client, rows=3, prompt="Say: {text}", **options):
    df = pd.DataFrame({"text": [f"message {number}" for number in range(rows)]})
    return df.tsn.complete(prompt, client=client, progress=False, **options)


def members(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def report(path):
    return members(path)["REPORT.md"].decode()


def test_the_report_has_every_figure(client, tmp_path, sim):
    priced = tsn.Client(sim.base_url, model="sim-small", cache=client.cache, ledger=client.ledger.path,
                        prices=tsn.Prices({"sim-small": (1, 2)}, currency="EUR"))  # fmt: skip
    out = ask(priced, rows=5, temperature=0.25, max_tokens=900)
    tsn.archive(tmp_path / "study.zip", out, client=priced)
    text = report(tmp_path / "study.zip")
    tokens = f"{out['prompt_tokens'].sum():,} prompt and {out['completion_tokens'].sum():,} completion tokens"
    for figure in (
        "The model asked was sim-small; answers name sim-small (5).", "max_tokens 900, repeat 0, temperature 0.25", "1 run (complete 1)",
        "used 5 distinct answers", "sent 5 requests, of which 0 were refused", tokens, "EUR when they were bought; these runs paid",
        "Rows with an error in `error`: 0 of 5.", f"tsn_frames {tsn.__version__}", f"pandas {pd.__version__}",
    ):  # fmt: skip
        assert figure in text
    assert f"{out['cost'].sum():.8f}"[:8] in text


def test_labels_votes_repairs_missing_values_and_gold_are_counted(client, tmp_path):
    frame = pd.DataFrame({
        "topic": pd.Categorical(["delivery", None, "praise"], categories=LABELS), "topic_how": ["exact", "none", "repaired"],
        "topic_votes": [2, 3, 2], "topic_agreement": [1.0, 0.5, 1.0], "topic_error": [None, "invalid: what", None],
        "gold_prob": 0.5, "gold_split": ["test", None, "dev"], "gold_ann": ["praise", None, "delivery"],
    })  # fmt: skip
    frame.attrs.update(ask(client).attrs)
    tsn.archive(tmp_path / "study.zip", frame, client=client)
    text = report(tmp_path / "study.zip")
    assert "Labels of `topic`: delivery 1, praise 1, NA 1." in text and "1 were repaired by a second request" in text
    assert "Votes: 7 in all, 2 to 3 a row, mean agreement 0.833." in text and "`topic_error`: 1 of 3 (invalid 1)" in text
    assert "Gold `gold` was drawn at random: test 1, dev 1, NA 1. Gold labels of `gold_ann`: praise 1, delivery 1, NA 1." in text


def test_evaluations_comparisons_tables_and_files_go_along(client, tmp_path):
    out = ask(client, rows=4).assign(said="praise", gold="praise")
    evaluation = out.tsn.evaluate("said", gold="gold", split=None)
    compared = out.tsn.compare("Compare: {text}", models=["sim-small", "sim-large"], client=client, progress=False)
    (tmp_path / "log: 1.jsonl").write_text("{}")
    summary = tsn.archive(tmp_path / "study.zip", out, evaluation, compared, tables={"my shares": out[["said"]]},
                          files=tmp_path / "log: 1.jsonl", client=client)  # fmt: skip
    found = members(tmp_path / "study.zip")
    assert summary.frames == 2 and summary.files == 1 and found["files/log_ 1.jsonl"] == b"{}" and summary.answers == 12
    assert {"tables/evaluation.csv", "tables/comparison.csv", "tables/my shares.csv"} <= set(found)
    text = report(tmp_path / "study.zip")
    assert "| accuracy | 1.0 |" in text and "## My shares" in text and all(note in text for note in evaluation.notes)


def test_the_log_of_a_review_is_copied(client, tmp_path):
    class Review:
        path = tmp_path / "gold.jsonl"

        def to_frame(self):
            raise AssertionError("the log is copied, and nothing is made of it")

    Review.path.write_text('{"review":1}\n')
    assert tsn.archive(tmp_path / "a.zip", ask(client), Review(), client=client).files == 1
    assert tsn.archive(tmp_path / "b.zip", ask(client), files=[Review()], client=client).files == 1
    assert members(tmp_path / "b.zip")["files/gold.jsonl"] == b'{"review":1}\n'


def test_a_run_saves_no_frame_and_the_summary_says_what_is_in_it(client, tmp_path):
    ask(client)
    summary = tsn.archive(tmp_path / "study.zip", tsn.last_run())
    assert (summary.runs, summary.answers, summary.frames) == (1, 3, 0) and "No frame is in it" in str(summary)
    assert not [name for name in members(tmp_path / "study.zip") if name.startswith("frames/")]
    assert "Rows with an error in `error`: 0 of 3" in report(tmp_path / "study.zip"), "its figures are known all the same"
    assert "hold your data" in str(tsn.archive(tmp_path / "study.zip", tsn.last_run().frame, client=client))


def test_answers_that_are_not_there_are_counted(client, tmp_path):
    out = ask(client, cache="off")
    with pytest.warns(TSNWarning, match=r"3 answers of these runs are not in the cache"):
        summary = tsn.archive(tmp_path / "study.zip", out, client=client)
    assert (summary.answers, summary.missing) == (0, 3)
    assert "3 answers of the runs are not in the archive" in report(tmp_path / "study.zip")


def test_an_old_archive_stays_if_a_new_one_fails(client, tmp_path):
    out = ask(client)
    tsn.archive(tmp_path / "study.zip", out, client=client)
    before = (tmp_path / "study.zip").read_bytes()
    bad = out.assign(value=pd.Series([1, "a", object()], dtype=object))
    with pytest.raises(ParameterError, match=r"frame-1.*Parquet.*tsn_runs"):
        tsn.archive(tmp_path / "study.zip", bad, client=client)
    assert (tmp_path / "study.zip").read_bytes() == before and [p.name for p in tmp_path.glob("*.part")] == []


def test_a_chat_is_archived_by_its_id(client, tmp_path):
    """A chat has lines in the ledger and no record of a run."""
    ask(client)
    entries = list(client.ledger.entries())
    import sqlite3

    with sqlite3.connect(client.ledger.path) as connection:
        connection.execute("DELETE FROM runs")
    connection.close()
    assert tsn.archive(tmp_path / "study.zip", entries[0].run, client=client).answers == 3
    assert len(list(tsn.load_archive(tmp_path / "study.zip").ledger.entries())) == 3


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(path="study.tar"), ParameterError, "an archive is a .zip file"),
        (dict(values=()), ParameterError, "archive needs a run"),
        (dict(values=(pd.DataFrame({"a": [1]}),)), ParameterError, r"names no run.*tsn\.last_run"),
        (dict(values=(7,)), ParameterError, "a run is a Run"),
        (dict(values=("abc",)), ConfigError, r"has no run 'abc'.*client="),
        (dict(files=["nowhere.txt"]), ParameterError, "there is no file 'nowhere.txt'"),
        (dict(tables={"x": 1}), ParameterError, "takes DataFrames"),
        (dict(path="no/folder/study.zip"), CacheError, "can't be written"),
    ],
)
def test_bad_input_is_refused_with_the_remedy(client, tmp_path, monkeypatch, change, error, message):
    monkeypatch.chdir(tmp_path)
    call = {"path": "study.zip", "values": (ask(client),), **change}
    with pytest.raises(error, match=message):
        tsn.archive(call.pop("path"), *call.pop("values"), client=client, **call)
    assert not list(tmp_path.glob("*.zip"))


def test_runs_of_another_service_or_client_are_refused(client, tmp_path, sim):
    out = ask(client)
    other = tsn.Client("https://api.example.com", cache=client.cache, ledger=client.ledger.path)
    with pytest.raises(ConfigError, match=r"another service.*127\.0\.0\.1.*an archive for each"):
        tsn.archive(tmp_path / "study.zip", out, client=other)
    first = tsn.last_run()
    ask(tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "other", ledger=client.ledger.path))
    with pytest.raises(ConfigError, match="several clients"):
        tsn.archive(tmp_path / "study.zip", first, tsn.last_run())


def test_a_run_that_goes_on_is_refused(client, tmp_path, endless):
    run = tsn.start(pd.DataFrame({"text": ["a"]}).tsn.complete, "{text}", client=client, stream=True)
    with pytest.raises(ParameterError, match="still going"):
        tsn.archive(tmp_path / "study.zip", run)
    run._engine.stop(0)
    with pytest.warns(TSNWarning, match="not sent"):
        assert run.wait(30)


def test_the_manifest_has_what_a_replay_needs(client, tmp_path):
    tsn.archive(tmp_path / "study.zip", ask(client), client=client)
    found = json.loads(members(tmp_path / "study.zip")["manifest.json"])
    assert found["client"]["base_url"] == client.base_url and found["client"]["model"] == "sim-small"
    assert found["key_scheme"] == "tsn-frames:1" and {"python", "pandas", "tsn-frames"} <= set(found["versions"])
