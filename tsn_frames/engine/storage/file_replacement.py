"""A file that is written whole: readers see the old one or the new one, never a part."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE = 0o600  # its owner's only


@contextmanager
def replacement(path: Path, mode: int = PRIVATE) -> Iterator[Path]:
    """Create a file beside a path, which replaces it when the block has ended without an error; the umask lowers its mode."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        part.touch(mode, exist_ok=False)
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
