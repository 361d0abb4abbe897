"""A cache folder that others planted, damaged, locked, filled or took away: nothing runs, nothing is lost, the run goes on."""

import os
import pickle
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import warnings
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import diskcache
import pandas as pd
import pytest
from support.python_process import run_python
from support.waiting import wait_until

import tsn_frames as tsn
from tsn_frames.engine.cache.in_flight_requests import FLIGHTS, Flights
from tsn_frames.engine.cache.repair import lookup, scan
from tsn_frames.engine.cache.salvage_answers import salvage
from tsn_frames.engine.cache.store import Store
from tsn_frames.engine.run import cache_lookup
from tsn_frames.engine.runtime import writer
from tsn_frames.engine.storage import sqlite
from tsn_frames.simulator import Simulator

PROMPT = "Say: {text}"
ROWS = 200


def frame(number=ROWS):
    return pd.DataFrame({"text": [f"message {i}" for i in range(number)]})


def ask(df, client, **words):
    return df.tsn.complete(PROMPT, client=client, progress=False, **words)


def start(df, client, **words):
    return df.tsn.start(PROMPT, client=client, progress=False, **words)


def at(sim, folder, **words):
    return tsn.Client(sim.base_url, model="sim-small", cache=folder / "cache", ledger=folder / "ledger.db", **words)


def found(keys, client):
    """Those keys that the bulk lookup finds."""
    index = {key: at for at, key in enumerate(keys)}
    return lookup(client.cache.file, index, lambda rows: [keys[at] for at, *_ in rows])


@contextmanager
def warned(text=None):
    """Exactly one warning of ours with a text in it, or none at all."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    texts = [str(w.message) for w in found]
    assert len(texts) == (text is not None), texts
    assert text is None or text in texts[0], texts


def change(file, *commands, values=()):
    """Do something to the file with plain SQLite, as anybody can."""
    with closing(sqlite3.connect(file)) as connection:
        for command in commands:
            connection.execute(command, values)
        connection.commit()


@pytest.fixture(scope="module")
def server():
    with Simulator(seed=0, latency=0.0) as sim:
        yield sim


@pytest.fixture(scope="module")
def healthy(server, tmp_path_factory):
    """A whole cache file of 200 answers, as bytes."""
    folder = tmp_path_factory.mktemp("healthy")
    ask(frame(), at(server, folder))
    return (folder / "cache" / "cache.db").read_bytes()


@pytest.fixture
def filled(server, healthy, tmp_path):
    """A client of the server with that file as its cache."""
    client = at(server, tmp_path)
    client.cache.folder.mkdir(mode=0o700)
    client.cache.file.write_bytes(healthy)
    server.reset_stats()
    return client


# Planted rows


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


PLANTED = {
    "a pickle": "mode = 4, value = ?",
    "a pickle for diskcache's index": "raw = 0, mode = 4, value = ?",
    "a pickle in another file": "mode = 4, value = NULL, filename = 'bomb' || substr(?, 1, 0)",
    "another file": "mode = 2, value = NULL, filename = '../secret.txt' || substr(?, 1, 0)",
    "another file as text": "mode = 3, value = NULL, filename = '../secret.txt' || substr(?, 1, 0)",
    "a file beside the value": "filename = '../secret.txt' || substr(?, 1, 0)",
    "text": "mode = 1, value = 'text' || substr(?, 1, 0)",
    "a number": "value = 5 + length(?)",
    "nothing": "value = substr(NULL, length(?))",
    "another checksum": "tag = 1 + length(?)",
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_row_is_not_an_answer_on_any_path(server, filled, tmp_path, what):
    """Single read, bulk reads by index and by scan, export, frame, prune, overwrite: nothing runs, nothing else is read."""
    secret, bomb = tmp_path / "secret.txt", tmp_path / "bomb went off"
    secret.write_text("a secret of the user")
    (filled.cache.folder / "bomb").write_bytes(pickle.dumps(Bomb(bomb)))
    keys = [key for key, *_ in scan(filled.cache.file)]
    change(filled.cache.file, f"UPDATE Cache SET {PLANTED[what]} WHERE key = ?", values=(pickle.dumps(Bomb(bomb)), keys[0]))
    assert found(keys[:1], filled) == []  # by the index
    assert set(found(keys, filled)) == set(keys[1:])  # by a scan
    assert filled.cache.export(tmp_path / "out.jsonl") == len(filled.cache.to_frame()) == ROWS - 1
    assert filled.cache.stats().answers == ROWS - (what != "another checksum")
    server.reset_stats()
    out = ask(frame(), filled)
    assert server.stats().requests == 1 and (~out["cached"]).sum() == 1 and out["content"].notna().all()
    assert ask(frame(), filled)["cached"].all()  # overwritten with an answer
    filled.cache.prune(older_than=timedelta(0))
    assert secret.read_text() == "a secret of the user" and (filled.cache.folder / "bomb").exists() and not bomb.exists()


@pytest.mark.parametrize("when", ["'yesterday'", "NULL", "x'00'", "-1", "9e999", "1e300"])
def test_a_planted_time_is_not_an_answer_and_hides_no_other(server, filled, when):
    """A time that can't be one: that row is asked again, all others come from the cache."""
    key = next(key for key, *_ in scan(filled.cache.file))
    change(filled.cache.file, f"UPDATE Cache SET store_time = {when} WHERE key = ?", values=(key,))
    server.reset_stats()
    out = ask(frame(), filled, include=["answered_at"])
    assert server.stats().requests == 1 and out["content"].notna().all() and out["answered_at"].notna().all()
    assert len(filled.cache.to_frame()) == ROWS


def test_planted_keys_are_passed_over(filled, tmp_path):
    """Keys of other lengths and types, pickled ones too, are not rows of ours, and a frame or an export is made of the rest."""
    bomb = tmp_path / "bomb went off"
    for raw, key in [(1, b"short"), (1, b"k" * 33), (1, "text" * 8), (1, 5), (0, pickle.dumps(Bomb(bomb))), (1, None)]:
        change(filled.cache.file, "INSERT INTO Cache (key, raw, mode, value) VALUES (?, ?, 1, x'00')", values=(key, raw))
    assert filled.cache.stats().answers == len(filled.cache.to_frame()) == ROWS
    assert found([b"k" * 32], filled) == []
    assert filled.cache.export(tmp_path / "out.parquet") == ROWS and not bomb.exists()


def test_load_takes_the_place_of_a_planted_row(filled, tmp_path):
    """A row that is not an answer doesn't keep a colleague's answer out."""
    filled.cache.export(tmp_path / "out.jsonl")
    change(filled.cache.file, "UPDATE Cache SET mode = 4 WHERE rowid <= 3")
    assert filled.cache.load(tmp_path / "out.jsonl") == 3 and filled.cache.stats().answers == ROWS


# Planted files

FOREIGN = {
    "a method": ["INSERT INTO Settings VALUES ('get', 'x')"],
    "a folder": ["INSERT INTO Settings VALUES ('_directory', '/tmp')"],
    "a command": ["INSERT INTO Settings VALUES ('sqlite_bogus = 1; --', 'x')"],
    "a disk's word": ["INSERT INTO Settings VALUES ('disk_foo', 1)"],
    "a setting of bytes": ["INSERT INTO Settings VALUES (x'00', 1)"],
    "no mark of ours": ["DELETE FROM Settings WHERE key = 'tsn_schema'"],
    "a mark of text": ["UPDATE Settings SET value = 'one' WHERE key = 'tsn_schema'"],
    "a trigger": ["CREATE TRIGGER extra AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END"],
    "a trigger under diskcache's name": [
        "DROP TRIGGER Settings_count_insert",
        "CREATE TRIGGER Settings_count_insert AFTER INSERT ON Cache FOR EACH ROW BEGIN DELETE FROM Cache; END",
    ],
    "a view": ["CREATE VIEW extra AS SELECT 1"],
    "a view named Cache": [
        "DROP TABLE Cache",
        "CREATE VIEW Cache AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT i AS key, i AS value FROM n",
    ],
    "an index that computes": ["CREATE INDEX extra ON Cache (hex(value))"],
    "a column that computes": ["ALTER TABLE Cache ADD COLUMN extra AS (hex(zeroblob(100000000)))"],
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_file_that_would_do_more_than_hold_answers_is_refused(server, filled, tmp_path, what):
    """It is named and not touched, and a run over it sends nothing."""
    change(filled.cache.file, *FOREIGN[what])
    before = filled.cache.file.read_bytes()
    for work in (filled.cache.stats, filled.cache.to_frame, filled.cache.open, lambda: filled.cache.export(tmp_path / "x.jsonl")):
        with pytest.raises(tsn.errors.CacheError, match=r"cache\.db is not a cache of tsn_frames.*give another folder as cache="):
            work()
    asked = server.stats().requests
    with pytest.raises(tsn.errors.CacheError, match="is not a cache of tsn_frames"):
        ask(frame(3), filled)
    assert server.stats().requests == asked and filled.cache.file.read_bytes() == before


def test_another_programs_diskcache_is_refused_without_a_change(server, tmp_path):
    """A folder of stock diskcache, empty or not, is its owner's."""
    for number in (0, 3):
        client = at(server, tmp_path / str(number))
        with closing(diskcache.Cache(str(client.cache.folder))) as other:
            for i in range(number):
                other[i] = {"a": i}
        before = client.cache.file.read_bytes()
        with pytest.raises(tsn.errors.CacheError, match="another program's"):
            client.cache.stats()
        with pytest.raises(tsn.errors.CacheError, match="another program's"):
            ask(frame(2), client)
        assert client.cache.file.read_bytes() == before
        with closing(diskcache.Cache(str(client.cache.folder))) as other:
            assert [other[i] for i in range(number)] == [{"a": i} for i in range(number)]


def test_a_link_in_the_place_of_the_file_is_refused(server, tmp_path):
    """A planted link must not make us write into, or close to others, a file elsewhere; a linked folder is fine."""
    client = at(server, tmp_path)
    client.cache.folder.mkdir()
    target = tmp_path / "target"
    target.write_text("mine")
    target.chmod(0o644)
    client.cache.file.symlink_to(target)
    with pytest.raises(tsn.errors.CacheError, match="is a symbolic link"):
        ask(frame(2), client)
    assert target.read_text() == "mine" and target.stat().st_mode & 0o777 == 0o644
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "cache").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    ask(frame(2), at(server, tmp_path / "linked"))
    assert (tmp_path / "elsewhere" / "cache.db").exists()


# Who may read it


def test_only_the_owner_reads_the_files(tmp_path):
    """0700 and 0600 under the usual umask, SQLite's helper files too; the umask itself stays as it is."""
    old = os.umask(0o022)
    try:
        store = Store(tmp_path / "a" / "cache")
        store.write([(b"k" * 32, b"{}", 1.0)])
        modes = {p.name: p.stat().st_mode & 0o777 for p in store.folder.iterdir()}
        store.close()
        ledger = tsn.Client("http://127.0.0.1:9", ledger=tmp_path / "b" / "ledger.db").ledger.open()
        modes |= {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "b").iterdir()}
        ledger.close()
    finally:
        seen = os.umask(old)
    assert modes == {f"{name}{ending}": 0o600 for name in ("cache.db", "ledger.db") for ending in ("", "-wal", "-shm")}
    assert seen == 0o022
    assert (tmp_path / "a" / "cache").stat().st_mode & 0o777 == (tmp_path / "b").stat().st_mode & 0o777 == 0o700


def test_files_that_others_could_read_are_closed_to_them_but_no_folder_of_other_things(tmp_path):
    """An old file of ours is closed; a project folder that was given as cache= is not ours to close."""
    for name in ("ours", "project"):
        (tmp_path / name).mkdir(mode=0o755)
        Store(tmp_path / name).close()
        (tmp_path / name).chmod(0o755)
        (tmp_path / name / "cache.db").chmod(0o644)
    (tmp_path / "project" / "notebook.ipynb").touch()
    for name in ("ours", "project"):
        Store(tmp_path / name).close()
        assert (tmp_path / name / "cache.db").stat().st_mode & 0o777 == 0o600
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("ours", "project")] == [0o700, 0o755]


# Damaged files


def overwrite(data, start, piece):
    return data[:start] + piece + data[start + len(piece) :]


DAMAGES = {
    "header overwritten": (lambda d: overwrite(d, 0, b"\xaa" * 100), ROWS),
    "first page overwritten": (lambda d: overwrite(d, 0, b"\0" * 4096), ROWS),
    "zeros in the middle": (lambda d: overwrite(d, len(d) // 8192 * 4096, b"\0" * 16384), ROWS - 40),
    "truncated to half": (lambda d: d[: len(d) // 2], ROWS // 3),
    "truncated to a few bytes": (lambda d: d[:50], 0),
    "not a database": (lambda d: b"hello, world\n" * 5_000, 0),
    "noise": (lambda d: random.Random(1).randbytes(len(d)), 0),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_file_is_put_aside_and_what_can_be_read_is_kept(server, filled, what):
    """One warning that names the path, nothing deleted, and only what is really lost is asked again."""
    damage, least = DAMAGES[what]
    damaged = damage(filled.cache.file.read_bytes())
    filled.cache.file.write_bytes(damaged)
    with warned(f"the old one is kept as {filled.cache.file}.corrupt-"):
        out = ask(frame(), filled)
    (aside,) = (path for path in filled.cache.folder.glob("cache.db.corrupt-*") if path.name[-1].isdigit())
    assert aside.read_bytes() == damaged
    assert out["content"].notna().all() and least <= out["cached"].sum() == ROWS - server.stats().requests
    with warned():
        assert ask(frame(), filled)["cached"].all()
    names = {f"{name}{ending}" for name in (aside.name, "cache.db", FLIGHTS) for ending in ("", "-wal", "-shm")}
    assert {path.name for path in filled.cache.folder.iterdir()} <= names


@pytest.mark.parametrize("work", ["stats", "to_frame", "export", "prune", "load"])
def test_whatever_meets_the_damage_first_recovers_the_file(filled, tmp_path, work):
    """Not only a run: the user's other words find a damaged file too."""
    filled.cache.export(tmp_path / "all.jsonl")
    filled.cache.file.write_bytes(overwrite(filled.cache.file.read_bytes(), 0, b"\0" * 100))
    words = {"prune": lambda: filled.cache.prune(older_than=timedelta(days=1)), "load": lambda: filled.cache.load(tmp_path / "all.jsonl"),
             "export": lambda: filled.cache.export(tmp_path / "again.jsonl")}  # fmt: skip
    with warned(".corrupt-"):
        words.get(work, getattr(filled.cache, work))()
    assert filled.cache.stats().answers == ROWS


def test_a_changed_byte_inside_an_answer_is_noticed(server, filled):
    """The file is sound for SQLite, but that body isn't what was paid for: that row alone is asked again."""
    data = filled.cache.file.read_bytes()
    place = data.index(b'"content"', len(data) // 2) + 12
    filled.cache.file.write_bytes(overwrite(data, place, bytes([data[place] ^ 1])))
    with warned():
        out = ask(frame(), filled)
    assert server.stats().requests == 1 and out["content"].notna().all() and out["cached"].sum() == ROWS - 1
    assert ask(frame(), filled)["cached"].all()


def test_an_empty_file_is_a_new_cache(filled):
    """Nothing was lost, so there is no warning."""
    filled.cache.file.write_bytes(b"")
    with warned():
        ask(frame(3), filled)
    assert filled.cache.stats().answers == 3 and len(list(filled.cache.folder.glob("*corrupt*"))) == 0


def test_damage_under_an_open_cache_costs_no_answer(tmp_path):
    """Another program writes over the file while a run writes into it: the frame is whole, and so is the cache afterwards."""
    with Simulator(seed=0, latency=0.02) as sim:
        client = at(sim, tmp_path, limits=tsn.Limits(4))
        ask(frame(50), client)
        code = "import sys; print(1, flush=True); sys.stdin.read(); f = open(sys.argv[1], 'r+b'); f.write(b'\\xaa' * 100_000)"
        words = [sys.executable, "-c", code, client.cache.file]
        other = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        other.stdout.read(1)  # it takes longer to start than the run takes to end
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = start(frame(150), client)
            while sim.stats().requests < 100:
                run.wait(0.02)
            other.communicate(timeout=60)
            assert other.returncode == 0
            assert run.result(progress=False)["content"].notna().all()
            out = ask(frame(150), client)
        assert out["content"].notna().all() and out["cached"].sum() >= 20
        with warned():
            assert ask(frame(150), client)["cached"].all()


def test_carving_finds_the_very_rows_with_their_log(tmp_path):
    """Bodies of all sizes, over many pages, some of them in the write-ahead log only, byte for byte and with their times."""
    dice = random.Random(3)
    rows = {
        dice.randbytes(32): (dice.randbytes(dice.choice([1, 300, 4000, 4061, 4062, 9000, 70_000])), dice.random() * 2e9)
        for _ in range(150)
    }
    rows[dice.randbytes(32)] = (b"whole seconds", 1_700_000_000.0)
    store = Store(tmp_path / "a")
    store.write((key, *value) for key, value in rows.items())
    replaced = dict.fromkeys(list(rows)[:20], (b"newer", 2e9))
    store.write((key, *value) for key, value in replaced.items())
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    store.close()
    assert (tmp_path / "b" / "cache.db-wal").stat().st_size > 0
    for folder in ("a", "b"):
        found = {}
        for key, body, when in sorted(salvage(tmp_path / folder / "cache.db"), key=lambda row: row[2]):
            found[key] = (body, when)
        assert found == rows | replaced


def test_salvage_of_noise_ends_and_finds_nothing(healthy, tmp_path):
    """Random bytes on pages that still look like SQLite's: no exception, no endless loop, no wrong answer."""
    dice = random.Random(5)
    (tmp_path / "good.db").write_bytes(healthy)
    good = {(key, body) for key, body, _ in salvage(tmp_path / "good.db")}
    assert len(good) == ROWS
    for _ in range(15):
        data = bytearray(healthy)
        for _ in range(300):
            data[dice.randrange(len(data))] = dice.randrange(256)
        (tmp_path / "bad.db").write_bytes(data)
        assert {(key, body) for key, body, _ in salvage(tmp_path / "bad.db")} <= good


# A disk that says no

SCRIPT = """
import os, resource, sys, tempfile, warnings, pandas as pd, tsn_frames as tsn
one = pd.DataFrame({{"text": ["so that all is imported"]}})
with tempfile.TemporaryDirectory() as place:
    one.tsn.complete("{{text}}", client=tsn.Client({url!r}, model="sim-small", cache=place + "/c", ledger=place + "/l"), progress=False)
{setup}
client = tsn.Client({url!r}, model="sim-small", cache={cache!r}, ledger={ledger!r})
df = pd.DataFrame({{"text": [f"message {{i}}" for i in range({rows})]}})
with warnings.catch_warnings(record=True) as found:
    warnings.simplefilter("always")
    out = df.tsn.complete("Say: {{text}}", client=client, progress=False)
print(out["content"].notna().sum(), out["cached"].sum(), sep="\\n")
for w in found: print(w.message)
"""


def elsewhere(setup="", **words):
    """Run a frame in another process; return how many rows are answered, how many came from the cache, and the warnings."""
    words = {name: str(value) if isinstance(value, Path) else value for name, value in words.items()}
    code = textwrap.dedent(SCRIPT).format(setup=setup, **words)
    done = run_python(code, cwd="/")
    assert done.returncode == 0, done.stderr
    answered, cached, *found = done.stdout.splitlines()
    return int(answered), int(cached), found


@pytest.fixture
def open_place():
    """A folder that another user can reach, which pytest's own is not."""
    place = Path(tempfile.mkdtemp(prefix="tsn_test_"))
    place.chmod(0o777)
    yield place
    for path in (place, *place.rglob("*")):
        if path.is_dir():
            path.chmod(0o777)
    shutil.rmtree(place)


NOBODY = "os.setgroups([]); os.setgid(65534); os.setuid(65534)" if os.geteuid() == 0 else ""


@pytest.mark.slow
def test_a_read_only_folder_still_answers_and_the_run_goes_on(server, healthy, open_place):
    """A cache that a team may read only: its answers are used, new ones are in the frame, one warning."""
    cache = open_place / "cache"
    cache.mkdir()
    (cache / "cache.db").write_bytes(healthy)
    (cache / "cache.db").chmod(0o444)
    cache.chmod(0o555)
    for rows, number in [(ROWS, 0), (ROWS + 5, 1)]:
        answered, cached, found = elsewhere(NOBODY, url=server.base_url, cache=cache, ledger=open_place / "l.db", rows=rows)
        assert (answered, cached, len(found)) == (rows, ROWS, number)
    assert "the cache can't be" in found[0] and str(cache) in found[0]
    assert [p.name for p in cache.iterdir()] == ["cache.db"] and (cache / "cache.db").read_bytes() == healthy


@pytest.mark.slow
def test_a_folder_that_cannot_be_made_or_read(server, open_place):
    """No right to make it, and no right to look into it: one warning each, all rows answered."""
    (open_place / "closed").mkdir(mode=0o700)
    (open_place / "closed").chmod(0o000)
    for cache in (open_place / "closed" / "cache", open_place / "closed"):
        answered, _, found = elsewhere(NOBODY, url=server.base_url, cache=cache, ledger=open_place / "l.db", rows=3)
        assert answered == 3 and len(found) == 1 and "the cache can't be" in found[0]


def test_a_path_that_is_a_file(server, tmp_path):
    """cache= names a file: it stays as it is, one warning, all rows answered."""
    (tmp_path / "cache").write_text("mine")
    with warned("the cache can't be"):
        assert ask(frame(3), at(server, tmp_path))["content"].notna().all()
    assert (tmp_path / "cache").read_text() == "mine"


@pytest.mark.slow
def test_a_full_disk_costs_no_answer(server, tmp_path):
    """No file may grow over 100 kB: answers that don't fit are in the frame, those before stay cached."""
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    place = {"url": server.base_url, "cache": tmp_path / "cache", "ledger": tmp_path / "ledger.db"}
    assert elsewhere(**place, rows=20)[0] == 20
    answered, cached, found = elsewhere(limit, **place, rows=600)
    assert (answered, cached) == (600, 20) and 1 <= len(found) <= 2  # the ledger's may be the second
    assert any("the cache can't be" in text for text in found)
    client = at(server, tmp_path)
    with warned():
        assert ask(frame(20), client)["cached"].all()
        ask(frame(600), client)
        assert ask(frame(600), client)["cached"].all()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        shutil.which("mount") is None
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True, check=False).returncode
    ):
        pytest.skip("a small disk can't be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.slow
def test_a_disk_that_is_full_for_a_while_gets_the_answers_later(small_disk, tmp_path):
    """What could not be saved is kept in memory, and saved when there is room again: no warning, nothing to pay twice."""
    with Simulator(seed=0, latency=0.02) as sim:
        client = tsn.Client(
            sim.base_url, model="sim-small", cache=small_disk / "c", ledger=tmp_path / "l.db", limits=tsn.Limits(4)
        )
        ask(frame(10), client)
        ballast = small_disk / "ballast"
        with pytest.raises(OSError):
            ballast.write_bytes(b"x" * 2**20)
        run = start(frame(300), client)
        while sim.stats().answers < 250:
            run.wait(0.02)
        assert client.cache.stats().answers < 150
        ballast.unlink()
        with warned():
            assert run.result(progress=False)["content"].notna().all()
        assert client.cache.stats().answers == 300


def test_a_folder_deleted_under_an_open_cache_is_recreated(tmp_path, monkeypatch):
    """`rm -r` of the cache, and of the ledger, in the middle of a run: what comes after is saved."""
    before, after = set(), set()

    def write(self, rows):
        real(self, rows)
        (before if len(before) < 40 else after).update(key for key, *_ in rows)
        if len(before) >= 40 and not after:  # between two commits: what is in the cache can't have lost its line
            shutil.rmtree(self.folder)
            for path in tmp_path.glob("ledger.db*"):
                path.unlink()

    real = Store.write
    monkeypatch.setattr(Store, "write", write)
    with Simulator(seed=0, latency=0.0) as sim:
        client = at(sim, tmp_path, limits=tsn.Limits(4))
        with warned():
            assert ask(frame(120), client)["content"].notna().all()
        assert len(before) + len(after) == 120
        assert {key for key, *_ in scan(client.cache.file)} == {e.request_key for e in client.ledger.entries()} == after
        assert len(after) >= 40


@contextmanager
def locked(file, seconds):
    """Another process that holds a database for some time, or until the end of the block."""
    code = "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN EXCLUSIVE')\nprint(1, flush=True); time.sleep(float(sys.argv[2]))"
    with subprocess.Popen([sys.executable, "-c", code, str(file), str(seconds)], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def test_a_file_that_another_program_keeps_locked_costs_nothing_twice(sim, tmp_path, monkeypatch):
    """A run that can't read the cache sends nothing: it would pay again for what is cached."""
    client = at(sim, tmp_path)
    ask(frame(3), client)
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.05)
    monkeypatch.setattr(cache_lookup, "LOCKED_SECONDS", 0.2)
    with closing(sqlite3.connect(client.cache.file, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(tsn.errors.CacheError, match="is locked by another program"):
            ask(frame(3), client)
    assert ask(frame(3), client)["cached"].all() and sim.stats().requests == 3


def test_at_its_end_a_run_waits_for_a_locked_file(sim, tmp_path, monkeypatch):
    """What it could not store would be paid for again by the next run."""
    client = at(sim, tmp_path)
    ask(frame(1), client)
    monkeypatch.setattr(writer, "BUSY_TIMEOUT", 0.05)
    with locked(client.cache.file, 600):
        run = start(frame(40), client)
        wait_until(lambda: run.progress.answered == 40)
        assert not run.wait(1.0, progress=False), "it is over although its answers are not in the cache"
    with warned():
        assert run.result(progress=False)["content"].notna().all()
    assert ask(frame(40), client)["cached"].all() and sim.stats().requests == 40


def test_what_a_locked_file_keeps_from_being_stored_is_not_sent_by_another_process(sim, tmp_path, monkeypatch):
    client = at(sim, tmp_path)
    ask(frame(1), client)
    monkeypatch.setattr(writer, "BUSY_TIMEOUT", 0.05)
    with closing(Flights(client.cache.folder)) as other:
        other._connection.execute("UPDATE holders SET process = 'elsewhere 1'")
        other._process = "elsewhere 1"
        other.announce(())
        with locked(client.cache.file, 600):
            run = start(frame(8), client)
            wait_until(lambda: run.progress.answered == 8)
            assert not run.wait(1.0, progress=False)
            keys = [entry.request_key for entry in client.ledger.entries()][1:]
            assert [other.claim(key) for key in keys] == [False] * 7
        run.result(progress=False)
        stored = {key: body for key, body, _ in scan(client.cache.file)}
        assert [other.claim(key)[0] for key in keys] == [stored[key] for key in keys]


@pytest.mark.slow
def test_a_locked_file_is_waited_for_and_then_done_without(tmp_path, monkeypatch):
    """Locked for 2 s: no effect. For 5 s: saved later. For too long at the run's end: one warning, and all answers are in the frame."""
    monkeypatch.setattr(writer, "LOCKED_SECONDS", 5.0)
    with Simulator(seed=0, latency=0.01) as sim:
        clients = [at(sim, tmp_path / str(i)) for i in range(3)]
        for client in clients:
            ask(frame(1), client)
        two, five, ever = (locked(c.cache.file, s) for c, s in zip(clients, (2, 5, 60), strict=True))
        with two, five, ever:
            runs = [start(frame(40), client) for client in clients]
            with warned():
                outs = [run.result(progress=False) for run in runs[:2]]
            with warned("the cache can't be"):
                outs.append(runs[2].result(progress=False))
        assert "database is locked" in str(runs[2]._engine.problems)
        assert [out["content"].notna().sum() for out in outs] == [40] * 3
        assert [client.cache.stats().answers for client in clients] == [40, 40, 1]
        assert [out["cached"].sum() for out in outs] == [1, 1, 1]
