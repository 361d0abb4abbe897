"""A review: the texts, the decisions on them, and the log in which every decision is a line."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

import pandas as pd

from ...errors import ConfigError, ParameterError
from ...text import plural, quoted, warn
from .columns import check_columns, gold_columns
from .decision_history import UNDECIDED, Decision, Entry, History
from .items import Selection
from .labels_beside_text import Labels
from .log import ReviewLog
from .log_header import Setup


@dataclass(frozen=True)
class Progress:
    """How far a review is, counted in texts; ``seconds`` is the median time a decided text took."""

    texts: int
    decided: int
    skipped: int
    flagged: int
    not_saved: int
    seconds: float | None


class ReviewSession:
    """A review over its log: decisions are applied at once, written at once, and kept where they can't be written."""

    def __init__(self, df: pd.DataFrame, selection: Selection, setup: Setup, log: ReviewLog) -> None:
        self.df, self.items, self.agreed, self.setup, self.log = df, selection.items, selection.agreed, setup, log
        self.index_of = {item.row: index for index, item in enumerate(self.items)}
        self.history = History(self.index_of)
        self.problem = ""
        self.lock = threading.RLock()  # a page's messages are handled on another thread while a cell runs
        self._unsaved: list[dict[str, Any]] = []
        self._headers: list[dict[str, Any]] = []
        self._read()
        self._check_log()
        self._begin()
        check_columns(df, setup, self._labels_ever())

    def decision(self, index: int) -> Decision:
        """Return the decision on a text."""
        return self.history.decision(self.items[index].row)

    def decide(self, index: int, decision: Decision, seconds: float | None = None) -> None:
        """Decide on a text, and write it; ``problem`` says why it couldn't be written."""
        entry = Entry(uuid.uuid4().hex[:16], self.items[index].row, decision, seconds)
        self._add(entry.line(_now()))

    def undo(self) -> int | None:
        """Undo the newest decision and return the index of its text; None where there is none."""
        with self.lock:
            entry = next(reversed(self.history.entries.values()), None)
            if entry is None:
                return None
            self._add({"undo": entry.id, "time": _now()})
            return self.index_of[entry.row]

    def save(self) -> None:
        """Write what couldn't be written before."""
        with self.lock:
            try:
                if self.log.is_cut():
                    self._write_again()
                if self._unsaved:
                    self.log.append(self._unsaved)
                self._unsaved.clear()
                self._read()
                self.problem = ""
            except OSError as error:
                self.problem = f"{self.log.path}: {error.strerror or error}"
            except ConfigError as error:  # another file is in its place now
                self.problem = str(error)

    @property
    def begun(self) -> str:
        """The day on which the log was begun."""
        return str(self._headers[0].get("time", ""))[:10] if self._headers else ""

    @property
    def progress(self) -> Progress:
        """How far the review is."""
        with self.lock:
            made = [self.history.decision(item.row) for item in self.items]
            took = [one.seconds for one in self.history.entries.values() if one.seconds and one.decision.labels is not None]
            return Progress(
                texts=len(made),
                decided=sum(one.labels is not None for one in made),
                skipped=sum(one.skip for one in made),
                flagged=sum(one.flag for one in made),
                not_saved=len(self._unsaved),
                seconds=round(median(took), 1) if took else None,
            )

    def to_frame(self) -> pd.DataFrame:
        """Return the frame with the columns of gold."""
        with self.lock:
            self.save()
            if self.problem:
                warn(f"{plural(len(self._unsaved), 'decision')} are in the frame but not saved: {self.problem}")
            return self.df.assign(**gold_columns(self.setup, self._by_position()))

    def _add(self, line: dict[str, Any]) -> None:
        with self.lock:
            self.history.apply(line)
            self._unsaved.append(line)
            self.save()

    def _read(self) -> None:
        """Apply what was added to the log, by this process or by another."""
        for line in self.log.read():
            if "review" in line:
                self._headers.append(line)
            else:
                self.history.apply(line)

    def _write_again(self) -> None:
        """Queue all decisions, since the file was deleted or replaced."""
        self.log.rewind()
        self._read()
        header = {**self.setup.header(), "time": _now()}
        self._unsaved = [header, *(entry.line(_now()) for entry in self.history.entries.values())]

    def _by_position(self) -> list[Decision]:
        """Return the decision on each row of the frame."""
        made = [UNDECIDED] * len(self.df)
        for position, labels in self.agreed.items():
            made[position] = Decision(labels)
        for index, item in enumerate(self.items):
            for position in item.positions:
                made[position] = self.decision(index)
        return made

    def _labels_ever(self) -> dict[int, set[Labels]]:
        """Return all labels that each row had in the review, undone ones included."""
        rows = {position: {labels} for position, labels in self.agreed.items()}
        for row, labels in self.history.labels_ever:
            for position in self.items[self.index_of[row]].positions:
                rows.setdefault(position, set()).add(labels)
        return rows

    def _check_log(self) -> None:
        for header in self._headers:
            self.setup.check(header, self.log.path)
        labels = (label for row in self.index_of for label in self.history.decision(row).labels or ())
        gone = list(dict.fromkeys(label for label in labels if label not in self.setup.book.labels))
        if gone:
            raise ParameterError(
                f"the review log {self.log.path} has decisions on these rows with labels that labels= doesn't have: {quoted(gone)}. "
                "Keep them in labels=, or begin another review with file= or name="
            )

    def _begin(self) -> None:
        """Write the header; after a change of the labels once more, with a note."""
        header = self.setup.header()
        last = self._headers[-1] if self._headers else None
        if last is not None and last["labels"] == header["labels"]:
            return
        if last is not None and self.history.entries:
            warn(
                f"the labels have changed since the review began: {len(self.history.entries):,} decisions were made with "
                f"{quoted(last['labels'])}; look through them"
            )
        try:
            self.log.append([{**header, "time": _now()}])
            self._read()
        except OSError as error:
            raise ConfigError(
                f"the review log {self.log.path} can't be written: {error.strerror or error}; name another file with file="
            ) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
