"""What a worker reads from its own Dask config: the API key, and where its cache and ledger are."""

from __future__ import annotations

import copy
import os
from typing import Any

import dask

from ..engine.cache.cache import Cache
from ..engine.ledger.ledger import Ledger
from ..engine.runtime.client import Client
from ..engine.runtime.process import process_state
from ..secret import Secret


def changed(client: Client, **settings: Any) -> Client:
    """Return a client with other settings, and everything else as it is, its credentials included."""
    made = copy.copy(client)
    for name, value in settings.items():
        object.__setattr__(made, name, value)
    return made


def on_this_worker(client: Client) -> Client:
    """Return the client of a graph with the folders of this worker's ``tsn-frames`` config; its key becomes that of the process."""
    own = {name: dask.config.get(f"tsn-frames.{name}", None) for name in ("api-key", "cache", "ledger")}
    if own["api-key"] and not process_state.key and not os.getenv("TSN_API_KEY"):
        process_state.key = Secret(own["api-key"])
    kinds = {"cache": Cache, "ledger": Ledger}
    return changed(client, **{name: kind(own[name]) for name, kind in kinds.items() if own[name]})
