"""One Jupyter, one Chromium and one notebook for all browser tests; a new chat for each."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browser import harness, scripted
from browser.review_page import FRAME, LABELS, SHOW, ReviewPage
from support.canary import KEY

from tsn_frames.simulator import Faults, Simulator

MAKE = """
import tsn_frames as tsn
{before}
chat = tsn.Chat(tsn.Client({url!r}, model="sim-small", api_key={key!r}, prices={{"sim-small": (0.25, 1.0)}}), {options})
chat
"""
GOOD_URLS = ("blob:", "data:", "chrome-error:", "about:")


def pytest_collection_modifyitems(items):
    here = str(harness.PACKAGE / "tests" / "browser")
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(900))  # the first one starts Jupyter; a test that has a limit of its own keeps it


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory):
    for name in ("jupyterlab", "notebook", "playwright"):
        pytest.importorskip(name)
    if harness.CHROMIUM is None:
        pytest.skip("there is no browser here: apt-get install chromium")
    folder = tmp_path_factory.mktemp("jupyter")
    places = {"TSN_CACHE_DIR": "cache", "TSN_LEDGER": "ledger.db", "TSN_REVIEWS": "reviews"}
    server = harness.Jupyter(folder, **{name: str(folder / place) for name, place in places.items()}).start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def chromium(jupyter):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=harness.CHROMIUM, args=harness.SWITCHES, ignore_default_args=["--hide-scrollbars"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def context(chromium, jupyter):
    made = chromium.new_context(viewport={"width": 1280, "height": 1000}, permissions=["clipboard-read", "clipboard-write"])
    yield made
    made.close()


@pytest.fixture(scope="session")
def shared(jupyter, context):
    made = harness.Notebook(jupyter, context, "chat.ipynb")
    yield made
    made.close()


@pytest.fixture
def notebook(shared):
    """The shared notebook; afterwards nothing odd has happened in it."""
    shared.forget()
    yield shared
    shared.python("chat.close() if 'chat' in globals() else None")
    assert shared.odd(GOOD_URLS) == []


@pytest.fixture(scope="session")
def servers():
    """A server that answers at once, and one that streams ten words or so a second."""
    with (
        Simulator(latency=0.0, answer=scripted.answer) as quick,
        Simulator(latency=0.0, token_rate=30.0, answer=scripted.answer) as slow,
    ):
        yield {"quick": quick, "slow": slow}


@pytest.fixture
def quick(servers):
    yield from _fresh(servers["quick"])


@pytest.fixture
def slow(servers):
    yield from _fresh(servers["slow"])


def _fresh(server):
    scripted.SCRIPT.clear()
    server.reset_stats()
    yield server
    server.faults = Faults()
    server.outage(0)


@pytest.fixture
def open_chat(notebook):
    """Show a chat over a server, in the shared notebook or in another."""

    def show(server, options="", before="", book=notebook):
        book.run(MAKE.format(url=server.base_url, key=KEY, options=options, before=before))
        return harness.ChatPage(book).ready()

    return show


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The source of axe-core: of ``make browser``, else fetched."""
    places = [Path(sys.prefix) / "node"]
    if not (places[0] / "node_modules/axe-core").is_dir():
        npm = shutil.which("npm") or pytest.skip("axe-core: there is no npm here")
        places.append(tmp_path_factory.mktemp("axe"))
        fetch = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(places[1]), "axe-core@4"]
        if subprocess.run(fetch, check=False, timeout=120, capture_output=True).returncode:
            pytest.skip("axe-core can't be fetched here")
    return (places[-1] / "node_modules/axe-core/axe.min.js").read_text()


@pytest.fixture
def show_review(shared, tmp_path):
    """Show a review in the shared notebook; afterwards nothing odd has happened."""
    shared.forget()

    def run(rows=12, labels=LABELS, options="", before="", text="text", book=shared):
        file = tmp_path / "gold.jsonl"
        book.python(FRAME.format(rows=rows, labels=labels) + before)
        book.run(SHOW.format(file=str(file), options=options, text=text))
        page = ReviewPage(book, file).status("ready", "done")
        page.text.click()
        return page

    yield run
    shared.python("review.close() if 'review' in globals() else None")
    assert shared.odd(GOOD_URLS) == []
