"""A command line in this process: its exit code, and what it writes."""

import io
import sys
from typing import NamedTuple

import pytest

from tsn_frames.cli.main import main
from tsn_frames.engine.runtime.process import process_state


class Ended(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def shell(sim, tmp_path, monkeypatch, capsys):
    """Run a command line in a folder of its own, with the simulator as the service."""
    monkeypatch.setenv("TSN_BASE_URL", sim.base_url)
    monkeypatch.setenv("TSN_MODEL", "sim-small")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(process_state, "last_run", None)

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(list(arguments))
        captured = capsys.readouterr()
        return Ended(int(code), captured.out, captured.err)

    return run
