"""A review while the kernel is busy, frozen, killed or out of space; and how fast the next text is there."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time

import pytest
from browser import harness
from browser.review_page import SHOW, ReviewPage

# A press of a key until the frame that shows the next text is painted: the browser's own time stamps on both ends.
WATCH = """() => {
  window.paints = [];
  window.watching ??= document.addEventListener('keydown', event => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => window.paints.push([performance.now() - event.timeStamp, document.querySelector('.tsnr').dataset.index]);
    requestAnimationFrame(() => channel.port2.postMessage(0));
  }, true) ?? true;
}"""
BUSY = """code => {
  const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  kernel.requestExecute({code, store_history: false});
}"""


@pytest.fixture
def book(jupyter, context):
    """A notebook of its own: its kernel may die."""
    made = harness.Notebook(jupyter, context, f"review{random.randrange(10**9)}.ipynb")
    yield made
    made.close()


def p95(paints):
    return statistics.quantiles([paint for paint, _ in paints], n=20)[-1]


def measured(show_review, per_second, busy=""):
    """Press 200 keys at this rate; return the milliseconds to paint, and the labels in the log."""
    page, choose = show_review(200, [f"label {n}" for n in range(10)]), random.Random(0)
    page.tab.evaluate(WATCH)
    keys = [choose.choice("1234567890") for _ in range(200)]
    if busy:
        page.tab.evaluate(BUSY, busy)
    begun = time.monotonic()
    for number, key in enumerate(keys):
        time.sleep(max(0.0, begun + number / per_second - time.monotonic()))
        page.press(key)
    seconds = time.monotonic() - begun
    page.status("done").saved()
    paints = page.tab.evaluate("window.paints")
    shown = [int(index) for _, index in paints]
    assert len(paints) == 200 and shown == sorted(shown) and shown[-1] == 200
    assert page.decided() == [[f"label {(int(key) - 1) % 10}"] for key in keys], "no key is lost, none is taken for another"
    page.file.unlink()
    return p95(paints), statistics.median(paint for paint, _ in paints), seconds


@pytest.mark.benchmark
@pytest.mark.parametrize("busy", ["", "import time; time.sleep(3)"])
def test_the_next_text_is_painted_within_50_ms_at_ten_keys_a_second(show_review, busy):
    """The least of up to three: a busy machine only ever adds to it."""
    found = []
    while min(found, default=51.0) > 50.0 and len(found) < 3:
        worst, usual, seconds = measured(show_review, 10, busy)
        found.append(worst)
        print(
            f"\n200 keys in {seconds:.1f} s, kernel {'busy' if busy else 'idle'}: p95 {worst:.1f} ms, median {usual:.1f} ms to paint"
        )
    assert min(found) <= 50.0


def test_keys_are_taken_while_the_kernel_is_frozen_and_saved_afterwards(book, show_review):
    page = show_review(60, book=book)
    freeze(book, page, stop=True)
    page.press(*"12341234").at(8).unsaved(8)
    assert page.root.locator(".tsnr-saved").text_content() == "8 not saved"
    assert page.decided() == []
    freeze(book, page, stop=False)
    page.saved()
    assert [labels[0] for labels in page.decided()] == ["billing", "delivery", "praise", "other"] * 2
    page.press("u").at(7).saved()


def freeze(book, page, *, stop):
    """Stop the kernel's process, or let it go on; as ``kill -STOP`` does."""
    if stop:
        page.pid = book.value("__import__('os').getpid()")
    os.kill(page.pid, signal.SIGSTOP if stop else signal.SIGCONT)


def test_killing_the_kernel_loses_what_was_not_saved_and_no_more(book, show_review):
    page = show_review(60, book=book)
    page.press(*"1234123412").at(10).saved()
    freeze(book, page, stop=True)
    page.press(*"333").at(13).unsaved(3)
    os.kill(page.pid, signal.SIGKILL)
    page.notice.wait_for()
    assert "not saved" in page.notice.text_content()
    assert len(page.decided()) == 10
    dialog = book.tab.locator(".jp-Dialog-button.jp-mod-accept")
    book.tab.add_locator_handler(
        dialog.first, lambda button: button.click()
    )  # the host says that it starts another, sooner or later
    book.tab.wait_for_function("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.status !== 'dead'")
    book.tab.wait_for_function(harness.IDLE)
    again = show_review(60, book=book).at(10)
    again.press("4").at(11).saved()
    assert [labels[0] for labels in again.decided()] == ["billing", "delivery", "praise", "other"] * 2 + [
        "billing",
        "delivery",
        "other",
    ]


LIMIT = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
FULL = LIMIT + "resource.setrlimit(resource.RLIMIT_FSIZE, (review.path.stat().st_size + 5, resource.RLIM_INFINITY))"
ROOM = "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))"


def test_a_full_disk_is_shown_and_nothing_is_lost(show_review):
    """The system refuses to let the file grow, as it does where there is no space."""
    page = show_review()
    page.press("1").at(1).saved()
    page.notebook.python(FULL)
    page.press("2", "3").at(3).unsaved(2)
    page.notice.wait_for()
    assert "gold.jsonl" in page.notice.text_content() and "make room" in page.notice.text_content()
    assert page.decided() == [["billing"]]
    page.notebook.python(ROOM)
    page.root.locator("[data-act='save']").click()
    page.saved()
    page.notice.wait_for(state="hidden")
    assert page.decided() == [["billing"], ["delivery"], ["praise"]]


def test_running_the_cell_again_continues_at_the_next_text_whatever_the_order_of_the_rows(show_review):
    page = show_review()
    page.press("1", "2").at(2).saved()
    texts = page.text.text_content()
    page.notebook.python("df = df.sample(frac=1, random_state=1)")
    page.notebook.run(SHOW.format(file=str(page.file), options="", text="text"))
    again = ReviewPage(page.notebook, page.file).status("ready").at(2)
    assert again.text.text_content() == texts


def test_it_works_in_notebook_7(jupyter, context, show_review):
    book = harness.Notebook(jupyter, context, "review7.ipynb", path_prefix="notebooks")
    page = show_review(book=book)
    page.press("1", "2", "u", "3", "d", "d").at(2).saved()
    assert page.decided() == [["billing"], ["delivery"], ["praise"]]
    assert book.value("review.to_frame()['gold'].notna().sum().item()") == 2
    book.close()
