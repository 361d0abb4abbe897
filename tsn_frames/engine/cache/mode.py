"""How a run uses the cache."""

from __future__ import annotations

from typing import Literal

CacheMode = Literal["use", "refresh", "off", "only"]
