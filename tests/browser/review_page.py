"""A review as a reader uses it."""

from __future__ import annotations

import json

from browser import harness

LABELS = ["billing", "delivery", "praise", "other"]
FRAME = """
import pandas as pd, tsn_frames as tsn
df = pd.DataFrame({{"text": [f"Text number {{n}} of the review" for n in range({rows})]}})
LABELS = {labels!r}
"""
SHOW = """
review = df.tsn.review({text!r}, LABELS, file={file!r}, {options})
review
"""


class ReviewPage:
    """One view of a review."""

    def __init__(self, notebook, file=None, place=0):
        self.notebook, self.tab, self.file = notebook, notebook.tab, file
        self.root = notebook.tab.locator(f"{harness.SHOWN} .tsnr").nth(place)
        self.text = self.root.locator(".tsnr-text")
        self.marks = self.root.locator(".tsnr-marks")
        self.notice = self.root.locator(".tsnr-notice")

    def status(self, *wanted):
        """Wait until the page says that it is in one of these states."""
        self.root.locator(f"xpath=self::*[{harness._either(wanted)}]").wait_for()
        return self

    def at(self, index):
        """Wait until the page shows this text."""
        self.root.locator(f"xpath=self::*[@data-index='{index}']").wait_for()
        return self

    def unsaved(self, count):
        self.root.locator(f"xpath=self::*[@data-unsaved='{count}']").wait_for()
        return self

    def saved(self):
        return self.unsaved(0)

    def press(self, *keys):
        for key in keys:
            self.tab.keyboard.press(key)
        return self

    def type(self, text):
        self.tab.keyboard.type(text)
        return self

    def lines(self):
        """The decisions and undos in the log."""
        return [json.loads(line) for line in self.file.read_text().splitlines()][1:]

    def decided(self):
        """The labels in the log, in the order of the decisions."""
        return [line["labels"] for line in self.lines() if "row" in line]

    def chosen(self):
        return self.root.locator("[data-label][aria-pressed='true'] span").all_text_contents()
