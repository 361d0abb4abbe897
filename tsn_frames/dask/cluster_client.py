"""The client of the cluster that is in use, where it can be waited for."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigError


def cluster_client() -> Any | None:
    """Return Dask's current client; None without a cluster."""
    try:
        from distributed import default_client

        found = default_client()  # type: ignore[no-untyped-call]  # Dask has no types
    except (ImportError, ValueError):
        return None
    if found.asynchronous:
        raise ConfigError(
            "the Dask client is asynchronous, so that nothing can be waited for here: make it with asynchronous=False, "
            "or await client.compute(ddf) without this"
        )
    return found
