"""Opening an archive: a client that sends nothing, and files that are damaged, hostile or of another version."""

from __future__ import annotations

import json
import os
import pickle
import zipfile

import pandas as pd
import pytest

import tsn_frames as tsn
from tsn_frames.errors import CacheError, ConfigError, ParameterError, TSNWarning

DF = pd.DataFrame({"text": ["one", "two"]})


def ask(client, df=DF, **options):
    return df.tsn.complete("Say: {text}", client=client, progress=False, **options)


@pytest.fixture
def path(client, tmp_path):
    tsn.archive(tmp_path / "study.zip", ask(client), client=client)
    return tmp_path / "study.zip"


def changed(path, **contents):
    """The archive with some members replaced; None leaves one out."""
    with zipfile.ZipFile(path) as file:
        found = {name: file.read(name) for name in file.namelist()}
    made = path.with_name("changed.zip")
    with zipfile.ZipFile(made, "w") as file:
        for name, data in (found | contents).items():
            if data is not None:
                file.writestr(name, data)
    return made


def test_a_replay_sends_nothing_and_a_miss_says_why(path, sim):
    client, sent = tsn.load_archive(path), sim.stats().requests
    assert ask(client)["cached"].all()
    with pytest.warns(TSNWarning, match=r"1 of 1 row.*df\.tsn\.estimate"):
        out = ask(client, pd.DataFrame({"text": ["another"]}))
    assert out["error"].iloc[0].startswith("not_cached: the archive has no answer to this request")
    assert "changed: `temperature`" in str(tsn.estimate(DF.tsn.complete, "Say: {text}", temperature=0.5, client=client).notes)
    assert sim.stats().requests == sent


@pytest.mark.parametrize("options", [dict(cache="refresh"), dict(cache="off"), dict(refresh=DF["text"].notna())])
def test_what_would_send_is_refused(path, options):
    with pytest.raises(ParameterError):
        ask(tsn.load_archive(path), **options)


def test_nothing_can_be_sent_with_the_client(path, sim):
    """A chat, or a call that forgets to ask for the mode, ends before it opens a connection."""
    from tsn_frames.engine.runtime.session import open_session
    from tsn_frames.secret import Secret

    sent = sim.stats().requests
    with pytest.raises(ConfigError, match="sends no requests"):
        open_session(tsn.load_archive(path), Secret(None), store=True).__aenter__().send(None)
    assert sim.stats().requests == sent


def test_no_key_is_needed_for_a_service_elsewhere(client, tmp_path):
    """Answers of a service on another host are cached by hand: nothing can be asked there."""
    far = tsn.Client("https://api.example.com", model="m", cache=tmp_path / "far", ledger=tmp_path / "far.db")
    with pytest.warns(TSNWarning):
        missed = ask(far, cache="only", include="request_key")
    body = next(iter(pd.Series(ask(client)["content"])))
    answer = json.dumps({"choices": [{"message": {"content": body}, "finish_reason": "stop"}], "usage": {}}).encode()
    store = far.cache.open()
    store.write([(bytes.fromhex(key), answer, 1e9) for key in missed["request_key"]])
    store.close()
    out = ask(far, cache="only")
    tsn.archive(tmp_path / "far.zip", out, client=far)
    pd.testing.assert_frame_equal(ask(tsn.load_archive(tmp_path / "far.zip")), out)


def test_a_pickled_client_replays_too(path):
    client = pickle.loads(pickle.dumps(tsn.load_archive(path)))
    assert ask(client)["cached"].all() and client.cache.mode("use") == "only"


def test_a_given_folder_is_used_again_by_the_same_archive_only(path, client, tmp_path):
    folder = tmp_path / "opened"
    first = tsn.load_archive(path, folder=folder)
    assert {entry.name for entry in folder.iterdir()} >= {"REPORT.md", "manifest.json", "frames", "cache", "ledger.db"}
    assert tsn.load_archive(path, folder=folder) == first and tsn.runs(first)["end"].tolist() == ["done"]
    tsn.archive(path, ask(client), client=client)
    with pytest.raises(CacheError, match="is not empty"):
        tsn.load_archive(path, folder=folder)


def test_the_private_folder_is_the_users_own(path):
    folder = tsn.load_archive(path).cache.folder.parent
    assert os.name != "posix" or folder.stat().st_mode & 0o077 == 0


def test_an_archive_of_another_version_says_so(path):
    with zipfile.ZipFile(path) as file:
        manifest = json.loads(file.read("manifest.json"))
    newer = json.dumps({**manifest, "version": 99}).encode()
    with pytest.raises(CacheError, match=r"another tsn_frames.*upgrade"):
        tsn.load_archive(changed(path, **{"manifest.json": newer}))
    older = json.dumps({**manifest, "versions": {**manifest["versions"], "tsn-frames": "0.0.1"}}).encode()
    with pytest.warns(TSNWarning, match=r"made with tsn_frames '0\.0\.1'"):
        assert ask(tsn.load_archive(changed(path, **{"manifest.json": older})))["cached"].all()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"../evil.txt": b"x"}, "member '../evil.txt'"),
        ({"frames/../../evil.txt": b"x"}, "which no archive has"),
        ({"/evil.txt": b"x"}, "which no archive has"),
        ({"files/C:evil.txt": b"x"}, "which no archive has"),
        ({"files\\..\\evil.txt": b"x"}, "which no archive has"),
        ({"frames/FRAME-1.parquet": b"x"}, "two members of one name"),
        ({"manifest.json": None}, "no manifest.json"),
        ({"manifest.json": b"{"}, "can't be read"),
        ({"manifest.json": b"[1]"}, "another program's"),
        ({"answers.jsonl": b"{}\n"}, "not an exported answer"),
        ({"answers.jsonl": None}, "no answers.jsonl"),
        ({"ledger.jsonl": b'{"line":"run"}\n'}, "line 1 of its ledger.jsonl"),
        ({"ledger.jsonl": b'{"line":"settings","run":"a","settings":{"a":1}}\n'}, "wrong type"),
        ({"ledger.jsonl": b'{"line":"saving","time":"x","run":"a","host":"h","model":"m","tag":null,"kind":"cached","rows":1,'
          b'"prompt_tokens":1,"completion_tokens":1,"cost":null,"currency":null,"price_source":null}\n'}, "wrong type"),
        ({f"files/{number}": b"" for number in range(1001)}, "at most 1,000"),
    ],
)  # fmt: skip
def test_damaged_and_hostile_archives_are_refused(path, tmp_path, contents, message):
    made, before = changed(path, **contents), set(tmp_path.parent.rglob("*evil*"))
    folder = tmp_path / "opened"
    with pytest.raises(CacheError, match=message):
        tsn.load_archive(made, folder=folder)
    assert not any(folder.rglob("*")) and set(tmp_path.parent.rglob("*evil*")) == before


def test_a_zip_bomb_is_not_extracted(path, tmp_path):
    bomb = path.with_name("bomb.zip")
    with zipfile.ZipFile(path) as file, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as made:
        for name in file.namelist():
            made.writestr(name, file.read(name))
        made.writestr("files/zeros", bytes(30_000_000))
    assert bomb.stat().st_size < 100_000
    with pytest.raises(CacheError, match="max_bytes"):
        tsn.load_archive(bomb, max_bytes=10_000_000)
    assert ask(tsn.load_archive(bomb))["cached"].all()


def test_a_member_that_is_longer_than_declared_is_refused(path):
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        size = file.getinfo("answers.jsonl").file_size
    at = data.rindex(b"answers.jsonl") - 46 + 24  # the declared size in the central directory
    assert int.from_bytes(data[at : at + 4], "little") == size
    data[at : at + 4] = (10).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(CacheError, match="damaged"):
        tsn.load_archive(path)


@pytest.mark.parametrize("cut", [0, 1, 100, 2000, -1])
def test_a_cut_file_is_refused(path, cut):
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CacheError, match="damaged, or not an archive"):
        tsn.load_archive(path)


def test_flipped_bytes_are_an_error_or_change_nothing(path):
    """Whatever byte is flipped: a clear error, or the same answers."""
    whole, wanted = path.read_bytes(), ask(tsn.load_archive(path))["content"]
    for at in range(0, len(whole), max(1, len(whole) // 60)):
        data = bytearray(whole)
        data[at] ^= 0xFF
        path.write_bytes(data)
        try:
            client = tsn.load_archive(path)
        except CacheError:
            continue
        assert ask(client)["content"].equals(wanted)


def test_what_is_not_an_archive_is_refused(tmp_path):
    with pytest.raises(CacheError, match="there is no file"):
        tsn.load_archive(tmp_path / "nowhere.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("readme.txt", "x")
    with pytest.raises(CacheError, match=r"no manifest\.json"):
        tsn.load_archive(tmp_path / "other.zip")
    with pytest.raises(ParameterError, match="path of an archive"):
        tsn.load_archive(3)
