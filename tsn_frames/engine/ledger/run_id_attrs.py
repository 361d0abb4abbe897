"""Identifiers of runs, as ``tsn.runs()`` lists them: of a run, of the frame that a verb has returned, or a text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...errors import ParameterError
from ...text import quoted

ATTRIBUTE = "tsn_runs"  # in DataFrame.attrs: the ids of the runs that have added columns, in order, separated by blanks


def add_run_ids(frame: Any, ids: Iterable[str]) -> None:
    """Add the ids of runs to a frame's attrs."""
    frame.attrs[ATTRIBUTE] = " ".join(dict.fromkeys([*ids_of_frame(frame), *ids]))


def run_ids(value: object) -> tuple[str, ...]:
    """Return the ids of the runs that a value names.

    >>> run_ids("1f0e 77ab")
    ('1f0e', '77ab')
    """
    found: Iterable[str] = ()
    if isinstance(value, str):
        found = value.split()
    elif isinstance(getattr(value, "ids", None), tuple):
        found = value.ids  # type: ignore[attr-defined]
    elif isinstance(getattr(value, "attrs", None), dict):
        found = ids_of_frame(value)
        if not found:
            raise ParameterError(
                f"the {type(value).__name__} names no run: verbs write that to .attrs, which concat, merge and files may lose. "
                "Give tsn.last_run(), the frame as the verb returned it, or an id of tsn.runs()['run']"
            )
    if not found:
        raise ParameterError(
            f"a run is a Run, a frame that a verb has returned, or an id of tsn.runs()['run'], got {quoted(value)}"
        )
    return tuple(found)


def ids_of_frame(frame: Any) -> list[str]:
    """Return the ids of the runs that have added columns to a frame; none where its attrs are lost."""
    ids: str = frame.attrs.get(ATTRIBUTE, "")
    return ids.split()
