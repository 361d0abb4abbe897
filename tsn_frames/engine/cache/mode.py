"""Cache modes of a run."""

from __future__ import annotations

from typing import Literal

CacheMode = Literal["use", "refresh", "off", "only"]
