"""What a reader sees below cells: runs, warnings, errors and runs in the background, in JupyterLab and in Notebook 7."""

from __future__ import annotations

import pytest
from browser import harness

pytestmark = pytest.mark.xdist_group("cells")  # the tests of one notebook run on one worker
SETUP = """
import threading
import pandas as pd, tsn_frames as tsn
from tsn_frames.simulator import Simulator
sim = tsn.simulate(latency=0.0)
slow = tsn.Client(Simulator(latency=0.3).start().base_url, model="sim-small", limits=tsn.Limits(1))
gate = threading.Event()  # the answers of this service begin when it is set
held = tsn.Client(Simulator(latency=0.3, answer=lambda body: gate.wait() and None).start().base_url, model="sim-small", limits=tsn.Limits(1))
df = pd.DataFrame({"text": [f"row {i}" for i in range(200)] + [None]})
full = df.head(200)
"""
STDERR = "application/vnd.jupyter.stderr"


@pytest.fixture(scope="module", params=["lab/tree", "notebooks"], ids=["lab", "notebook"])
def book(request, jupyter, context):
    made = harness.Notebook(jupyter, context, f"cells-{request.param[0]}.ipynb", path_prefix=request.param)
    made.python(SETUP)
    yield made
    made.close()


class Output:
    """The outputs of the cell that a reader has run."""

    def __init__(self, book, source):
        self.book = book
        book.tab.evaluate(harness.RUN, source)
        self.area = book.tab.locator(f"{harness.SHOWN} .jp-OutputArea").first

    def of(self, mime):
        return self.area.locator(f"[data-mime-type='{mime}']")

    def wait(self, text):
        found = self.area.get_by_text(text).first
        found.wait_for()
        return found


def test_success_is_one_line_in_the_colour_of_the_text(book):
    out = Output(book, 'x = full.tsn.complete("Sum: {text}")')
    line = out.wait("200 of 200 rows answered")
    assert out.of(STDERR).count() == 0
    assert line.evaluate("e => getComputedStyle(e).color") == book.tab.locator(
        f"{harness.SHOWN} .jp-OutputArea-output"
    ).first.evaluate("e => getComputedStyle(e).color")


def test_warnings_stand_in_one_quiet_block(book):
    out = Output(book, "for n in range(3):\n    df.tsn.complete(f'{n}: {{text}}', max_tokens=1, progress=False)")
    out.wait("2 warnings")
    assert out.area.get_by_text("(3 times)").count() == 2
    assert out.area.get_by_text("line 2").count() == 2
    assert out.of(STDERR).count() == 0


def test_a_mistake_is_a_few_lines(book):
    out = Output(book, 'df.tsn.complete("Sum: {txt}")')
    out.wait("PromptError")
    lines = out.area.locator("pre").first.inner_text().strip().splitlines()
    assert lines[0] == '----> 1 df.tsn.complete("Sum: {txt}")' and len(lines) <= 6


def test_the_stop_button_of_a_background_run_stops_it_and_leaves_a_line(book):
    out = Output(book, 'run = full.tsn.start("Bg: {text}", client=slow)\nrun')
    out.wait("of 200 rows")
    out.area.get_by_role("button", name="Stop").click()
    out.wait("stopped: ")
    assert out.area.get_by_role("button").count() == 0
    assert book.value("repr(run)").startswith("<Run stopped: ")


def test_a_background_run_goes_on_by_itself(book):
    out = Output(book, 'run = full.head(8).tsn.start("Alone: {text}", client=held)\nrun')
    out.wait("starting")
    book.python("gate.set()")
    out.wait("tokens")
    out.wait("8 of 8 rows answered")


def test_a_bar_that_was_saved_can_be_read_without_a_kernel(jupyter, context):
    book = harness.Notebook(jupyter, context, "saved-bar.ipynb")
    book.python(SETUP)
    Output(book, 'x = full.tsn.complete("Saved: {text}")\nrun = full.tsn.start("Saved: {text}")\nrun').wait("200 cached")
    book.wait_until("run.done")
    book.command("docmanager:save")
    book.tab.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")
    book.close()
    again = harness.Notebook(jupyter, context, "saved-bar.ipynb", sources=None)
    lines = again.tab.locator(f"{harness.SHOWN} .jp-OutputArea").first.get_by_text("200 of 200 rows answered")
    lines.first.wait_for()
    assert lines.count() == 2
    again.close()
