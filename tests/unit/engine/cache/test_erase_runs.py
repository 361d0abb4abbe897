"""Forgetting runs: which answers are deleted, and that none of their bytes are left."""

from __future__ import annotations

import sqlite3
import threading

import pandas as pd
import pytest

import tsn_frames as tsn
from tsn_frames.engine.cache import erase_runs as forgetting
from tsn_frames.engine.ledger.earlier_runs import run_settings
from tsn_frames.errors import CacheError, ParameterError, TSNWarning
from tsn_frames.simulator import Simulator

PROMPT = "Say: {text}"


def ask(words, client, **options):
    return pd.DataFrame({"text": words}).tsn.complete(PROMPT, client=client, progress=False, **options)


def texts(out):
    """What the answers hold beyond the simulator's usual words: the whole of each."""
    return [content.encode() for content in out["content"]]


def in_files(folder, needles):
    """How many of the texts are in the raw bytes of a folder's files."""
    raw = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return sum(needle in raw for needle in needles)


@pytest.fixture
def speaking(client):
    """Answers that can be distinguished in raw bytes."""
    with Simulator(latency=0.0, answer=lambda body: f"<<{body['messages'][-1]['content']}>>" * 40) as server:
        yield tsn.Client(
            server.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path, keep_prompts=True
        )


def test_no_byte_of_a_forgotten_run_is_left(speaking):
    kept, gone = ask(["stays 1", "stays 2"], speaking), ask([f"goes {i}" for i in range(50)], speaking)
    folder = speaking.cache.folder
    assert in_files(folder, texts(gone)) == 50
    assert speaking.cache.forget(tsn.last_run()) == 50
    assert in_files(folder, texts(gone)) == 0 and in_files(folder, texts(kept)) == 2
    assert ask(["stays 1", "stays 2"], speaking)["cached"].all()


def test_answers_that_refresh_had_replaced_are_gone_too(client):
    """An answer that was replaced lies in the free pages of the file until it is rewritten."""
    first = ask(["a", "b"], client)
    answered = client.cache.to_frame()
    ask(["a", "b"], client, cache="refresh")
    ids = client.ledger.to_frame()["run"].unique()
    assert client.cache.forget(*ids) == 2 and len(answered) == 2
    assert in_files(client.cache.folder, texts(first)) == 0 and client.cache.stats().answers == 0


def test_prompt_texts_are_erased_and_the_spending_stays(speaking):
    out = pd.DataFrame({"text": ["x"]}).tsn.complete("A very private prompt: {text}", client=speaking, progress=False)
    lines = speaking.ledger.to_frame()
    assert in_files(speaking.ledger.path.parent, [b"A very private prompt"])
    speaking.cache.forget(out)
    assert not in_files(speaking.ledger.path.parent, [b"A very private prompt"])
    pd.testing.assert_frame_equal(speaking.ledger.to_frame(), lines)
    assert tsn.runs(speaking)["texts"].isna().all() and tsn.runs(speaking)["answered"].tolist() == [1]


def test_an_answer_that_another_run_bought_or_used_stays(client):
    first = ask(["both", "mine"], client)
    second = ask(["both", "theirs"], client)
    with pytest.warns(TSNWarning, match=f"1 answer stay.*{tsn.last_run().ids[0]}"):
        assert client.cache.forget(first) == 1
    assert client.cache.stats().answers == 2
    assert client.cache.forget(first, second) == 2


def test_a_run_that_took_all_answers_from_the_cache_keeps_them(client):
    first, again = ask(["a", "b"], client), ask(["a", "b"], client)
    with pytest.warns(TSNWarning, match="2 answers stay"):
        assert client.cache.forget(first) == 0
    assert client.cache.forget(first, again) == 2
    assert ask(["a"], client)["cached"].tolist() == [False]


def test_a_call_of_several_rounds_is_forgotten_whole(client):
    df = pd.DataFrame({"text": ["one", "two", "three"]})
    out = df.tsn.label("text", ["yes", "no"], votes=3, client=client, progress=False)
    assert client.cache.stats().answers >= 9 and len(tsn.last_run().ids) >= 3
    assert client.cache.forget(out) >= 9 and client.cache.stats().answers == 0


def test_a_run_is_named_by_its_id_and_by_frames_that_pandas_has_changed(client):
    out = ask(["a", "b"], client)
    assert tsn.last_run().ids == tuple(tsn.runs(client)["run"])
    assert client.cache.forget(out.query("text == 'a'").assign(more=1).sort_index(), ledger=client.ledger) == 2
    ask(["c"], client)
    assert client.cache.forget(tsn.runs(client)["run"].iloc[-1], ledger=str(client.ledger.path)) == 1


def test_a_frame_of_two_verbs_names_both_runs(client):
    out = ask(["a"], client).tsn.complete("And {text}?", name="more", client=client, progress=False)
    assert client.cache.forget(out, ledger=client.ledger) == 2


def test_what_names_no_run_is_refused_with_the_remedy(client):
    out = ask(["a"], client)
    with pytest.raises(ParameterError, match=r"names no run.*tsn\.last_run\(\)"):
        client.cache.forget(pd.DataFrame(out.to_dict("list")))
    with pytest.raises(ParameterError, match="a run is a Run"):
        client.cache.forget(7)
    with pytest.raises(ParameterError, match="forget needs a run"):
        client.cache.forget()
    with pytest.raises(CacheError, match=r"has no run 'abc'.*ledger="):
        client.cache.forget("abc", ledger=client.ledger)
    with pytest.raises(CacheError, match=r"run\.client\.cache\.forget"):
        tsn.Cache(client.cache.folder / "other").forget(tsn.last_run())
    assert client.cache.stats().answers == 1


def test_a_run_that_goes_on_is_refused(client, endless):
    run = tsn.start(pd.DataFrame({"text": ["a"]}).tsn.complete, PROMPT, client=client, stream=True)
    with pytest.raises(CacheError, match="still going"):
        client.cache.forget(run)
    run._engine.stop(0)
    with pytest.warns(TSNWarning, match="not sent"):
        assert run.wait(30)


def test_a_killed_run_is_forgotten_with_a_warning(client):
    out = ask(["a"], client)
    with sqlite3.connect(client.ledger.path) as connection:
        connection.execute("UPDATE runs SET ended = NULL, end = NULL")
    connection.close()
    with pytest.warns(TSNWarning, match="no end on record"):
        assert client.cache.forget(out, ledger=client.ledger) == 1


def test_a_file_in_use_is_an_error_that_says_what_to_do(client, monkeypatch):
    monkeypatch.setattr(forgetting, "BUSY_TIMEOUT", 0.2)
    out = ask(["a"], client)
    other = sqlite3.connect(client.cache.file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CacheError, match="call forget again"):
        client.cache.forget(out, ledger=client.ledger)
    other.execute("ROLLBACK")
    other.close()
    assert client.cache.forget(out, ledger=client.ledger) == 1


def test_a_run_that_goes_on_meanwhile_loses_nothing(client):
    """Forgetting rewrites the file again and again while another run writes to it."""
    old = [ask([f"old {n} {i}" for i in range(20)], client) for n in range(5)]
    run = tsn.start(pd.DataFrame({"text": [f"new {i}" for i in range(400)]}).tsn.complete, PROMPT, client=client)
    counts = []
    thread = threading.Thread(target=lambda: counts.extend(client.cache.forget(out, ledger=client.ledger) for out in old))
    thread.start()
    out = run.result(progress=False)
    thread.join(60)
    assert counts == [20] * 5 and out["content"].notna().all()
    assert client.cache.stats().answers == 400 and not in_files(client.cache.folder, [b"old 1 "])


def test_a_file_that_was_put_aside_is_named(client):
    out = ask(["a"], client)
    (client.cache.folder / "cache.db.corrupt-1").touch()
    with pytest.warns(TSNWarning, match=r"cache\.db\.corrupt-1 was put aside"):
        client.cache.forget(out, ledger=client.ledger)


def test_settings_of_a_run_are_on_record_without_texts(client):
    ask(["a", "b"], client, temperature=0.5, max_tokens=pd.Series([500, 600]), stop="a private text", seed=3,
        response_format={"type": "json_object"}, extra_body={"logprobs": False, "metadata": {"user": "private"}})  # fmt: skip
    (found,) = run_settings(client.ledger).values()
    assert found["temperature"] == 0.5 and found["max_tokens"] == "500, 600" and found["seed"] == 3
    assert found["stop"] == "given" and found["response_format"] == "json_object" and "private" not in str(found)
