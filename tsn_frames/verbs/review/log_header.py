"""What a review is about: its column, its labels, its kind, and its reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import ConfigError
from ...text import quoted
from ..label.codebook import Codebook
from .labels_beside_text import Shown
from .log import FORMAT


@dataclass(frozen=True)
class Setup:
    """What the log of a review is about: a log of another rater or of another kind isn't continued."""

    column: str
    book: Codebook
    shown: Shown
    rater: str | None
    multiple: bool

    def header(self) -> dict[str, Any]:
        """Return the first line of a log."""
        return {"review": FORMAT, "rater": self.rater, **self._kind(), "labels": list(self.book.labels)}

    def check(self, header: dict[str, Any], path: object) -> None:
        """Raise where a log with this header can't be continued."""
        whose = header.get("rater")
        if whose != self.rater:
            right = f"rater={whose!r} continues it" if whose else "a review without rater= continues it"
            raise ConfigError(
                f"the review log {path} holds the decisions of {_named(whose)}, not of {_named(self.rater)}: {right}, "
                "file= names another"
            )
        kind = {name: header.get(name) for name in self._kind()}
        if header["review"] != FORMAT or kind != self._kind():
            raise ConfigError(
                f"the review log {path} is of another kind of review, {quoted(kind)}, not {quoted(self._kind())}: "
                "name another with file=, or another column with name="
            )

    def _kind(self) -> dict[str, Any]:
        return {"mode": self.shown.mode, "show": [str(one) for one in self.shown.columns], "multiple": self.multiple}


def _named(rater: str | None) -> str:
    return "a reader without a name" if rater is None else repr(rater)
