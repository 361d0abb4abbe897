"""An archive opens in an empty environment: no key, no network, an empty home folder, and equal frames."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
from support.canary import KEY
from support.labelling import client_of
from support.study import PRIVATE, TEXTS, calls, study_service

import tsn_frames as tsn

TESTS = Path(__file__).parents[1]
CHILD = """
import sys
def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname"):
        raise RuntimeError(f"the network was used: {event} {args}")
sys.addaudithook(refuse)
sys.path.insert(0, sys.argv[1])
import pandas as pd
import tsn_frames as tsn
from support.study import calls

client = tsn.load_archive(sys.argv[2])
found = calls(client)
for name, frame in found.items():
    pd.testing.assert_frame_equal(frame, pd.read_pickle(f"{sys.argv[3]}/{name}.pkl"))
runs = tsn.runs(client)
print(len(found), "equal frames,", runs["requests"].iloc[-8:].sum(), "requests")
"""


def test_a_study_replays_in_an_empty_environment(tmp_path):
    with study_service() as server:
        client = client_of(server.url, tmp_path, model="m", prices={"m": (2, 8), "n": (1, 1)}, api_key=KEY, keep_prompts=True)
        first, asked = calls(client), len(server.bodies)
        again = calls(client)
        assert len(server.bodies) == asked > 50
    for name, frame in again.items():
        frame.to_pickle(tmp_path / f"{name}.pkl")
    runs = [first["labelled"], first["extracted"], first["completed"], first["series"], *tsn.runs(client)["run"]]
    summary = tsn.archive(tmp_path / "study.zip", *runs, client=client)
    assert summary.answers == client.cache.stats().answers and summary.missing == 0 and summary.frames == 4
    empty = tmp_path / "empty"
    empty.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "PYTHONPATH") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(TESTS), str(tmp_path / "study.zip"), str(tmp_path)], env={**kept, "HOME": str(empty)},
        cwd=empty, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(first)} equal frames, 0 requests\n"
    assert not any(empty.rglob("*")), "nothing is written into the home folder"


def test_the_saved_frame_is_equal_but_for_what_was_paid(tmp_path):
    """The frame of the first run has paid; a replay has not."""
    with study_service() as server:
        client = client_of(server.url, tmp_path, model="m", prices={"m": (2, 8), "n": (1, 1)})
        first = calls(client)
    tsn.archive(tmp_path / "study.zip", first["labelled"], client=client)
    saved = pd.read_parquet(
        tsn.load_archive(tmp_path / "study.zip", folder=tmp_path / "open").cache.folder.parent / "frames/frame-1.parquet"
    )
    pd.testing.assert_frame_equal(saved, first["labelled"])
    replayed = calls_of_label(tsn.load_archive(tmp_path / "study.zip"))
    paid = ["tone_cost", "tone_cached"]
    pd.testing.assert_frame_equal(replayed.drop(columns=paid), saved.drop(columns=paid))
    assert saved["tone_cost"].sum() > 0 == replayed["tone_cost"].sum()


def calls_of_label(client):
    return calls(client)["labelled"]


def test_an_archive_holds_its_own_answers_and_no_key_and_no_prompt(tmp_path):
    with study_service() as server:
        client = client_of(
            server.url, tmp_path, model="m", api_key=KEY, keep_prompts=True, query={"version": "1", "code": "secret-code-1"}
        )
        first = calls(client)
        run = tsn.last_run()
    tsn.archive(tmp_path / "one.zip", first["series"].attrs["tsn_runs"], client=client)
    with zipfile.ZipFile(tmp_path / "one.zip") as file:
        content = {name: file.read(name).decode() for name in file.namelist()}
    whole = "\n".join(content.values())
    assert content["answers.jsonl"].count("request_key") == len(TEXTS) < client.cache.stats().answers
    for secret in (KEY, "secret-code-1", PRIVATE, "Be short.", "Again {text}"):
        assert secret not in whole
    assert run.ids and "version=1" in content["manifest.json"]
