"""Recovery of a damaged cache file: it is put aside, never deleted, and its readable answers are copied to a new file."""

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
_recovery_lock = threading.Lock()


def recover(folder: Path, damaged: tuple[int, int] | None, copy_answers: Callable[[Path, Path], int]) -> None:
    """Replace a damaged cache file by a new one with its readable answers, put the old one aside, and warn once.

    The old file stays in place until the new one is complete, so a full disk changes nothing.
    """
    with _recovery_lock:
        if identity(folder / FILE) != damaged:
            return
        new = folder / f".recovery-{uuid.uuid4().hex}"
        try:
            new.mkdir(0o700)
            before = _write_state(folder / FILE)
            count = copy_answers(new, folder / FILE)
            if identity(folder / FILE) != damaged:  # another process was faster
                return
            aside = folder / f"{FILE}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**6:06}"
            _swap(folder, new, aside)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        if _write_state(aside) != before:  # other runs wrote to it during the copy; from now on they write to the new file
            count += copy_answers(folder, aside)
    text = f"the cache file was damaged: {count:,} answers were saved into a new one, the old one is kept as {aside}"
    try:
        warn(text)
    except TSNWarning:  # warnings are errors here: on a thread of ours the run must go on
        log.warning(text)


def _write_state(file: Path) -> list[tuple[int, int]]:
    """Return sizes and times of a file and its log, which change with each write."""
    found = []
    for part in (file, file.with_name(f"{file.name}-wal")):
        with suppress(FileNotFoundError):  # SQLite deletes the log with the last connection
            stat = part.stat()
            found.append((stat.st_size, stat.st_mtime_ns))
    return found


def _swap(folder: Path, new: Path, aside: Path) -> None:
    """Put the damaged file aside and the new one in its place."""
    for ending in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            (folder / f"{FILE}{ending}").rename(f"{aside}{ending}")
    (new / FILE).replace(folder / FILE)
