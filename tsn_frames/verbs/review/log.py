"""The file of a review: JSON lines, only ever appended, each on the disk before ``append`` returns."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import platformdirs

from ...errors import ConfigError
from ...text import quoted, warn

FORMAT = 1  # version of the lines' format
_START = b'{"review":'


class ReviewLog:
    """An append-only file of JSON lines.

    Without a path it is in the folder ``TSN_REVIEWS``, else in the user's data folder, under ``name``.
    """

    def __init__(self, path: object, name: str) -> None:
        if path is not None and not isinstance(path, (str, os.PathLike)):
            raise ConfigError(f"file must be a path, got {quoted(path)}")
        folder = os.getenv("TSN_REVIEWS") or platformdirs.user_data_path("tsn_frames") / "reviews"
        self.path = Path(folder) / f"{quote(name, safe=' ')}.jsonl" if path is None else Path(path).expanduser()
        self._at = 0

    def read(self) -> list[dict[str, Any]]:
        """Return the lines that were added since the last call, by this process or another."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._at)
                added = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigError(f"the review log {self.path} can't be read: {error.strerror}; name another with file=") from error
        if self._at == 0:
            self._check_kind(added)
        whole = added[: added.rfind(b"\n") + 1]
        self._at += len(whole)
        return [found for line in whole.splitlines() if (found := self._parsed(line)) is not None]

    def is_cut(self) -> bool:
        """Return whether the file is shorter than what was read of it: it was deleted or replaced."""
        try:
            return self.path.stat().st_size < self._at
        except FileNotFoundError:
            return self._at > 0

    def rewind(self) -> None:
        """Read the file from its beginning next time."""
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            self._check_kind(file.read(len(_START)))
        self._at = 0

    def append(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write lines and wait until they are on the disk."""
        data = b"".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for line in lines)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            end = os.lseek(file, 0, os.SEEK_END)
            _write(file, (b"" if end == 0 or _ends_a_line(file, end) else b"\n") + data, end)
        finally:
            os.close(file)

    def _check_kind(self, content: bytes) -> None:
        if content and not content.startswith(_START):
            raise ConfigError(f"{self.path} is not a review log, so nothing is written into it: name another file with file=")

    def _parsed(self, line: bytes) -> dict[str, Any] | None:
        """Return a line as a dict; None for one that a power failure cut off, with a warning."""
        with suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                return found
        warn(f"a line of the review log {self.path} is damaged and left out; the row that it was about counts as undecided")
        return None


def _ends_a_line(file: int, end: int) -> bool:
    os.lseek(file, end - 1, os.SEEK_SET)
    return os.read(file, 1) == b"\n"


def _write(file: int, data: bytes, end: int) -> None:
    """Write at the end and wait for the disk; on failure cut the file back to ``end``."""
    try:
        while data:
            data = data[os.write(file, data) :]
        os.fsync(file)
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, end)
        raise
