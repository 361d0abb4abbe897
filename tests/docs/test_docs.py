"""The pages are true: code runs, output is real, links lead somewhere, and no public word lacks its reference.

``python tests/docs/test_docs.py`` writes what the code prints now into the pages, to be read before it is committed.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from support import patient_ray

import tsn_frames as tsn
from tsn_frames.errors import ROW_CODES
from tsn_frames.frames.output_columns import FACTS, USAGE
from tsn_frames.simulator import Simulator

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(
    r"^(?P<skip><!-- not run: (?P<reason>.*?) -->\n)?```(?P<lang>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
NEEDS = re.compile(r"^<!-- needs: (?P<names>.*?) -->$", re.MULTILINE)  # what a page runs on that `make test` doesn't install
# What differs from run to run, and what it is compared as.
VARYING = [
    (r"127\.0\.0\.1:\d+", "127.0.0.1:8000"),
    (r"\b\d+\.\d+ s\b|\b\d+(e\+\d+)? s(?= each as the ledger)", "SECONDS s"),
    (r"(?m)^minutes +(under )?[\d,.]+ +(?=\d+ at once, SECONDS s each)", "minutes MINUTES "),  # computed from those
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00)?", "TIME"),
    (r"the run of \d{4}-\d\d-\d\d", "the run of DAY"),
]
# Runs pages: for each line of its input it forks, and the child runs the blocks of one page one after the other, as a reader
# would, and writes what each printed into a file. So the imports are paid for once. Any warning but ours is an error; ours
# are printed, so that a page can't hide one.
DRIVER = """
import contextlib, io, json, os, sys, traceback, warnings
import pandas, pyarrow.pandas_compat, pyarrow.parquet
import tsn_frames.accessor, tsn_frames.engine.transport.pool, tsn_frames.errors, tsn_frames.simulator

for name in set(tsn_frames.__all__) - {"Chat"}:  # which loads ipywidgets
    getattr(tsn_frames, name)

def run(codes):
    printed, names = [], {"__name__": "__main__"}
    for number, code in enumerate(codes, 1):
        out = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(out):
            warnings.simplefilter("error")
            for library in ("pyspark", "ray"):
                warnings.filterwarnings("ignore", module=library)
            warnings.simplefilter("always", tsn_frames.errors.TSNWarning)
            warnings.showwarning = lambda message, category, *_: print(f"{category.__name__}: {message}")
            exec(compile(code, f"<block {number}>", "exec"), names)
        printed.append(out.getvalue())
    return {"printed": printed}

for line in sys.stdin:
    job = json.loads(line)
    if (child := os.fork()) == 0:
        os.chdir(job["folder"])
        os.environ.clear()
        os.environ.update(job["environ"])
        try:
            result = run(job["codes"])
        except BaseException:
            result = {"error": traceback.format_exc()}
        with open(job["result"], "w", encoding="utf-8") as file:
            json.dump(result, file)
        os._exit(0)
    os.waitpid(child, 0)
    print("done", flush=True)
"""


class Block(NamedTuple):
    """A python block of a page, the output that the page shows for it, and why it isn't run, if it isn't."""

    line: int
    code: str
    shown: str
    reason: str | None
    end: int
    shown_end: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = list(FENCE.finditer(text))
    out = []
    for fence, after in zip(found, [*found[1:], None]):
        if fence["lang"] == "python":
            line = text.count("\n", 0, fence.start()) + 1
            follows = after and after["lang"] == "text" and not text[fence.end() : after.start()].strip()
            shown, shown_end = (after["text"], after.end()) if follows else ("", fence.end())
            out.append(Block(line, fence["text"], shown, fence["reason"], fence.end(), shown_end))
    return out


def start_driver() -> subprocess.Popen[str]:
    """Start the process that runs pages; it ends with its input, which the end of a ``with`` closes."""
    return subprocess.Popen([sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="session")
def driver():
    with start_driver() as process:
        yield process


def run(process: subprocess.Popen[str], codes: list[str], folder: Path) -> list[str]:
    for _ in range(patient_ray.TRIES):
        found = run_once(process, codes, folder)
        if not patient_ray.GAVE_UP.search(found.get("error", "")):
            break
    assert "error" not in found, found["error"]
    return found["printed"]


def run_once(process: subprocess.Popen[str], codes: list[str], folder: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        result = Path(place) / "result.json"
        job = {"codes": codes, "folder": str(folder), "environ": patient_ray.ENVIRONMENT | os.environ, "result": str(result)}
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"
        return json.loads(result.read_text(encoding="utf-8"))


def normal(text: str) -> str:
    for pattern, stands_for in VARYING:
        text = re.sub(pattern, stands_for, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def needs(page: Path) -> list[str]:
    """Return the packages and programs that a page runs on and that ``make test`` doesn't install."""
    found = NEEDS.search(page.read_text(encoding="utf-8"))
    return found["names"].split(", ") if found else []


def is_here(name: str) -> bool:
    return importlib.util.find_spec(name) is not None or shutil.which(name) is not None


def page_to_run(page: Path):
    """Return a page as a parameter: one that needs an engine is run by ``make engines``, and skipped where that is missing."""
    missing = [name for name in needs(page) if not is_here(name)]
    marks = [
        pytest.mark.engine,
        pytest.mark.timeout(600),
        pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not here"),
    ]
    return pytest.param(page, marks=marks if needs(page) else (), id=name_of(page))


@pytest.mark.parametrize("page", [page_to_run(page) for page in PAGES if blocks(page)])
def test_the_code_of_a_page_runs_and_prints_what_the_page_shows(page, driver, tmp_path):
    wanted = [block for block in blocks(page) if not block.reason]
    for block, printed in zip(wanted, run(driver, [block.code for block in wanted], tmp_path), strict=True):
        assert normal(printed) == normal(block.shown), f"{name_of(page)}, line {block.line}"


def test_what_is_not_run_says_why():
    for page in PAGES:
        for block in blocks(page):
            assert block.reason is None or len(block.reason) > 10, f"{name_of(page)}, line {block.line}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_between_pages_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        assert "://" not in target, f"{target}: pages link to pages only"
        to = (page.parent / path).resolve() if path else page
        assert to.exists(), f"{name_of(page)} links to {target}"
        assert not anchor or anchor in anchors(to), f"{name_of(page)} links to {target}"


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_the_index_leads_to_every_page():
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    for page in sorted(DOCS.rglob("*.md")):
        assert page.name == "index.md" or f"]({page.relative_to(DOCS)})" in text, page


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_holds_no_machine_path_and_no_key(page):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|Users|tmp|work)/\w|tsn_(live|test)_[0-9a-zA-Z]{6,}|\bpypi\.org|\bgithub\.com", text)


def reference() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "reference").glob("*.md")))


@pytest.mark.parametrize("name", tsn.__all__)
def test_every_public_name_has_its_reference(name):
    assert re.search(rf"`(df\.tsn\.|tsn\.)?{name}\b", reference()), name


SIGNATURES = {
    "complete.md": tsn.complete,
    "complete_file.md": tsn.complete_file,
    "estimate.md": pd.DataFrame().tsn.estimate,
    "compare.md": tsn.compare,
    "chat.md": tsn.Chat,
    "review.md": pd.DataFrame().tsn.review,
    "client.md": tsn.Client,
    "simulator.md": Simulator,
}


@pytest.mark.parametrize("page", SIGNATURES)
def test_the_reference_has_every_parameter_and_no_other(page):
    text = (DOCS / "reference" / page).read_text(encoding="utf-8")
    known = {name for name in inspect.signature(SIGNATURES[page]).parameters if name != "df"}
    table = text.split("## Parameters")[1].split("\n## ")[0]
    named = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    if "(complete.md#parameters)" not in text:
        assert named == known
        return
    shared = set(inspect.signature(tsn.complete).parameters) - {"df"}
    introduction = set(re.findall(r"`(\w+)`", table.split("\n|")[0]))
    assert known - shared <= named | introduction and named <= known
    assert shared - known <= introduction, "which of complete's it doesn't take"


@pytest.mark.parametrize("kind", [tsn.Limits, tsn.Retry, tsn.Prices], ids=lambda kind: kind.__name__)
def test_the_reference_of_the_client_has_the_words_of_its_parts(kind):
    text = (DOCS / "reference" / "client.md").read_text(encoding="utf-8")
    for name in inspect.signature(kind).parameters:
        assert f"`{name}`" in text, name


@pytest.mark.parametrize(
    ("kind", "page"),
    [
        (tsn.Cache, "cache.md"),
        (tsn.Chat, "chat.md"),
        (tsn.Ledger, "ledger.md"),
        (tsn.Prices, "prices.md"),
        (tsn.Report, "cost.md"),
        (tsn.Run, "complete.md"),
        (tsn.Summary, "complete.md"),
        (tsn.Estimate, "estimate.md"),
        (tsn.Comparison, "compare.md"),
        (tsn.Evaluation, "evaluate.md"),
        (tsn.Review, "review.md"),
    ],
    ids=["Cache", "Chat", "Ledger", "Prices", "Report", "Run", "Summary", "Estimate", "Comparison", "Evaluation", "Review"],
)
def test_the_reference_has_every_public_method(kind, page):
    text = (DOCS / "reference" / page).read_text(encoding="utf-8")
    for name in [*vars(kind), *getattr(kind, "__dataclass_fields__", ())]:
        assert name.startswith("_") or f"`{name}" in text or f".{name}" in text, name


def test_every_column_has_its_reference():
    text = (DOCS / "reference" / "columns.md").read_text(encoding="utf-8")
    for name in ("content", "error", *USAGE, *FACTS):
        assert f"| `{name}` |" in text, name


@pytest.mark.parametrize("code", ROW_CODES)
def test_every_row_code_says_what_to_do(code):
    for page in ("how-to/errors.md", "reference/errors.md"):
        assert f"| `{code}` |" in (DOCS / page).read_text(encoding="utf-8"), page


@pytest.mark.parametrize("name", [name for name in dir(tsn.errors) if name.endswith("Error") and name != "RowError"])
def test_every_exception_says_what_to_do(name):
    assert f"`{name}`" in (DOCS / "how-to" / "errors.md").read_text(encoding="utf-8")


def rewrite(page: Path) -> None:
    """Put what the code of a page prints now into the page; what only varies is left as it is."""
    text, wanted = page.read_text(encoding="utf-8"), [block for block in blocks(page) if not block.reason]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ |= {
            "TSN_CACHE_DIR": str(place / "cache"),
            "TSN_LEDGER": str(place / "ledger.db"),
            "TSN_REVIEWS": str(place / "reviews"),
        }
        (place / "work").mkdir()
        with start_driver() as process:
            printed = run(process, [block.code for block in wanted], place / "work")
    for block, out in reversed(list(zip(wanted, printed, strict=True))):
        if normal(out) != normal(block.shown):
            lines = "\n".join(line.rstrip() for line in re.sub(*VARYING[0], out).strip("\n").splitlines())
            text = text[: block.end] + (f"\n\n```text\n{lines}\n```" if lines else "") + text[block.shown_end :]
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for name in ("TSN_API_KEY", "TSN_BASE_URL", "TSN_MODEL"):
        os.environ.pop(name, None)
    for page in map(Path.resolve, map(Path, sys.argv[1:])) if sys.argv[1:] else PAGES:
        if all(map(is_here, needs(page))):
            rewrite(page)
