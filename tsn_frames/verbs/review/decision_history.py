"""Decisions on rows, and their replay from the lines of a log. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..label.codebook import Label


@dataclass(frozen=True)
class Decision:
    """The state of a row: its labels (None where it is undecided), and the reader's note and marks."""

    labels: tuple[Label, ...] | None = None
    note: str = ""
    flag: bool = False
    skip: bool = False


UNDECIDED = Decision()


@dataclass(frozen=True)
class Entry:
    """A decision on a row as the log has it; the row is named by the hash of its text."""

    id: str
    row: str
    decision: Decision
    seconds: float | None = None

    def line(self, time: str) -> dict[str, Any]:
        """Return the entry as a line of the log."""
        made = self.decision
        line = {"id": self.id, "row": self.row, "labels": None if made.labels is None else list(made.labels)}
        marks = {"note": made.note, "flag": made.flag, "skip": made.skip, "seconds": self.seconds}
        return {**line, **{name: value for name, value in marks.items() if value}, "time": time}


class History:
    """The decisions on the rows of a frame, in their order, without those that were undone.

    ``rows`` are the hashes of the frame's rows; lines about other rows are ignored.

    >>> history = History(["r1"])
    >>> history.apply({"id": "a", "row": "r1", "labels": ["billing"]})
    >>> history.apply({"id": "b", "row": "r1", "labels": ["praise"]})
    >>> history.apply({"undo": "b"})
    >>> history.decision("r1").labels
    ('billing',)
    """

    def __init__(self, rows: Iterable[str]) -> None:
        self.entries: dict[str, Entry] = {}
        self.labels_ever: set[tuple[str, tuple[Label, ...]]] = set()
        self._rows: dict[str, list[Entry]] = {row: [] for row in rows}
        self._applied: set[str] = set()

    def apply(self, line: Mapping[str, Any]) -> None:
        """Apply a line of the log. A line that was applied before changes nothing."""
        if "undo" in line:
            entry = self.entries.pop(line["undo"], None)
            if entry is not None:
                self._rows[entry.row].remove(entry)
        elif line.get("row") in self._rows and line["id"] not in self._applied:
            entry = _entry(line)
            self._applied.add(entry.id)
            self.entries[entry.id] = entry
            self._rows[entry.row].append(entry)
            if entry.decision.labels is not None:
                self.labels_ever.add((entry.row, entry.decision.labels))

    def decision(self, row: str) -> Decision:
        """Return the decision on a row that holds now."""
        made = self._rows[row]
        return made[-1].decision if made else UNDECIDED

    def newest(self, most: int) -> list[tuple[str, Decision]]:
        """Return the rows of the newest decisions, oldest first, each with the decision that it replaced."""
        now: dict[str, Decision] = {}
        steps = []
        for entry in self.entries.values():
            steps.append((entry.row, now.get(entry.row, UNDECIDED)))
            now[entry.row] = entry.decision
        return steps[-most:]


def _entry(line: Mapping[str, Any]) -> Entry:
    labels = line.get("labels")
    decision = Decision(
        None if labels is None else tuple(labels), line.get("note", ""), line.get("flag", False), line.get("skip", False)
    )
    return Entry(line["id"], line["row"], decision, line.get("seconds"))
