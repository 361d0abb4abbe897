"""The texts and tool calls of a streamed answer, put together from its deltas."""

from __future__ import annotations

from typing import Any

_REPEATED, _LETTERS, _DELTAS = 12, 4, 3  # what makes cumulative deltas certain


class DeltaText:
    """A text that grows by deltas.

    Some servers send in each delta the whole text so far. That is certain once several deltas in a row, from the first
    on, each begin with the one before and go on, over more characters than a chance allows.
    """

    def __init__(self) -> None:
        self.given = False
        self._parts = list[str]()
        self._last, self._repeated, self._deltas = "", 0, 0
        self._cumulative: bool | None = None

    def add(self, text: str) -> None:
        """Append a delta."""
        self.given = True
        if not text:
            return
        if self._cumulative is not False:
            self._compare(text)
        if self._cumulative and text.startswith(self._last):
            self._parts, self._last = [text], text
        else:
            self._parts.append(text)

    def replace(self, text: str) -> None:
        """Accept a whole text if it repeats what was received; else treat it as a delta."""
        if text.startswith(self.value):
            self.given, self._parts, self._cumulative = True, [text], False
        else:
            self.add(text)

    def is_repeated_by(self, text: object) -> bool:
        """Return whether a text begins with all that was received, which is longer than a chance allows."""
        value = self.value
        return isinstance(text, str) and text.startswith(value) and len(value) >= _REPEATED and _has_letters(value)

    @property
    def value(self) -> str:
        """The text so far."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def _compare(self, text: str) -> None:
        """Update whether the deltas are cumulative: None while that is open."""
        if self._cumulative:
            return
        if self._deltas and not (text.startswith(self._last) and len(text) > len(self._last)):
            self._cumulative = False
            return
        self._repeated, self._deltas = self._repeated + len(self._last), self._deltas + 1
        if self._deltas >= _DELTAS and self._repeated >= _REPEATED and _has_letters(self._last):
            self._cumulative = True
        else:
            self._last = text


def _has_letters(text: str) -> bool:
    return len(set(text) - {" "}) >= _LETTERS


class DeltaCalls:
    """Tool calls that grow by deltas: arguments are joined, of other fields the first value is kept."""

    def __init__(self) -> None:
        self._calls: dict[Any, dict[str, Any]] = {}

    def add(self, calls: list[Any]) -> None:
        """Take in the calls of a delta, each named by its index."""
        for number, call in enumerate(calls):
            if type(call) is not dict:
                continue
            index = call.get("index")
            known = self._calls.setdefault(index if type(index) is int else number, {})
            _merge(known, {name: value for name, value in call.items() if name != "index"})

    def replace(self, calls: list[Any]) -> None:
        """Take in the calls of a whole message."""
        self._calls = {}
        self.add(calls)

    @property
    def value(self) -> list[dict[str, Any]]:
        """The calls so far, in order."""
        return [self._calls[index] for index in sorted(self._calls)]


def _merge(known: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        if type(value) is dict and type(known.get(name, {})) is dict:
            _merge(known.setdefault(name, {}), value)
        elif name == "arguments" and type(value) is str and type(known.get(name, "")) is str:
            known[name] = known.get(name, "") + value
        elif value and not known.get(name):
            known[name] = value
