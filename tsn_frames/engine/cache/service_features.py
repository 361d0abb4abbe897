"""What is known of a service's features, kept beside the cache: a call that runs again has to make the same requests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...api import Unreadable, dumps, load
from ..storage.file_replacement import replacement

FILE = "features.json"


def read_features(folder: Path) -> dict[str, Any]:
    """Return the features by service and model; empty where nothing is known or the file is not readable."""
    try:
        found = load((folder / FILE).read_bytes())
    except (OSError, Unreadable):
        return {}
    return found if isinstance(found, dict) else {}


def add_features(folder: Path, new: Mapping[str, Any]) -> None:
    """Add features; the file is replaced as a whole, so that a reader never sees half of it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacement(folder / FILE) as part:
        part.write_bytes(dumps({**read_features(folder), **new}))
