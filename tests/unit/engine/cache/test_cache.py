"""The cache: what it answers, what it never keeps, and how a team shares it."""

import json
import sqlite3
import subprocess
import sys
from datetime import timedelta

import pandas as pd
import pytest

import tsn_frames as tsn
from tsn_frames.engine.cache.in_flight_requests import FLIGHTS
from tsn_frames.engine.cache.repair import lookup
from tsn_frames.engine.cache.store import Store
from tsn_frames.simulator import Faults

PROMPT = "Say: {text}"


def frame(number=4):
    return pd.DataFrame({"text": [f"message {i}" for i in range(number)]})


def bodies(client):
    """The stored bodies by key, read by SQLite and not by us."""
    with sqlite3.connect(client.cache.file) as connection:
        found = dict(connection.execute("SELECT key, value FROM Cache"))
    connection.close()
    return found


def ask(df, client, **words):
    return df.tsn.complete(PROMPT, client=client, progress=False, **words)


def found(keys, folder):
    """Key, body and time of those keys that the bulk lookup finds."""
    index = {key: at for at, key in enumerate(keys)}
    return lookup(folder / "cache.db", index, lambda rows: [(keys[at], body, when) for at, body, when in rows])


# Modes


def test_use_answers_again_without_a_request(sim, client):
    """A second run sends nothing and costs nothing."""
    first, second = ask(frame(), client), ask(frame(), client)
    assert sim.stats().requests == 4
    assert first["cached"].tolist() == [False] * 4 and second["cached"].tolist() == [True] * 4
    assert first["content"].tolist() == second["content"].tolist()


def test_refresh_asks_again_and_keeps_the_new_answer(sim, client):
    """cache='refresh' writes what it gets, and later runs see that."""
    ask(frame(), client)
    old = bodies(client)
    out = ask(frame(), client, cache="refresh")
    assert sim.stats().requests == 8 and not out["cached"].any()
    assert bodies(client).keys() == old.keys() and bodies(client) != old  # each body has its own id
    assert ask(frame(), client)["cached"].all()


def test_off_neither_reads_nor_writes_and_still_sends_equal_rows_once(sim, client):
    """cache='off' leaves no file, and two equal rows are one request."""
    df = pd.DataFrame({"text": ["same", "same", "other"]})
    for _ in range(2):
        out = ask(df, client, cache="off")
    assert sim.stats().requests == 4 and out["content"].notna().all()
    assert not client.cache.file.exists() and len(client.ledger.to_frame()) == 4


def test_only_sends_nothing_and_needs_no_key(sim, client):
    """cache='only' answers what is there; a miss is the row's error."""
    ask(frame(2), client)
    elsewhere = tsn.Client("https://api.example.com", model="sim-small", cache=client.cache.folder, ledger=client.ledger.path)
    with pytest.warns(tsn.errors.TSNWarning, match="2 of 2 rows"):
        assert ask(frame(2), elsewhere, cache="only")["error"].str.startswith("not_cached").all()  # another base_url: another key
    with pytest.warns(tsn.errors.TSNWarning, match="1 of 3 rows"):
        out = ask(frame(3), client, cache="only")
    assert out["cached"].tolist() == [True, True, False] and out["error"].isna().tolist() == [True, True, False]
    assert out["error"].iloc[2].startswith("not_cached") and sim.stats().requests == 2


def test_refresh_rows_are_asked_again_and_no_others(sim, client):
    """refresh= takes the rows to ask again, as a Series or a callable."""
    df = frame()
    ask(df, client)
    out = ask(df, client, refresh=pd.Series([False, True, False, False]))
    assert sim.stats().requests == 5 and out["cached"].tolist() == [True, False, True, True]
    ask(df, client, refresh=lambda d: d["text"] == "message 0")
    assert sim.stats().requests == 6


def test_repeat_gives_answers_of_their_own(sim, client):
    """repeat is part of the key and not of the body."""
    df = pd.DataFrame({"text": ["same"] * 3, "n": [0, 1, 1]})
    out = ask(df, client, repeat=df["n"])
    assert sim.stats().requests == 2 and len(bodies(client)) == 2
    assert {json.dumps(e.body) for e in sim.log} == {json.dumps(sim.log[0].body)}
    assert ask(df, client, repeat=df["n"])["cached"].all() and not out["cached"].any()


# What is kept


def test_a_hit_keeps_its_original_time_and_returned_model(client):
    """Days later an answer still says when it was given, and by which model."""
    first = ask(frame(1), client, include=("model", "answered_at"))
    hits = [ask(frame(1), client, include=("model", "answered_at")) for _ in range(2)]
    stored = client.cache.to_frame().iloc[0]
    for hit in hits:
        assert hit["model"].iloc[0] == first["model"].iloc[0] == stored["model"]
        assert pd.Timestamp(hit["answered_at"].iloc[0]) == pd.Timestamp(hits[0]["answered_at"].iloc[0])
        assert abs(pd.Timestamp(hit["answered_at"].iloc[0]) - pd.Timestamp(first["answered_at"].iloc[0])) < timedelta(minutes=1)


@pytest.mark.parametrize("fault", ["null_content", "no_choices", "filtered", "no_usage", "wrong_type"])
def test_what_was_paid_for_is_cached_though_it_has_no_text(sim, client, fault):
    """Null content, or empty choices with usage, is a paid answer: it isn't bought twice."""
    sim.faults = Faults(**{fault: 1.0})
    for _ in range(2):
        if fault in ("no_usage", "wrong_type"):
            out = ask(frame(2), client)
        else:
            with pytest.warns(tsn.errors.TSNWarning, match="2 of 2 rows"):
                out = ask(frame(2), client)
    assert sim.stats().requests == 2 and out["cached"].all()


@pytest.mark.parametrize("fault", ["error_500", "malformed", "cut_json", "empty_body", "html", "truncate", "error_other"])
def test_errors_and_bodies_that_cannot_be_read_are_never_cached(sim, client, fault):
    """When the server is well again, the rows are asked again."""
    client = tsn.Client(
        sim.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path,
        retry=tsn.Retry(attempts=1, unreadable=1),
    )  # fmt: skip
    sim.faults = Faults(**{fault: 1.0})
    with pytest.warns(tsn.errors.TSNWarning, match="2 of 2 rows"):
        ask(frame(2), client)
    assert client.cache.stats().answers == 0
    sim.faults = Faults()
    out = ask(frame(2), client)
    assert out["content"].notna().all() and not out["cached"].any()


def test_a_refresh_that_fails_leaves_the_old_answer(sim, client):
    """The answer that was paid for stays until there is a better one."""
    client = tsn.Client(
        sim.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path, retry=tsn.Retry(attempts=1)
    )
    ask(frame(2), client)
    old = bodies(client)
    sim.faults = Faults(error_500=1.0)
    with pytest.warns(tsn.errors.TSNWarning, match="2 of 2 rows"):
        ask(frame(2), client, cache="refresh")
    assert bodies(client) == old
    assert ask(frame(2), client)["cached"].all()


def test_bodies_are_stored_inline_unchanged(sim, client):
    """A row of the file is the key and the very bytes of the answer; no other file holds any."""
    df = pd.DataFrame({"text": ["short", "long " * 20_000]})
    out = ask(df, client, include=("request_key",))
    stored = bodies(client)
    for key, content in zip(out["request_key"], out["content"], strict=True):
        assert json.loads(stored[bytes.fromhex(key)])["choices"][0]["message"]["content"] == content
    assert {path.name for path in client.cache.folder.iterdir()} <= {
        f"{name}{ending}" for name in ("cache.db", FLIGHTS) for ending in ("", "-wal", "-shm")
    }


def test_bytes_come_back_identical(tmp_path):
    """Whatever bytes a server wrote: zeros, no UTF-8, spaces, a long body over many pages."""
    rows = [(bytes([i]) * 32, body, float(i)) for i, body in enumerate([b"\0\xff{ }\n", b"x" * 300_000, bytes(range(256)) * 9])]
    store = Store(tmp_path)
    store.write(rows)
    store.close()
    assert found([key for key, *_ in rows], tmp_path) == rows


def test_nothing_is_ever_evicted(tmp_path):
    """diskcache would delete at 1 GiB, or at what a planted setting says; here 20,000 answers outlive a limit of one byte."""
    store = Store(tmp_path)
    rows = [(i.to_bytes(32, "big"), b"%400d" % i, 1.0) for i in range(20_000)]
    store.write(rows[:10_000])
    store.close()
    with sqlite3.connect(tmp_path / "cache.db") as connection:
        planted = {"size_limit": 1, "cull_limit": 10_000, "eviction_policy": "least-recently-stored"}
        connection.executemany("UPDATE Settings SET value = ? WHERE key = ?", [(v, k) for k, v in planted.items()])
        connection.execute("UPDATE Cache SET expire_time = 1")
    connection.close()
    store = Store(tmp_path)
    store.write(rows[10_000:])
    settings = dict(store._connection.execute("SELECT key, value FROM Settings"))
    store.close()
    assert (settings["eviction_policy"], settings["cull_limit"], settings["size_limit"]) == ("none", 0, 2**62)
    assert len(found([key for key, *_ in rows], tmp_path)) == 20_000


def test_few_keys_of_many_rows_are_found_by_the_index(tmp_path):
    """The two ways of the bulk lookup, index and full scan, bring the same."""
    store = Store(tmp_path)
    rows = [(i.to_bytes(32, "big"), b"%d" % i, float(i)) for i in range(5_000)]
    store.write(rows)
    store.close()
    keys = [rows[i][0] for i in range(0, 1_400, 2)] + [b"?" * 32] * 2  # over one chunk, under a third
    assert {key: int(body) for key, body, _ in found(keys, tmp_path)} == {key: int.from_bytes(key, "big") for key in keys[:-2]}


# What a user asks of it


def test_stats_and_frame_describe_the_answers(client):
    """How many, how old, how large; and a row an answer."""
    assert client.cache.stats()[1:] == (0, 0, None, None) and client.cache.to_frame().empty
    out = ask(frame(3), client, include=("request_key",))
    stats, table = client.cache.stats(), client.cache.to_frame()
    assert stats.answers == 3 and stats.bytes > 3_000 and stats.oldest <= stats.newest
    assert set(table["request_key"]) == set(out["request_key"]) and set(table["content"]) == set(out["content"])
    assert str(table["answered_at"].dtype) == "datetime64[us]" and table["bytes"].dtype == "int64"
    assert {str(table[f"{n}_tokens"].dtype) for n in ("prompt", "completion", "total")} == {"Int64"}


def test_prune_deletes_what_is_older_and_nothing_else(sim, client):
    """Only prune deletes, and only by age."""
    assert client.cache.prune(older_than=timedelta(0)) == 0 and not client.cache.folder.exists()
    ask(frame(3), client)
    with sqlite3.connect(client.cache.file) as connection:
        connection.execute("UPDATE Cache SET store_time = store_time - 100 * 86400 WHERE rowid = 1")
    connection.close()
    assert client.cache.prune(older_than=pd.Timedelta("90D")) == 1 and client.cache.stats().answers == 2
    assert client.cache.prune(older_than=pd.Timedelta("90D")) == 0
    ask(frame(3), client)
    assert sim.stats().requests == 4


@pytest.mark.parametrize("span", [90, "90D", pd.NaT, timedelta(days=-1), None])
def test_prune_wants_a_time_span(client, span):
    """A number could be days or seconds: it is refused."""
    with pytest.raises(tsn.errors.CacheError, match="older_than must be a time span"):
        client.cache.prune(older_than=span)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_an_exported_cache_answers_a_colleague_without_a_request(sim, client, tmp_path, ending):
    """export, load, run: the same answers with their times, and 0 requests."""
    out = ask(frame(5), client)
    path = tmp_path / f"answers.{ending}"
    assert client.cache.export(path) == 5 and path.stat().st_mode & 0o777 == 0o600
    other = tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "other", ledger=tmp_path / "other.db")
    assert (other.cache.load(path), other.cache.load(path)) == (5, 0)
    sim.reset_stats()
    again = ask(frame(5), other)
    assert sim.stats().requests == 0 and again["content"].tolist() == out["content"].tolist()
    order = ["request_key"]
    left, right = (c.cache.to_frame().sort_values(order, ignore_index=True) for c in (client, other))
    pd.testing.assert_frame_equal(left, right)


def test_load_keeps_the_answers_that_are_there(client, tmp_path):
    """A colleague's answer never replaces the user's own."""
    ask(frame(2), client)
    client.cache.export(tmp_path / "old.jsonl")
    ask(frame(3), client, cache="refresh")
    mine = bodies(client)
    assert client.cache.load(tmp_path / "old.jsonl") == 0 and bodies(client) == mine


def good_line(**changes):
    body = b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}'
    import base64

    return json.dumps({"request_key": "ab" * 32, "answered_at": 1.5, "body": base64.b64encode(body).decode()} | changes)


@pytest.mark.parametrize(
    "bad",
    [
        "not json", "[]", "[" * 100_000, "", '"text"', "\0", good_line(request_key="ab"), good_line(request_key=5),
        good_line(body="%%%"), good_line(body="bm90IGpzb24="), good_line(body=None), good_line(answered_at="x"),
        good_line(answered_at=True), good_line(answered_at=float("nan")), good_line(answered_at=float("inf")),
        good_line(answered_at=-1), "\N{LATIN SMALL LETTER E WITH ACUTE}".encode("latin-1"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_bad_file_is_refused_whole(client, tmp_path, bad):
    """A file with one bad line adds nothing, and the message names the file and the line."""
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b"\n".join([good_line().encode(), bad if isinstance(bad, bytes) else bad.encode(), b"{}"]))
    with pytest.raises(tsn.errors.CacheError, match=r"bad\.jsonl.*2"):
        client.cache.load(path)
    assert client.cache.stats().answers == 0


def test_a_bad_parquet_file_is_refused_whole(client, tmp_path):
    """Another program's Parquet, and no Parquet at all."""
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "other.parquet")
    rows = {"request_key": [b"a" * 32, b"b"], "answered_at": [1.0, None], "body": [json.loads(good_line())["body"].encode()] * 2}
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    (tmp_path / "empty.parquet").write_bytes(b"")
    for path in sorted(tmp_path.glob("*.parquet")):
        with pytest.raises(tsn.errors.CacheError, match=path.name):
            client.cache.load(path)
    assert client.cache.stats().answers == 0


def test_a_file_that_is_not_there_or_of_another_kind_is_named(client, tmp_path):
    """Each with what to do."""
    (tmp_path / "folder.jsonl").mkdir()
    for name in ("none.jsonl", "folder.jsonl"):
        with pytest.raises(tsn.errors.CacheError, match="there is no file"):
            client.cache.load(tmp_path / name)
    for work in (client.cache.load, client.cache.export):
        with pytest.raises(tsn.errors.CacheError, match=r"\.jsonl or \.parquet"):
            work(tmp_path / "answers.csv")
    with pytest.raises(tsn.errors.CacheError, match="can't be written"):
        client.cache.export(tmp_path / "no folder" / "answers.jsonl")


def test_an_export_that_fails_leaves_the_old_file(client, tmp_path):
    """A file is replaced only when the new one is whole."""
    from tsn_frames.engine.cache.import_export import export

    ask(frame(2), client)
    path = tmp_path / "answers.jsonl"
    client.cache.export(path)
    old = path.read_bytes()

    def broken():
        yield b"k" * 32, b"{}", 1.0
        raise OSError("the disk is gone")

    with pytest.raises(tsn.errors.CacheError, match="the disk is gone"):
        export(broken(), path, {})
    assert path.read_bytes() == old and not list(tmp_path.glob("*.part")) + list(tmp_path.glob(".*part"))


def test_parquet_without_pyarrow_says_what_to_install(client, tmp_path):
    """In a process without pyarrow; JSON lines still work there."""
    ask(frame(1), client)
    code = f"""
import sys; sys.modules["pyarrow"] = None; sys.modules["pyarrow.parquet"] = None
import tsn_frames as tsn
cache = tsn.Client("http://127.0.0.1:9", model="m", cache={str(client.cache.folder)!r}).cache
assert cache.export({str(tmp_path / "a.jsonl")!r}) == 1
try: cache.export({str(tmp_path / "a.parquet")!r})
except tsn.errors.CacheError as error: print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'tsn-frames[parquet]'" in done.stdout, done.stderr
    assert not (tmp_path / "a.parquet").exists()


# Where it lies


def test_the_folder_is_the_environments(sim, monkeypatch, tmp_path):
    """TSN_CACHE_DIR, with a home or a variable in it, and cache= before it."""
    monkeypatch.setenv("TSN_CACHE_DIR", str(tmp_path / "by environment"))
    client = tsn.Client(sim.base_url, model="sim-small")
    ask(frame(1), client)
    assert (tmp_path / "by environment" / "cache.db").exists()
    assert tsn.Client(sim.base_url, cache=tmp_path / "given").cache.folder == tmp_path / "given"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PLACE", str(tmp_path / "place"))
    assert tsn.Client(sim.base_url, cache="~/c").cache.folder == tmp_path / "home" / "c"
    client = tsn.Client(sim.base_url, model="sim-small", cache="$PLACE/c")
    ask(frame(1), client)
    assert (tmp_path / "place" / "c" / "cache.db").exists() and ask(frame(1), client)["cached"].all()


def test_a_relative_folder_stays_where_it_was_named(sim, monkeypatch, tmp_path):
    """A notebook that changes its folder finds its answers still."""
    monkeypatch.chdir(tmp_path)
    client = tsn.Client(sim.base_url, model="sim-small", cache="answers", ledger="ledger.db")
    ask(frame(1), client)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert ask(frame(1), client)["cached"].all() and not list((tmp_path / "sub").iterdir())


@pytest.mark.parametrize("path", [5, b"bytes", " "])
def test_a_path_that_is_none_is_refused(path):
    """Before anything is sent."""
    with pytest.raises(tsn.errors.ConfigError, match="must be the path"):
        tsn.Client("http://127.0.0.1:9", cache=path)
    with pytest.raises(tsn.errors.ConfigError, match="must be the path"):
        tsn.Client("http://127.0.0.1:9", ledger=path)


def test_a_newer_schema_is_refused_and_untouched(client):
    """An older version does not guess at what a newer one wrote."""
    ask(frame(1), client)
    with sqlite3.connect(client.cache.file) as connection:
        connection.execute("UPDATE Settings SET value = 99 WHERE key = 'tsn_schema'")
    connection.close()
    before = client.cache.file.read_bytes()
    for work in (
        client.cache.stats,
        client.cache.open,
        client.cache.to_frame,
        lambda: client.cache.prune(older_than=timedelta(0)),
    ):
        with pytest.raises(tsn.errors.CacheError, match=r"newer tsn_frames \(schema 99.*upgrade"):
            work()
    assert client.cache.file.read_bytes() == before
