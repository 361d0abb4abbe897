"""A review in a real JupyterLab: keys, the log, and what happens while the kernel is busy or gone."""

from __future__ import annotations

import json

import pytest
from browser import harness

FRAME = """
import pandas as pd, tsn_frames as tsn
df = pd.DataFrame({{"text": [f"Text number {{n}} of the review" for n in range({rows})]}}).assign(topic="zq_said_by_model")
LABELS = {labels!r}
"""
LABELS = ["billing", "delivery", "praise", "other"]
SHOW = """
review = df.tsn.review("text", LABELS, file={file!r}, {options})
review
"""


class ReviewPage:
    """One view of a review, as a reader uses it."""

    def __init__(self, notebook, file):
        self.notebook, self.tab, self.file = notebook, notebook.tab, file
        self.root = notebook.tab.locator(f"{harness.SHOWN} .tsnr")
        self.text = self.root.locator(".tsnr-text")
        self.notice = self.root.locator(".tsnr-notice")

    def status(self, *wanted):
        self.root.locator(f"xpath=self::*[{harness._either(wanted)}]").wait_for()
        return self

    def at(self, index):
        """Wait until the page shows this text."""
        self.root.locator(f"xpath=self::*[@data-index='{index}']").wait_for()
        return self

    def saved(self):
        self.root.locator("xpath=self::*[@data-unsaved='0']").wait_for()
        return self

    def press(self, *keys):
        for key in keys:
            self.tab.keyboard.press(key)
        return self

    def lines(self):
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def decided(self):
        """The labels in the log, in the order of the decisions."""
        return [line["labels"] for line in self.lines() if "row" in line]

    def python(self, expression):
        return self.notebook.value(expression)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "gold.jsonl"


@pytest.fixture
def show(shared, log):
    """Show a review in the shared notebook; afterwards nothing odd has happened."""
    shared.forget()

    def run(rows=12, labels=LABELS, options="", before="", file=log):
        shared.python(FRAME.format(rows=rows, labels=labels) + before)
        shared.run(SHOW.format(file=str(file), options=options))
        page = ReviewPage(shared, file).status("ready", "done")
        page.text.click()
        return page

    yield run
    shared.python("review.close() if 'review' in globals() else None")
    assert shared.odd(("blob:", "data:", "about:")) == []


def test_a_key_labels_the_text_and_is_a_line_of_the_log(show):
    page = show()
    first = page.text.text_content()
    page.press("2").at(1).saved()
    assert page.decided() == [["delivery"]]
    assert page.text.text_content() != first
    assert page.python("review.to_frame()['gold'].dropna().tolist()") == ["delivery"]
