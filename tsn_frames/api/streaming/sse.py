"""Server-sent events: bytes to lines, and the JSON of an event."""

from __future__ import annotations

import re
from typing import Any

from ..serialization import try_load

LINE_ENDS = re.compile(rb"\r\n|\n|\r")


class SseLines:
    """Bytes to lines, wherever they are cut; CR LF, LF and CR end one."""

    def __init__(self) -> None:
        self.rest = bytearray()  # the line that is not complete yet
        self._after_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that these bytes complete."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if b"\n" not in data and b"\r" not in data:
            self.rest += data
            return []
        self._after_cr = data.endswith(b"\r")
        *lines, rest = LINE_ENDS.split(bytes(self.rest) + data)
        self.rest = bytearray(rest)
        return lines


def parsed_list(data: bytes) -> list[dict[str, Any]]:
    """Return the JSON objects of an event that is a list."""
    items = try_load(data) if data.startswith(b"[") else None
    return [item for item in items or () if isinstance(item, dict)]


def parsed(data: bytes) -> dict[str, Any] | None:
    """Return an event that is a JSON object; other things that servers send there, such as a word, mean nothing."""
    event: dict[str, Any] | None = try_load(data) if data.startswith(b"{") else None
    return event
