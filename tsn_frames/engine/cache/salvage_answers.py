"""Salvage answers from a damaged cache file: read SQLite's pages one by one, keep the rows whose checksum matches.

SQLite finds rows through a tree of pages and gives up at a broken one, but most leaf pages of a truncated or damaged file
still hold intact rows. The format is described at https://sqlite.org/fileformat.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from .reader import Row, checksum

_DEFAULT_PAGE_SIZE = 4096
_LEAF = 13  # first byte of a page that holds table rows
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


def salvage(file: Path) -> Iterator[Row]:
    """Yield every intact answer of a cache file and its write-ahead log."""
    log = file.with_name(f"{file.name}-wal")
    with file.open("rb") as main, log.open("rb") if log.exists() else BytesIO() as frames:
        yield from _Pages(main, frames).answers()


class _Pages:
    """The pages of a file; a page in the log takes precedence."""

    def __init__(self, main: BinaryIO, log: BinaryIO) -> None:
        start = main.read(100)
        sound = len(start) == 100 and start.startswith(b"SQLite format 3\0")
        size = int.from_bytes(start[16:18], "big") if sound else _DEFAULT_PAGE_SIZE
        self._size = {1: 65536}.get(size, size) if size == 1 or size >= 512 else _DEFAULT_PAGE_SIZE
        self._usable = self._size - (start[20] if sound else 0)
        self._main, self._log = main, log
        self._frames = _frames(log, self._size)
        self._number = main.seek(0, 2) // self._size

    def answers(self) -> Iterator[Row]:
        """Yield the answers of all leaf pages."""
        for number in range(2, max(self._number, *self._frames, 1) + 1):
            page = self._page(number)
            if page[:1] == bytes([_LEAF]):
                yield from self._rows(page)

    def _page(self, number: int) -> bytes:
        if number in self._frames:
            self._log.seek(self._frames[number])
            return self._log.read(self._size)
        self._main.seek((number - 1) * self._size)
        return self._main.read(self._size)

    def _rows(self, page: bytes) -> Iterator[Row]:
        for i in range(int.from_bytes(page[3:5], "big")):
            with suppress(IndexError, ValueError, struct.error):  # a damaged cell pointer
                if row := _answer(_record(self._payload(page, int.from_bytes(page[8 + 2 * i : 10 + 2 * i], "big")))):
                    yield row

    def _payload(self, page: bytes, at: int) -> bytes:
        """Return a row's bytes, from its page and its overflow pages."""
        length, at = _varint(page, at)
        _, at = _varint(page, at)
        usable = self._usable
        if length <= usable - 35:
            return page[at : at + length]
        least = (usable - 12) * 32 // 255 - 23
        here = least + (length - least) % (usable - 4)
        here = here if here <= usable - 35 else least
        parts, left = [page[at : at + here]], length - here
        following = int.from_bytes(page[at + here : at + here + 4], "big")
        while left > 0 and following:
            more = self._page(following)
            parts.append(more[4 : 4 + min(left, usable - 4)])
            following, left = int.from_bytes(more[:4], "big"), left - (usable - 4) if more else 0
        return b"".join(parts)


def _frames(log: BinaryIO, size: int) -> dict[int, int]:
    """Return the offset of the newest committed copy of each page in a log."""
    salt, found, pending = log.read(32)[16:24], {}, {}
    while len(frame := log.read(24)) == 24 and frame[8:16] == salt:
        pending[int.from_bytes(frame[:4], "big")] = log.tell()
        log.seek(size, 1)
        if frame[4:8] != b"\0\0\0\0":  # a commit frame
            found.update(pending)
            pending = {}
    return found


def _answer(values: list[Any]) -> Row | None:
    """Return a row of the table Cache as an answer, if it is valid and its checksum matches."""
    if len(values) != 12:
        return None
    _, key, raw, when, _, _, _, tag, _, mode, filename, body = values
    if type(key) is not bytes or len(key) != 32 or (raw, mode, filename) != (1, 1, None) or type(body) is not bytes:
        return None
    return (key, body, float(when)) if tag == checksum(key, body) and isinstance(when, (int, float)) else None


def _record(payload: bytes) -> list[Any]:
    """Return the values of a row; texts become tuples, which no valid answer has."""
    end, at = _varint(payload, 0)
    kinds = []
    while at < end:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    values = []
    for kind in kinds:
        value, end = _value(payload, end, kind)
        values.append(value)
    return values


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in _INTEGERS:
        end = at + _INTEGERS[kind]
        return int.from_bytes(data[at:end], "big", signed=True), end
    if kind == 7:
        return struct.unpack(">d", data[at : at + 8])[0], at + 8
    if kind >= 12:
        end = at + (kind - 12) // 2
        return (data[at:end] if kind % 2 == 0 else (data[at:end],)), end
    return {8: 0, 9: 1}.get(kind), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(at, at + 8):
        value = value << 7 | data[i] & 0x7F
        if data[i] < 0x80:
            return value, i + 1
    return value << 8 | data[at + 8], at + 9
