"""The errors of a first hour: the page shows what a real IPython kernel shows, and no error is longer than six lines.

``python tests/docs/test_first_errors.py`` runs the page's cells again and writes their errors into it.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.kernel import Kernel

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "first-errors.md"
CELL = re.compile(
    r"^(<!-- not run: (?P<reason>[^\n]*) -->\n```python\n(?P<code>.*?)^```)(?:\n\n```text\n(?P<shown>.*?)^```)?$",
    re.MULTILINE | re.DOTALL,
)
MOST_LINES = 6
VARYING = [(r"127\.0\.0\.1:\d{4,}", "127.0.0.1:8000"), (r"stopped: \d+ of", "stopped: 4 of")]


def cells():
    return list(CELL.finditer(PAGE.read_text(encoding="utf-8")))


def same(lines):
    text = "\n".join(lines)
    for pattern, stands_for in VARYING:
        text = re.sub(pattern, stands_for, text)
    return text


def shown_by_a_kernel(folder):
    """Run every cell of the page, and return the error of each as a list of lines."""
    places = {"TSN_CACHE_DIR": str(folder / "cache"), "TSN_LEDGER": str(folder / "ledger.db")}
    with Kernel(folder, **places) as kernel:
        return [run(kernel, cell) for cell in cells()]


def run(kernel, cell):
    kernel.start(cell["code"])
    if "interrupt" in cell["reason"]:
        kernel.wait_until(r"\b[1-9]\d* of 20 rows")  # a busy machine may not show each number
        kernel.interrupt()
    return kernel.end().error


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TSN_API_KEY", "TSN_BASE_URL", "TSN_MODEL", "TSN_PRICES"):
            patch.delenv(name, raising=False)
        return shown_by_a_kernel(folder)


@pytest.mark.slow
def test_the_page_shows_what_a_kernel_shows(shown):
    for cell, lines in zip(cells(), shown, strict=True):
        assert same(lines) == (cell["shown"] or "").strip("\n"), cell["code"]


@pytest.mark.slow
def test_no_error_is_longer_than_six_lines(shown):
    assert [len(lines) for lines in shown if len(lines) > MOST_LINES] == []


def test_the_page_has_twelve_errors_each_with_the_line_of_its_cell():
    found = [cell for cell in cells() if cell["shown"]]
    assert len(found) == 12
    for cell in found:
        line = int(re.match(r"----> (\d+) ", cell["shown"])[1])
        assert cell["shown"].splitlines()[0].partition(f"{line} ")[2].rstrip("… ") in cell["code"].splitlines()[line - 1]


def rewrite():
    with tempfile.TemporaryDirectory() as folder:
        (place := Path(folder) / "shop").mkdir()
        found = shown_by_a_kernel(place)
    text = PAGE.read_text(encoding="utf-8")
    for cell, lines in reversed(list(zip(cells(), found, strict=True))):
        shown = f"\n\n```text\n{same(lines)}\n```" if lines else ""
        text = text[: cell.start()] + cell[1] + shown + text[cell.end() :]
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    rewrite()
