"""Every test and file that a page names is there, and every name of the code on the pages for developers."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").rglob("*.md") if page.name != "changelog.md")]
FOLDERS = (ROOT, ROOT / "tsn_frames", ROOT / "tests")  # a page writes a path from one of these
OURS = re.compile(
    r"(?<![\w./-])(?:tests|tsn_frames|engine|api|verbs|frames|widget|plot|pricing|simulator|notebooks)/[\w/*-]+(?:\.\w+)?"
)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def defined_tests() -> dict[str, list[str]]:
    """Return the names of the tests by the name of their file; a few files share a name."""
    found: dict[str, list[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        names = re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        found.setdefault(path.name, []).extend(names)
    return found


def exists(path: str) -> bool:
    return any((folder / path).exists() or any(folder.glob(path)) for folder in FOLDERS)


def broken_references(text: str) -> list[str]:
    """Return the tests and files that a text names and that aren't there."""
    code = re.findall(r"`([^`\n]+)`", text)
    files, broken = defined_tests(), []
    for words in code:
        for file, test in re.findall(r"(?:(test_\w+\.py)(?:::)?)?(test_\w+)?", words):
            if file and file not in files:
                broken.append(file)
            elif test and not any(test in tests for name, tests in files.items() if not file or name == file):
                broken.append(f"{file}::{test}" if file else test)
        broken += [path for path in OURS.findall(words) if not exists(path)]
    return broken


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_test_and_file_that_a_page_names_exists(page):
    assert not broken_references(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", ["contributing.md", "explanation/architecture.md"])
def test_every_name_of_the_code_on_the_pages_for_developers_exists(page):
    files = [path for suffix in ("py", "js") for path in (ROOT / "tsn_frames").rglob(f"*.{suffix}")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in (*files, *(ROOT / "tests").rglob("*.py")))
    known = set(re.findall(r"\w+", code)) | {path.stem for path in files}
    named = re.findall(r"`(\w+)`", (ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert set(named) - known == set()


@pytest.mark.parametrize(
    "text",
    [
        "`test_nothing.py`",
        "`test_that_is_not_there`",
        "`test_references.py::test_that_is_not_there`",
        "`test_docs.py::test_every_test_and_file_that_a_page_names_exists`",  # it is in another file
        "`tests/nowhere/test_docs.py`",
        "`engine/nothing.py`",
        "run `python tests/nothing/` first",
    ],
)
def test_a_broken_reference_is_found(text):
    assert broken_references(text)


def test_a_good_reference_is_accepted():
    text = (
        "`tests/docs/test_references.py`, `test_docs.py`, `test_references.py::test_a_good_reference_is_accepted`, `engine/run/`"
    )
    assert not broken_references(text)
