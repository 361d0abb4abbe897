"""What is known of a service's features, kept beside the cache: a call that runs again has to make the same requests."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from ...api import Unreadable, dumps, load

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
    part = folder / f".{FILE}.{uuid4().hex}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(dumps({**read_features(folder), **new}))
        part.replace(folder / FILE)
    finally:
        part.unlink(missing_ok=True)
