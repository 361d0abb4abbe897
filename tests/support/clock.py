"""What tests need to be the same at any hour of the day."""

from __future__ import annotations

from datetime import UTC, datetime


def zone_at_noon() -> str:
    """Return the name of a time zone in which it is noon or so: no day or month ends there while a test runs."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"
