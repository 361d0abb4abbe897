"""Whether the answers of a service are simulated, which is shown beside their numbers."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from ...api.base_url import is_loopback

MODELS = frozenset({"sim-small", "sim-large", "sim-reasoner"})  # those of the simulator, which this layer does not import
MARK = "SIMULATED"


def is_simulated(host: str, models: Iterable[str]) -> bool:
    """Return whether a host is this machine and every model is one of the simulator's; ``host`` may have a port.

    >>> is_simulated("127.0.0.1:8000", ["sim-small"]), is_simulated("api.example.com", ["sim-small"])
    (True, False)
    >>> is_simulated("127.0.0.1:8000", ["sim-small", "qwen"]), is_simulated("127.0.0.1:8000", [])
    (False, False)
    """
    found = set(models)
    return bool(found) and found <= MODELS and is_loopback(urlsplit(f"//{host}").hostname or "")
