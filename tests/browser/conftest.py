"""One Jupyter, one Chromium and one notebook for all browser tests; a chat of its own for each."""

from __future__ import annotations

import pytest
from browser import harness, scripted
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
        browser = playwright.chromium.launch(executable_path=harness.CHROMIUM, args=harness.SWITCHES)
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
