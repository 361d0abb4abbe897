"""A damaged cache file: put aside, never deleted, and every answer that can still be read brought over."""

from __future__ import annotations

import logging
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ...errors import TSNWarning
from ...text import warn
from ..storage.sqlite import identity
from .reader import FILE

log = logging.getLogger("tsn_frames")
_one_at_a_time = threading.Lock()


def mend(folder: Path, damaged: tuple[int, int] | None, fill: Callable[[Path, Path], int]) -> None:
    """Put the damaged file aside, with a new one of what can be read in its place, and say so in one warning.

    The new file is whole before the old one is touched: where the disk is full, everything stays as it was.

    Parameters
    ----------
    folder : Path
        The cache's.
    damaged : tuple
        The :func:`.files.identity` of the file that was found damaged; another one in its place was mended meanwhile.
    fill : callable
        Makes a new cache in its first argument, a folder, of the answers in its second, a file; returns how many.
    """
    with _one_at_a_time:
        if identity(folder / FILE) != damaged:
            return
        new = folder / f".mending-{uuid.uuid4().hex}"
        try:
            new.mkdir(0o700)
            before = _state(folder / FILE)
            saved = fill(new, folder / FILE)
            if identity(folder / FILE) != damaged:  # it took a while, and another process was first
                return
            aside = folder / f"{FILE}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**6:06}"
            try:
                _swap(folder, new, aside)
            except BaseException:  # Ctrl-C: one file is away and the other not there yet, and all answers would be paid again
                _swap(folder, new, aside)
                raise
        finally:
            shutil.rmtree(new, ignore_errors=True)
        if _state(aside) != before:  # other runs wrote into it meanwhile; from now on they write into the new one
            saved += fill(folder, aside)
    _tell(f"the cache file was damaged: {saved:,} answers were saved into a new one, the old one is kept as {aside}")


def _state(file: Path) -> list[tuple[int, int]]:
    """Return what changes when somebody writes into a file or its log."""
    found = []
    for part in (file, file.with_name(f"{file.name}-wal")):
        with suppress(FileNotFoundError):  # SQLite takes its log away when nobody has it open any more
            about = part.stat()
            found.append((about.st_size, about.st_mtime_ns))
    return found


def _swap(folder: Path, new: Path, aside: Path) -> None:
    """Put the damaged file aside and the new one in its place; what is done already isn't done again."""
    if not (new / FILE).exists():
        return
    for ending in ("-wal", "-shm", ""):
        part, away = folder / f"{FILE}{ending}", Path(f"{aside}{ending}")
        if part.exists() and not away.exists():
            part.rename(away)
    (new / FILE).replace(folder / FILE)


def _tell(text: str) -> None:
    try:
        warn(text)
    except TSNWarning:  # a user whose warnings are errors still gets the run: this may be a thread of ours
        log.warning(text)
