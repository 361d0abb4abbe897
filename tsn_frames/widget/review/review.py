"""``Review``: a person labels texts by keyboard. The decisions belong to the verb's session, the page is ``review.js``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ...verbs.review.decision_history import UNDECIDED, Decision
from ...verbs.review.session import Progress, ReviewSession
from ..page_widget import PageWidget, page_source

_STEPS = 500  # the newest steps of undo that a page holds; it requests older ones
_CHARACTERS, _LEAST = 400_000, 20  # how much text is sent at once, but never fewer than 20 texts


class Review(PageWidget):
    """A review of texts: displayed as the last line of a cell. ``df.tsn.review(...)`` makes it.

    Its state holds neither texts nor labels; a page gets the texts in messages, and in a blind review no label of a model.
    """

    _esm = page_source("review/review.js")
    _css = page_source("review/review.css")
    _instead_of_copy = "call df.tsn.review(...) again, it continues from its log"

    def __init__(self, session: ReviewSession) -> None:
        self._session = session
        self._pages: dict[str, int] = {}  # each page's newest message that was handled
        super().__init__()
        self.on_msg(self._receive)

    # For code

    def to_frame(self) -> pd.DataFrame:
        """Return the frame with the gold.

        Returns
        -------
        DataFrame
            A new frame with the same rows, order and index. With ``name="gold"``: ``gold`` (Categorical with exactly the labels in
            their order, NA where undecided; with ``multiple`` a boolean column ``gold_<label>`` each), ``gold_note`` (string),
            ``gold_flag`` (boolean).
        """
        return self._session.to_frame()

    @property
    def progress(self) -> Progress:
        """How far the review is: ``texts``, ``decided``, ``skipped``, ``flagged``, ``not_saved``, and median ``seconds`` a text."""
        return self._session.progress

    @property
    def path(self) -> Path:
        """The log of the decisions."""
        return self._session.log.path

    def undo(self) -> None:
        """Undo the newest decision, also one of an earlier day; without any it does nothing."""
        self._session.undo()
        self._outdated()

    def __repr__(self) -> str:
        done = self.progress
        since = f" since {self._session.begun}, in {self.path}" if done.decided else ""
        return f"Review({self._session.setup.column!r}: {done.decided:,} of {done.texts:,} texts decided{since})"

    # For a page

    def _receive(self, _widget: Any, message: dict[str, Any], _buffers: Any) -> None:
        """Handle a page's message; on the main thread, or on a subshell's while a cell runs."""
        acts = {"hello": self._hello, "rows": self._rows, "decide": self._decide, "undo": self._undo, "save": self._save}
        act = acts.get(message.get("type", ""))
        if act is not None:
            with self._session.lock:
                act(message)

    def _hello(self, message: dict[str, Any]) -> None:
        view, session, setup = message["view"], self._session, self._session.setup
        self._pages.setdefault(view, 0)
        book = setup.book
        decided = [(index, session.decision(index)) for index in range(len(session.items))]
        start = next((index for index, made in decided if made.labels is None and not made.skip), 0)
        steps = session.history.newest(_STEPS)
        self.send({
            "type": "snapshot", "view": view, "n": self._pages[view], "column": setup.column, "mode": setup.shown.mode,
            "multiple": setup.multiple, "count": len(session.items), "start": start, "problem": session.problem,
            "labels": [{"name": str(one), "description": book.descriptions.get(one, ""), "group": book.groups.get(one, "")} for one in book.labels],
            "decided": [[index, self._plain(made)] for index, made in decided if made != UNDECIDED],
            "steps": [[session.index_of[row], self._plain(before)] for row, before in steps],
            "more": len(session.history.entries) > len(steps),
            "rows": self._rows_from(start),
        })  # fmt: skip

    def _rows(self, message: dict[str, Any]) -> None:
        self.send({"type": "rows", "view": message["view"], "rows": self._rows_from(message["start"])})

    def _decide(self, message: dict[str, Any]) -> None:
        labels, book = message["labels"], self._session.setup.book
        made = None if labels is None else tuple(book.labels[place] for place in sorted(labels))
        self._session.decide(
            message["item"], Decision(made, message["note"], message["flag"], message["skip"]), message["seconds"]
        )
        self._handled(message)

    def _undo(self, message: dict[str, Any]) -> None:
        self._session.undo()
        self._handled(message)

    def _save(self, message: dict[str, Any]) -> None:
        self._session.save()
        self._handled(message)

    def _handled(self, message: dict[str, Any]) -> None:
        """Confirm to the page what is on the disk; the other pages of this review have to load it."""
        view = message["view"]
        self._pages[view] = max(message["n"], self._pages.get(view, 0))
        self.send({"type": "saved", "view": view, "n": self._pages[view], "problem": self._session.problem})
        if len(self._pages) > 1:
            self._outdated(but=view)

    def _outdated(self, but: str = "") -> None:
        self.send({"type": "outdated", "but": but})

    def _rows_from(self, start: int) -> list[dict[str, Any]]:
        """Return the next texts, at least 20."""
        rows: list[dict[str, Any]] = []
        size = 0
        for index, item in enumerate(self._session.items[start:], start):
            if len(rows) >= _LEAST and size > _CHARACTERS:
                break
            size += len(item.text)
            shown = [[one.source, None if one.labels is None else self._places(one.labels)] for one in item.proposals]
            rows.append({"index": index, "text": item.text, "copies": len(item.positions), "shown": shown})
        return rows

    def _places(self, labels: tuple[Any, ...]) -> list[int]:
        return [self._session.setup.book.labels.index(label) for label in labels]

    def _plain(self, made: Decision) -> dict[str, Any]:
        labels = None if made.labels is None else self._places(made.labels)
        return {"labels": labels, "note": made.note, "flag": made.flag, "skip": made.skip}
