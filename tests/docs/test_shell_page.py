"""The shell commands of the docs run, and print what the page shows.

``python tests/docs/test_shell_page.py`` runs them again and writes their output into the page.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tsn_frames.simulator import Simulator

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "shell.md"
BLOCK = re.compile(r"^(?P<skip><!-- not run: [^\n]{10,} -->\n)?```console\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
VARYING = [
    (r"127\.0\.0\.1:\d{4,}", "127.0.0.1:8000"),
    (r"\b\d+\.\d+ s\b|\b\d+(e\+\d+)? s(?= each as the ledger)", "SECONDS s"),
    (r"(?m)^minutes +(under )?[\d,.]+ +", "minutes MINUTES "),  # computed from those
    (r"\b[\d,.]+ (KB|MB)\b", "SIZE"),
    (r"from \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d", "from DAY to DAY"),
    (r"in /\S+/", "in ~/"),
]


def commands(text):
    """Return the commands of a block, each with the output that it shows."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert not parts[0], f"a block begins with a command: {parts[0]!r}"
    return [part.partition("\n")[::2] for part in parts[1:]]


def normal(text):
    for pattern, stands_for in VARYING:
        text = re.sub(pattern, stands_for, text)
    return text


def run_block(text, folder, environ):
    """Run the commands of a block, and return it with what they print; output that only varies stays."""
    out = ""
    for command, shown in commands(text):
        ended = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert "Traceback" not in ended.stdout, ended.stdout
        same = normal(ended.stdout) == normal(shown)
        out += f"$ {command}\n{shown if same else readable(ended.stdout)}"
    return out


def readable(text):
    for pattern, stands_for in (VARYING[0], VARYING[-1]):
        text = re.sub(pattern, stands_for, text)
    return text


def page_as_it_prints(folder):
    """Return the page with the output that its commands print now."""
    with Simulator(seed=0, latency=0.05) as sim:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TSN_")} | {
            "TSN_BASE_URL": sim.base_url, "TSN_MODEL": "sim-small", "TSN_CACHE_DIR": f"{folder}/.cache/answers",
            "TSN_LEDGER": f"{folder}/.ledger.db", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }  # fmt: skip

        def printed(found):
            return found[0] if found["skip"] else f"```console\n{run_block(found['text'], folder, environ)}```"

        return BLOCK.sub(printed, PAGE.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(os.name != "posix", reason="runs bash")
def test_the_commands_of_the_page_print_what_it_shows(tmp_path):
    assert page_as_it_prints(tmp_path) == PAGE.read_text(encoding="utf-8")


def test_every_command_of_the_page_is_one_of_the_program():
    program = pytest.importorskip("tsn_frames.cli.program").program
    for found in BLOCK.finditer(PAGE.read_text(encoding="utf-8")):
        for command, _ in commands(found["text"]):
            for name in re.findall(r"\btsn-frames (\w+)", command):
                assert name in program.commands, command


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        PAGE.write_text(page_as_it_prints(Path(place)), encoding="utf-8")
