"""The ledger: a row for every attempt that was or may have been billed, without prompts and answers."""

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.python_process import run_python

import tsn_frames as tsn
from tsn_frames.api import Completion, Request, Usage, around_user_text, body_head, dumps
from tsn_frames.api.prompt_length_and_script import prompt_size
from tsn_frames.engine.cache.repair import scan
from tsn_frames.engine.ledger.earlier_runs import (
    accounted_keys,
    recent_usage,
    request_keys,
    run_settings,
    runs_of_call,
    unrecorded,
)
from tsn_frames.engine.ledger.ledger import Ledger
from tsn_frames.engine.ledger.ledger_file import MIGRATIONS, Entry, schema
from tsn_frames.engine.run.run_record_and_savings import _Free, _sums
from tsn_frames.engine.storage import sqlite
from tsn_frames.simulator import Faults

KEY = "tsn_test_canary_4f1d"
PROMPT = "Say: {text}"


def frame(number=4):
    return pd.DataFrame({"text": [f"message {i}" for i in range(number)]})


def ask(df, client, **words):
    return df.tsn.complete(PROMPT, client=client, progress=False, **words)


def start(df, client, **words):
    return df.tsn.start(PROMPT, client=client, progress=False, **words)


def entry(number=0, **changes):
    return Entry(
        float(number), "run", "host", "model", "answered", 1, 2, 3, "0.5", bytes([int(number) % 256]) * 32, None, 0.1
    )._replace(**changes)


def impatient(sim, client, **words):
    """A client that gives up soon and never tries again."""
    return tsn.Client(
        sim.base_url, model="sim-small", api_key=KEY, cache=client.cache.folder, ledger=client.ledger.path,
        retry=tsn.Retry(attempts=1, unreadable=1), **words,
    )  # fmt: skip


# What is in it


def test_every_answer_has_a_line_that_says_what_it_cost(sim, client):
    """Time, run, host, model, usage, cost, key and seconds of each attempt; a hit adds none."""
    client = tsn.Client(
        sim.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path, prices={"sim-small": (1, 2)}
    )
    begun = time.time()
    out = ask(frame(), client, include=("request_key",))
    ask(frame(), client)
    table = client.ledger.to_frame()
    assert len(table) == sim.stats().answers == 4 and set(table["request_key"]) == set(out["request_key"])
    assert set(table["outcome"]) == {"answered"} and set(table["model"]) == {"sim-small"} and len(set(table["run"])) == 1
    assert (table["host"] == client.host).all() and table["tag"].isna().all() and table["seconds"].between(0, 30).all()
    assert (table["time"] >= pd.Timestamp(begun - 1, unit="s")).all() and table["time"].is_monotonic_increasing
    assert table["prompt_tokens"].sum() == sim.stats().billed_prompt_tokens == out["prompt_tokens"].sum()
    assert table["completion_tokens"].sum() == sim.stats().billed_completion_tokens
    assert table["cost"].sum() == pytest.approx(out["cost"].sum()) and table["cost"].gt(0).all()
    assert not client.ledger.path.with_name("cache").joinpath("ledger.db").exists()


def test_the_frame_has_the_same_columns_and_dtypes_empty_or_full(client):
    """A report that was written on a full ledger works on an empty one."""
    dtypes = {
        "time": "datetime64[us]", "run": "string", "host": "string", "model": "string", "outcome": "string",
        "prompt_tokens": "Int64", "completion_tokens": "Int64", "total_tokens": "Int64", "cost": "Float64",
        "request_key": "string", "tag": "string", "seconds": "float64", "cached_tokens": "Int64", "currency": "string",
        "price_source": "string", "prompt_chars": "Int64", "completion_chars": "Int64", "language": "string",
        "held": "Float64",
    }  # fmt: skip
    empty = client.ledger.to_frame()
    assert not client.ledger.path.exists()  # looking makes no file
    ask(frame(1), client)
    for table in (empty, client.ledger.to_frame()):
        assert {name: str(kind) for name, kind in table.dtypes.items()} == dtypes
    assert (len(empty), len(client.ledger.to_frame())) == (0, 1)
    assert client.ledger.to_frame()["cost"].isna().all()  # no prices: unknown, not 0


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["reset", "truncate", "hang", "half_open", "cut_json", "malformed", "empty_body", "html"])
def test_what_may_have_been_billed_is_on_record_too(sim, client, fault):
    """The service did its work and the answer was lost on the way: outcome unknown, no usage, no cost."""
    sim.faults = Faults(**{fault: 1.0})
    silent = fault in ("hang", "half_open")
    client = impatient(sim, client, timeout=0.4 if silent else 60, prices={"sim-small": (1, 2)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)
        ask(frame(), client)
    table = client.ledger.to_frame()
    assert len(table) == sim.stats().requests == 4 and sim.stats().answers in (0, 4)
    assert set(table["outcome"]) == {"unknown"} and tsn.last_run().summary.unknown == 4
    assert table[["prompt_tokens", "completion_tokens", "total_tokens", "cost"]].isna().all(axis=None)
    assert table["held"].isna().all()  # nothing bounds what it may have cost


@pytest.mark.parametrize("fault", ["error_500", "error_502", "error_other"])
def test_what_was_surely_not_billed_has_no_line(sim, client, fault):
    """An error of the service costs nothing and is not an entry."""
    sim.faults = Faults(**{fault: 1.0})
    with pytest.warns(tsn.errors.TSNWarning, match="4 of 4 rows"):
        ask(frame(), impatient(sim, client))
    assert sim.stats().requests == 4 and client.ledger.to_frame().empty


def test_every_attempt_of_a_row_has_its_own_line(sim, client):
    """A lost answer, then a good one: two lines under one request key."""
    sim.faults = Faults(truncate=1.0, first_attempt_only=True)
    client = tsn.Client(
        sim.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path, retry=tsn.Retry(backoff=0.01)
    )
    ask(frame(2), client)
    table = client.ledger.to_frame()
    assert len(table) == sim.stats().answers == 4
    assert table.groupby("request_key")["outcome"].agg(list).tolist() == [["unknown", "answered"]] * 2


def test_tags_are_noted_beside_the_spending(client):
    """One text for all, or one a row; equal rows have the tag of the first."""
    ask(frame(2), client, tag="pilot")
    df = pd.DataFrame({"text": ["a", "b", "a", "c"]})
    ask(df, client, tag=pd.Series(["x", "y", "z", None]))
    assert client.ledger.to_frame()["tag"].value_counts(dropna=False).to_dict() == {"pilot": 2, "x": 1, "y": 1, pd.NA: 1}


def test_a_tag_of_odd_characters_keeps_no_spending_off_the_record(client):
    """A lone surrogate isn't text for SQLite; the line is written all the same."""
    ask(frame(2), client, tag="half an emoji \ud83d")
    assert client.ledger.to_frame()["tag"].tolist() == ["half an emoji ?"] * 2


def test_no_prompt_no_answer_and_no_key_are_in_its_bytes(sim, client):
    """A reader of the ledger learns what was spent, not what was asked or answered."""
    sim.faults = Faults(malformed=0.3)
    df = pd.DataFrame({"text": [f"the patient said zebra{i}" for i in range(10)]})
    client = impatient(sim, client)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)
        out = df.tsn.complete(
            "Repeat: {text}", system="a secret system", client=client, progress=False, extra_body={"user": "secret user"}
        )
    data = b"".join(path.read_bytes() for path in client.ledger.path.parent.glob("ledger.db*"))
    assert len(client.ledger.to_frame()) == 10
    contents = [content.encode() for content in out["content"].dropna()]
    assert contents and not [text for text in [*contents, b"zebra", b"secret", b"Repeat", KEY.encode()] if text in data]


def test_it_outlives_the_cache(sim, client):
    """Deleting the cache deletes no spending; asking again adds to it."""
    ask(frame(2), client)
    shutil.rmtree(client.cache.folder)
    before = client.ledger.to_frame()
    ask(frame(2), client)
    after = client.ledger.to_frame()
    assert len(after) == 4
    pd.testing.assert_frame_equal(after.iloc[:2], before)


# The file


def test_appending_never_changes_a_line(client):
    """Entries come out as they went in, in their order, over many openings."""
    entries = [entry(i, tag=None if i % 2 else f"t{i}", cost=None if i % 3 else "0.000001") for i in range(30)]
    for start in range(0, 30, 10):
        with closing(client.ledger.open()) as file:
            file.write(entries[start : start + 10])
    assert list(client.ledger.entries()) == entries


def test_a_group_is_whole_or_not_there(client):
    """One bad entry, and none of its group is written; the file goes on."""
    with closing(client.ledger.open()) as file:
        with pytest.raises(sqlite3.Error):
            file.write([entry(1), entry(2, request_key=None), entry(3)])
        file.write([entry(4)])
    assert list(client.ledger.entries()) == [entry(4)]


def test_a_new_or_empty_file_gets_the_newest_schema(tmp_path):
    """Nothing, an empty file, and a database without a table yet."""
    (tmp_path / "empty.db").touch()
    with closing(sqlite3.connect(tmp_path / "bare.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    for name in ("none.db", "empty.db", "bare.db"):
        ledger = Ledger(tmp_path / name)
        assert ledger.to_frame().empty
        with closing(ledger.open()) as file:
            file.write([entry()])
        with closing(sqlite3.connect(ledger.path)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert len(ledger.to_frame()) == 1


def test_a_ledger_that_another_kernel_is_creating_is_not_another_programs_file(tmp_path):
    """Its tables and its number come in one commit; who looks at the same moment sees both or neither."""

    def look(path, done, seen):
        while not done.is_set():
            seen.append(schema(path)[0])

    for number in range(20):
        ledger, done, seen = Ledger(tmp_path / f"{number}.db"), threading.Event(), []
        with ThreadPoolExecutor(2) as others:
            looks = [others.submit(look, ledger.path, done, seen) for _ in range(2)]
            ledger.open().close()
            done.set()
        assert [one.result() for one in looks] == [None, None] and {0, len(MIGRATIONS)} >= set(seen)


def test_every_older_schema_is_brought_up_step_by_step(tmp_path):
    """A ledger of each number that ever was opens, keeps its lines and takes new ones."""
    for number in range(len(MIGRATIONS) + 1):
        ledger = Ledger(tmp_path / f"{number}.db")
        with closing(sqlite3.connect(ledger.path)) as connection:
            for statement in (statement for step in MIGRATIONS[:number] for statement in step):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.commit()
        before = ledger.path.read_bytes()
        assert list(request_keys(ledger)) == recent_usage(ledger, ["m"]) == runs_of_call(ledger, "k") == []
        assert run_settings(ledger) == {} and accounted_keys(ledger, "k") == set() and unrecorded(ledger, ["r"])
        assert ledger.path.read_bytes() == before
        for _ in range(2):
            with closing(ledger.open()) as file:
                file.write([entry()])
        assert len(ledger.to_frame()) == 2


def test_a_newer_schema_is_refused_and_untouched(sim, client):
    """The message says which, and what to do; a run over it says so once and answers every row."""
    with closing(client.ledger.open()) as file:
        file.write([entry()])
    with closing(sqlite3.connect(client.ledger.path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = client.ledger.path.read_bytes()
    for work in (client.ledger.to_frame, client.ledger.open):
        with pytest.raises(tsn.errors.ConfigError, match=r"newer tsn_frames \(schema 99\): upgrade, or give another ledger="):
            work()
    with pytest.warns(tsn.errors.TSNWarning, match="the ledger can't be .*newer tsn_frames") as found:
        assert ask(frame(), client)["content"].notna().all()
    assert len(found) == 1 and client.ledger.path.read_bytes() == before


@pytest.mark.parametrize("what", ["text", "another database"])
def test_another_programs_file_is_refused_and_untouched(client, what):
    """ledger= names a file that is something else: it stays what it is."""
    if what == "text":
        client.ledger.path.write_text("my notes\n" * 500)
    else:
        with closing(sqlite3.connect(client.ledger.path)) as connection:
            connection.execute("CREATE TABLE notes (text)")
    before = client.ledger.path.read_bytes()
    for work in (client.ledger.to_frame, client.ledger.open):
        with pytest.raises(tsn.errors.ConfigError, match="is not a ledger"):
            work()
    with pytest.warns(tsn.errors.TSNWarning, match="the ledger can't be .*is not a ledger"):
        assert ask(frame(), client)["content"].notna().all()
    assert client.ledger.path.read_bytes() == before


def test_a_ledger_that_cannot_be_written_is_one_warning(client, tmp_path):
    """A folder in the file's place, and a file in the folder's: the run goes on, answers are cached."""
    client.ledger.path.mkdir()
    with pytest.warns(tsn.errors.TSNWarning, match="the ledger can't be .*not on record") as found:
        assert ask(frame(40), client)["content"].notna().all()
    assert len(found) == 1 and client.cache.stats().answers == 40
    (tmp_path / "file").touch()
    other = tsn.Client(client.base_url, model="sim-small", cache=client.cache.folder, ledger=tmp_path / "file" / "ledger.db")
    with pytest.warns(tsn.errors.TSNWarning, match="the ledger can't be"):
        assert ask(frame(3), other, cache="refresh")["content"].notna().all()


@pytest.mark.parametrize("what", ["a folder", "locked", "damaged"])
def test_a_ledger_that_cannot_be_read_says_so_and_why(client, what, monkeypatch):
    """All reads raise the same kind of error; an estimate without durations loses no paid answer."""
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.1)
    if what != "a folder":
        ask(frame(40), client)
    path, held = client.ledger.path, ExitStack()
    if what == "a folder":
        path.mkdir()
    elif what == "locked":
        holding = held.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
        holding.execute("PRAGMA locking_mode = EXCLUSIVE")
        holding.execute("BEGIN EXCLUSIVE")
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        data = path.read_bytes()
        path.write_bytes(data[:4096] + b"?" * (len(data) - 4096))
    with held:
        for work in (client.ledger.to_frame, client.ledger.summary, lambda: frame(3).tsn.estimate("{text}", client=client)):
            with pytest.raises(tsn.errors.ConfigError, match=r"ledger\.db can't be read"):
                work()
    if what != "locked":
        with pytest.warns(tsn.errors.TSNWarning, match="the ledger can't be"):
            found = frame(3).tsn.compare("{text}!", models=["sim-small"], client=client, progress=False)
        assert found.table["answered"].item() == 3 and found.table["seconds"].isna().all()


READ_ONLY = """
import os, sys, warnings, pandas as pd, tsn_frames as tsn
url, folder = sys.argv[1:]
one, df = pd.DataFrame({"text": ["x"]}), pd.DataFrame({"text": [f"message {i}" for i in range(50)]})
def ask(df, **places):
    return df.tsn.complete("{text}", client=tsn.Client(url, model="sim-small", **places), progress=False, max_tokens=900)
ask(one, cache=folder + "/c", ledger=folder + "/closed/ledger.db")
os.chmod(folder + "/closed/ledger.db", 0o444); os.chmod(folder + "/closed", 0o555); os.chmod(folder, 0o777)
if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)
with warnings.catch_warnings(record=True) as found:
    warnings.simplefilter("always")
    out = ask(df, cache=folder + "/c2", ledger=folder + "/closed/ledger.db")
try: ask(df, cache=folder + "/c3", ledger=folder + "/closed/ledger.db", prices={"sim-small": (1, 1)}, budget={"day": 1})
except tsn.errors.ConfigError as problem: print(problem)
print(out["content"].notna().sum(), len(tsn.Client(url, ledger=folder + "/closed/ledger.db").ledger.to_frame()))
for w in found: print(w.message)
"""


def test_a_read_only_ledger_is_one_warning_and_can_still_be_read(sim):
    """As another user of the machine: the run goes on, and says that its spending is not on record; under a day's budget it
    doesn't begin."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        Path(folder, "closed").mkdir()
        done = run_python(READ_ONLY, sim.base_url, folder, cwd="/")
        Path(folder, "closed").chmod(0o777)
    assert done.returncode == 0, done.stderr
    refused, counts, *found = done.stdout.splitlines()
    assert "ledger.db can't be written" in refused  # a day's budget of the next process would not know of it
    assert counts == "50 1" and len(found) == 1 and "the ledger can't be" in found[0], done.stdout


APPEND = """
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import datetime
from tsn_frames.engine.ledger.ledger import Ledger
from tsn_frames.engine.ledger.ledger_file import Entry
sys.stdin.readline()
with closing(Ledger(sys.argv[1]).open(30.0)) as file:  # a slow disk: the four hold it all the time
    for i in range(40):
        file.write([Entry(float(i), sys.argv[2], "h", "m", "answered", 1, 1, 2, None, b"k" * 32, None, 0.0)] * 3)
"""


@pytest.mark.slow
@pytest.mark.parametrize("released", [0, 1])
def test_processes_append_at_once_and_no_line_is_lost(tmp_path, released):
    """Four processes, started together on a file that doesn't exist yet, or on one of an older version."""
    ledger = Ledger(tmp_path / "new folder" / "ledger.db")
    if released:
        ledger.path.parent.mkdir()
        with closing(sqlite3.connect(ledger.path)) as connection:
            for statement in MIGRATIONS[0]:
                connection.execute(statement)
            connection.execute("PRAGMA user_version = 1")
    command = [sys.executable, "-W", "error", "-c", APPEND, str(ledger.path)]
    processes = [subprocess.Popen([*command, str(i)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for i in range(4)]
    time.sleep(1)
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [(p.communicate()[1], p.returncode) for p in processes] == [("", 0)] * 4
    table = ledger.to_frame()
    assert table["run"].value_counts().to_dict() == {str(i): 120 for i in range(4)}
    for _, lines in table.groupby("run"):
        assert lines["time"].is_monotonic_increasing


@pytest.mark.slow
def test_what_is_cached_is_in_the_ledger(sim, client):
    """The lines are committed before the answers that they bill, whatever goes wrong on the way."""
    sim.faults = Faults(truncate=0.2, error_500=0.2, null_content=0.1)
    client = tsn.Client(
        sim.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path, retry=tsn.Retry(backoff=0.01)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)
        ask(frame(100), client)
    cached = {key: when for key, _, when in scan(client.cache.file)}
    lines = {e.request_key: e.time for e in client.ledger.entries() if e.outcome == "answered"}
    assert len(cached) >= 95 and cached == {key: lines[key] for key in cached}
    assert len(client.ledger.to_frame()) == sim.stats().answers


# A run's card


def test_every_run_leaves_a_record_and_its_savings(sim, client):
    """When, verb, rows, counts, money, and hashes; a run that is all cached leaves one too."""
    client = tsn.Client(
        sim.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path, prices={"sim-small": (1, 2)}
    )
    df = pd.DataFrame({"text": ["a", "b", "a", None]})
    with pytest.warns(tsn.errors.TSNWarning, match="1 of 4 rows"):
        out = ask(df, client, tag=pd.Series(["x", "y", "z", "x"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)
        ask(df, client, tag="again", system="Be short.", cache="only")
        ask(df.head(1), client, tag="again")
    first, changed, second = client.ledger.run_records()
    assert (first.rows, first.distinct_requests, first.answered, first.copied, first.skipped, first.requests) == (
        4,
        2,
        3,
        1,
        1,
        2,
    )
    assert first.began <= first.ended <= second.began and first.end == second.end == "done" and first.verb == "complete"
    assert float(first.cost) == pytest.approx(out["cost"].sum()) and first.cost_known and float(second.cost) == 0
    assert second.cached == 1 and float(second.saved) == pytest.approx(out["cost"][0]) and changed.saved == "0"
    assert first.texts is None and second.changed(json.loads(first.hashes)) == ["rows"]
    assert changed.changed(json.loads(first.hashes)) == ["system"]
    saved = [(s.run, s.kind, s.model, s.tag, s.rows) for s in client.ledger.savings()]
    assert saved == [(first.run, "copied", "sim-small", "z", 1), (second.run, "cached", "sim-small", "again", 1)]


def test_the_words_of_a_prompt_are_kept_only_on_request(sim, client):
    """keep_prompts=True writes template, system and parameters in the run record, and still no row and no answer."""
    client = tsn.Client(
        sim.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path, keep_prompts=True, api_key=KEY
    )
    out = frame(2).tsn.complete(PROMPT, system="Be short.", temperature=0, client=client, progress=False)
    frame(2).tsn.complete(PROMPT + "\n", system=f"The key is {KEY}.", client=client, progress=False)
    card, odd = client.ledger.run_records()
    assert json.loads(odd.texts)["system"] == "The key is ***." and json.loads(odd.texts)["prompt"] == PROMPT + "\n"
    assert '"Say: {text}"' in card.texts and '"Be short."' in card.texts and '"temperature": 0.0' in card.texts
    data = b"".join(path.read_bytes() for path in client.ledger.path.parent.glob("ledger.db*"))
    assert b"message 1" not in data and KEY.encode() not in data and out["content"][0].encode() not in data


@pytest.mark.parametrize(("key", "system"), [("k", "Take 0."), ("0", "Take 0."), (KEY, 'Say "Bearer abc" aloud.')])
def test_a_masked_prompt_is_still_json(sim, client, key, system):
    """A short key is longer when it is masked, and a quotation mark may follow a token."""
    client = tsn.Client(
        sim.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path, keep_prompts=True, api_key=key
    )
    frame(1).tsn.complete(PROMPT, system=system, temperature=0, client=client, progress=False)
    (record,) = client.ledger.run_records()
    shown = {"k": "Ta***e 0.", "0": "Take ***.", KEY: 'Say "***" aloud.'}[key]
    assert json.loads(record.texts)["system"] == shown and json.loads(record.texts)["prompt"] == PROMPT


@pytest.mark.parametrize(("share", "known"), [(1.0, False), (0.5, True)])
def test_what_answers_without_usage_saved_is_unknown_and_not_nothing(sim, client, share, known, one_day):
    """NA where no usage is known; the sum of the others, marked as the least, where some is."""
    sim.faults = Faults(no_usage=share)
    client = tsn.Client(
        sim.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path, prices={"sim-small": (1, 2)}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)
        out = ask(frame(20), client)
        ask(frame(20).tail(19), client)
    out = out.tail(19)
    line, card = client.ledger.summary().iloc[0], tsn.runs(client).iloc[1]
    assert out["cost"].isna().any() and out["cost"].notna().any() == known
    assert line["saved_rows"] == 19 and line["saved_at_least"] and line["at_least"]
    if known:
        assert line["saved"] == pytest.approx(out["cost"].sum()) == card["saved"]
    else:
        assert pd.isna(line["saved"]) and pd.isna(card["saved"]) and line["saved_tokens"] == 0


def test_half_a_usage_is_not_a_saving_that_is_known():
    """Only the prompt's tokens came: they count as tokens, and have no price."""
    answers = [Completion("a", prompt_tokens=10, completion_tokens=5, cached_tokens=4), Completion("b", prompt_tokens=7), None]
    free = _Free([0, 1, 2], [2, 3, 1])
    assert _sums(answers, free, known=True) == (2, Usage(20, 10, 30, 8))
    rows, odd = _sums(answers, free, known=False)
    assert (rows, odd.prompt_tokens, odd.completion_tokens) == (3, 21, 0)


def test_thoughts_that_only_the_total_counts_are_saved_too():
    """A hit saves what the answer would cost, and that counts them."""
    answers = [Completion("a", prompt_tokens=10, completion_tokens=5, total_tokens=115),
               Completion("b", prompt_tokens=10, completion_tokens=5)]  # fmt: skip
    assert _sums(answers, _Free([0, 1], [2, 1]), known=True) == (3, Usage(30, 15, 245, 0))


def test_answers_shared_with_a_run_at_the_same_time_are_savings(sim, client):
    """Two runs of a process that share rows: each answer is bought once, and the other run notes what it saved."""
    runs = [start(frame(number), client) for number in (40, 41)]
    outs = [run.result(progress=False) for run in runs]
    assert sim.stats().answers == len(client.ledger.to_frame()) == 41
    savings = list(client.ledger.savings())
    assert sum(saving.rows for saving in savings) == 40 and {saving.kind for saving in savings} <= {"copied", "cached"}
    tokens = sum(saving.prompt_tokens + saving.completion_tokens for saving in savings)
    assert tokens == outs[0]["total_tokens"].sum() == outs[1]["total_tokens"].head(40).sum()


# What counts as saved


@pytest.fixture
def priced(sim, tmp_path):
    """Return a function that makes clients of one cache, each with a ledger of its own."""
    return lambda name: tsn.Client(
        sim.base_url, model="sim-small", cache=tmp_path / "shared", ledger=tmp_path / name, prices={"sim-small": (1, 2)}
    )


def saved(client):
    """Return the rows that were saved, and their price, by the ledger's two accounts of it, which must agree."""
    table, runs = client.ledger.summary("run"), tsn.runs(client)
    assert table["saved"].sum() == pytest.approx(runs["saved"].sum())
    return table["saved_rows"].sum(), table["saved"].sum()


def test_a_cell_that_is_run_again_saves_nothing_more(priced):
    """Equal rows are saved once, in whatever order the rows stand and after a restart; each run's record still counts its hits."""
    client, df = priced("mine.db"), pd.DataFrame({"text": ["a", "b", "a"]})
    out = ask(df, client)
    once = saved(client)
    assert once == (1, pytest.approx(out["cost"][0]))
    ask(df, client)
    ask(df.sample(frac=1, random_state=1), client)
    ask(df, priced("mine.db"), cache="only")
    assert saved(client) == once and tsn.runs(client)["saved"].tolist()[1:] == [0, 0, 0]
    assert tsn.runs(client)["cached"].tolist() == [0, 3, 3, 3]
    ask(df, client, cache="refresh")  # buys both answers again, and the equal row isn't paid for again either
    assert saved(client)[0] == 2


def test_rows_that_a_killed_run_has_paid_for_are_no_saving_of_the_next(priced):
    """A killed kernel leaves a record without an end; the run that goes on takes its answers from the cache."""
    client = priced("mine.db")
    ask(frame(3), client)
    (record,) = client.ledger.run_records()
    keys = b"".join(line.request_key for line in client.ledger.entries())
    whole = ask(frame(5), priced("other.db"))  # another user buys the other two
    (goes_on,) = priced("other.db").ledger.run_records()
    assert whole["cached"].sum() == 3 and len(keys) == 3 * 32
    written(client, record._replace(ended=None, end=None, cost=None, saved=None, hashes=goes_on.hashes))
    ask(frame(5), client)
    assert saved(client) == (2, pytest.approx(whole["cost"].sum()))
    ask(frame(5), client)
    assert saved(client)[0] == 2


def test_a_call_with_some_new_rows_saves_what_it_finds_once(priced):
    """It is another call: without the cache all of its rows would have been paid for."""
    client = priced("mine.db")
    ask(frame(3), client)
    for _ in range(2):
        ask(frame(5), client)
        assert saved(client)[0] == 3


def test_answers_of_another_user_are_saved_once(priced):
    """Who shares the cache has them for nothing, and running the cell again gives nothing more."""
    theirs = ask(frame(4), priced("theirs.db"))
    for _ in range(2):
        ask(frame(4), priced("mine.db"))
        assert saved(priced("mine.db")) == (4, pytest.approx(theirs["cost"].sum()))
    assert saved(priced("theirs.db")) == (0, 0)


def test_what_a_pilot_has_paid_for_is_no_saving_of_its_call(priced):
    """It was paid for this call; equal rows are saved all the same."""
    client, df = priced("mine.db"), pd.concat([frame(30), frame(30)], ignore_index=True)
    df.tsn.estimate(PROMPT, client=client, pilot=10, progress=False)
    out = ask(df, client, tag=pd.Series(["first"] * 30 + ["equal"] * 30))
    assert out["cached"].sum() == 20 and client.ledger.summary("run")["answers"].sum() == 30
    assert saved(client)[0] == 30 and client.ledger.summary("tag").loc["equal", "saved_rows"] == 30


def test_odd_values_keep_no_run_record_from_being_written(sim, client):
    """Half a surrogate pair, numbers, dates and functions in prompts."""
    df = pd.DataFrame(
        {"text": pd.Series(["half \ud800", "whole"], dtype=object), "n": [1, 2.5], "when": pd.to_datetime(["2026-01-01", None])}
    )
    with pytest.warns(tsn.errors.TSNWarning):
        df.tsn.complete("{text} {n} {when}", client=client, progress=False)
        df.tsn.complete(lambda row: row["text"], client=client, progress=False)
    assert len(list(client.ledger.run_records())) == 2


def test_an_old_ledger_can_be_read_before_anything_is_written_to_it(tmp_path):
    """Reading changes nothing, so what an old file doesn't have is NA; the next line brings it up to date."""
    ledger = Ledger(tmp_path / "old.db")
    old = Entry._fields[:12]
    with closing(sqlite3.connect(ledger.path)) as connection:
        connection.execute(MIGRATIONS[0][0])
        connection.execute(f"INSERT INTO attempts ({', '.join(old)}) VALUES ({', '.join('?' * 12)})", entry(7)[:12])
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    assert list(ledger.entries()) == [entry(7)] and list(ledger.run_records()) == list(ledger.savings()) == []
    assert len(ledger.to_frame()) == 1
    with closing(ledger.open()) as file:
        file.write([entry(8, cached_tokens=3)])
    assert list(ledger.entries()) == [entry(7), entry(8, cached_tokens=3)]


# Summaries


def at(text):
    return datetime.fromisoformat(text).timestamp()


def written(client, *lines):
    with closing(client.ledger.open()) as file:
        file.write(lines)
    return client.ledger


def test_spending_is_summed_by_the_calendar_of_a_stated_zone(client):
    """A day ends at midnight of the zone; sums are exact; an unknown cost makes its day's total 'at least'."""
    ledger = written(
        client,
        entry(at("2026-03-31T21:59+00:00"), cost="0.1", currency="EUR"),
        entry(at("2026-03-31T22:01+00:00"), cost="0.2", currency="EUR", cached_tokens=1),
        entry(at("2026-03-31T23:30+00:00"), cost="0.1", currency="EUR"),
        entry(at("2026-04-01T09:00+00:00"), cost=None, outcome="unknown", prompt_tokens=None, completion_tokens=None),
    )
    utc, berlin = ledger.summary("day"), ledger.summary("day", timezone="Europe/Berlin")
    assert utc.index.tolist() == berlin.index.tolist() == [pd.Timestamp("2026-03-31"), pd.Timestamp("2026-04-01")]
    assert utc["cost"].tolist()[0] == 0.4 and pd.isna(utc["cost"].iloc[1]) and berlin["cost"].tolist() == [0.1, 0.3]
    assert utc["at_least"].tolist() == [False, True] and berlin["at_least"].tolist() == [False, True]
    assert berlin[["attempts", "answers", "unknown", "prompt_tokens", "cached_tokens"]].to_numpy().tolist() == [
        [1, 1, 0, 1, 0],
        [3, 2, 1, 2, 1],
    ]
    month = ledger.summary(["month", "model"])
    assert month.index.names == ["month", "model"] and month["currency"].tolist()[0] == "EUR" and month["attempts"].sum() == 4
    assert ledger.summary("year").iloc[0]["cost"] == 0.4 and ledger.summary("week").index[0] == pd.Timestamp("2026-03-30")


def test_spending_by_department_survives_a_restart(sim, client):
    """tag= as a Series: the first of equal rows pays, the others' tags have what they saved."""
    client = tsn.Client(
        sim.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path, prices={"sim-small": (1, 2)}
    )
    df = pd.DataFrame({"text": ["a", "b", "a", "c", "c"], "department": ["sales", "support", "support", None, "sales"]})
    out = ask(df, client, tag=df["department"])
    more = pd.concat([df, pd.DataFrame({"text": ["new"], "department": ["new"]})], ignore_index=True)
    again = ask(more, client, tag=more["department"])
    assert again["cost"].iloc[:5].sum() == 0
    table = Ledger(client.ledger.path).summary("tag")
    cost = table["cost"].to_dict()
    assert cost["sales"] == pytest.approx(out["cost"][0]) and cost["support"] == pytest.approx(out["cost"][1])
    assert table.drop("new")["cost"].sum() == pytest.approx(out["cost"].sum()) and table.index.isna().sum() == 1
    priced = (out["prompt_tokens"] + 2 * out["completion_tokens"]) / 1e6
    assert (
        table.loc["support", "saved"] == pytest.approx(priced[2] + priced[1] + priced[2])
        and table.loc["support", "saved_rows"] == 3
    )
    assert table.loc["sales", "saved_rows"] == 3 and table["saved_rows"].sum() == 2 + 5
    assert table["saved_tokens"].sum() == out["total_tokens"][[2, 4]].sum() + out["total_tokens"].sum()


def test_two_currencies_are_two_rows(client):
    """They are never in one sum; a line without any money goes where there is only one to go."""
    ledger = written(
        client, entry(1, cost="1", currency="EUR"), entry(2, cost="2", currency="USD"), entry(3, cost="4"), entry(4, cost=None)
    )
    table = ledger.summary("model")
    assert sorted(table["cost"].dropna()) == [1, 2, 4] and table["attempts"].sum() == 4
    assert set(table["currency"].dropna()) == {"EUR", "USD"}
    assert written(
        tsn.Client(ledger=client.ledger.path.with_name("b.db")), entry(1, cost="1", currency="EUR"), entry(4, cost=None)
    ).summary("model")[["cost", "attempts", "at_least", "currency"]].to_numpy().tolist() == [[1.0, 2, True, "EUR"]]


def test_summaries_of_nothing_and_of_wrong_words(client):
    for by in ("day", "tag", ["month", "run"]):
        full = written(tsn.Client(ledger=client.ledger.path.with_name("full.db")), entry(1)).summary(by)
        empty = client.ledger.summary(by)
        assert empty.empty and empty.dtypes.to_dict() == full.dtypes.to_dict() and empty.index.names == full.index.names
    for word in ("hour", 3, [], None):
        with pytest.raises(tsn.errors.ParameterError, match="; there are: 'day'"):
            client.ledger.summary(word)
    with pytest.raises(tsn.errors.ParameterError, match="timezone must be a name such as"):
        client.ledger.summary("day", timezone="Middle-earth")


def test_runs_are_listed_over_kernels(sim, client):
    """Also one that was killed, with what the ledger's own lines say of it."""
    client = tsn.Client(
        sim.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path, prices={"sim-small": (1, 2)}
    )
    out = ask(frame(3), client, tag="t")
    card = next(client.ledger.run_records())
    written(client, card._replace(run="killed", ended=None, end=None, answered=None, cost=None, began=card.began + 1),
            entry(run="killed", cost="0.5"), entry(run="killed", outcome="unknown", cost=None))  # fmt: skip
    tsn.set_client(client)
    table = tsn.runs()
    assert table["end"].tolist() == ["done", "unfinished"] and table["run"].tolist() == [card.run, "killed"]
    assert table["cost"].tolist() == pytest.approx([out["cost"].sum(), 0.5]) and table["cost_known"].tolist() == [True, False]
    assert (
        table["unknown"].tolist() == [0, 1]
        and table["tags"].tolist() == [["t"], ["t"]]
        and table["verb"].tolist() == ["complete"] * 2
    )
    assert pd.isna(table["ended"][1]) and table["ended"][0] >= table["began"][0] and table["seconds"][0] > 0
    assert table.filter(like="_hash").nunique().tolist() == [1] * 7 and table["texts"].isna().all()
    assert tsn.runs(tsn.Client(ledger=client.ledger.path.with_name("none.db"))).dtypes.to_dict() == table.dtypes.to_dict()


# How long prompts are, for estimates


@given(st.text(), st.text(), st.booleans())
def test_a_prompt_is_measured_in_characters_as_its_json_has_them(system, text, with_system):
    """Whatever it is written in; the parameters before the messages don't count."""
    before, after = around_user_text(system if with_system else None)
    try:
        tail = dumps(text) + after
    except TypeError:  # a lone surrogate is never sent
        return
    request = Request(b"", body_head({"model": "m", "temperature": 0.0}) + before, tail, "m")
    assert prompt_size(request).chars == len((before + tail).decode())


@pytest.mark.parametrize(
    ("text", "language"),
    [("Where is my parcel?", "latin"), ("¿Dónde está mi paquete? “Señor” — früh", "latin"), ("荷物はどこですか、教えてください", "cjk"),
     ("배송이 너무 늦어요 정말로 늦어요", "cjk"), ("Где моя посылка и когда она придёт", "other"), ("أين طردي ومتى يصل إلى بيتي", "other"),
     ("मेरा पार्सल कहाँ है और कब आएगा", "other"), ("😀😃😄😁😆😅🤣😂🙂🙃😉😊", "other"), ("", "latin")],
)  # fmt: skip
def test_the_ledger_notes_how_long_a_prompt_is_and_how_it_is_written(client, text, language):
    """Beside the tokens that the service counted: what an estimate's ratio is learned from."""
    out = pd.DataFrame({"text": [text]}).tsn.complete("{text}", client=client, progress=False, missing="empty")
    (line,) = client.ledger.entries()
    assert (line.language, line.completion_chars) == (language, len(out["content"][0]))
    assert line.prompt_chars == len('[{"role":"user","content":""}]') + len(text)
