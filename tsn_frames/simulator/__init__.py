"""A local server that implements the TokenSuperNova chat API: for tests, demonstrations and trying prompts.

It imports nothing of the package around it, so that it cannot repeat its mistakes, and only the standard
library. Its HTTP server is its own, small one on `asyncio.Protocol`, and no web framework, for two reasons:
faults below HTTP (a reset in mid-body, an honest Content-Length that is not fulfilled, a half-open
connection, single dripping bytes) need the socket itself, and a measured client must not wait for the
measuring server (about 0.1 ms of CPU per request).

Examples
--------
>>> with Simulator(seed=0, latency=0.0) as sim:
...     sim.base_url.startswith("http://127.0.0.1:")
True
"""

from __future__ import annotations

from .faults import Faults
from .quota import Quota
from .server import Simulator
from .stats import BillLine, Exchange, Stats
from .tokens import count_tokens

__all__ = ["BillLine", "Exchange", "Faults", "Quota", "Simulator", "Stats", "count_tokens"]
