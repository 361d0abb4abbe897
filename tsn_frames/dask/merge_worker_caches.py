"""Merge the caches of the workers of all hosts into the cache here."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path

from ..engine.cache.cache import Cache
from ..engine.runtime.client import Client, client_or_default
from ..errors import ConfigError
from .coordination.channels import cluster_client
from .worker_config import on_this_worker

Place = tuple[str, str]  # host and folder


def collect(client: Client | None = None) -> int:
    """Add the answers in the caches of all workers of the cluster to the cache here.

    Workers of one host share a cache; one of each is asked. No answer is then paid for again, on this host either.

    Parameters
    ----------
    client : tsn_frames.Client, optional
        The client of the graph; default: the one of :func:`tsn_frames.set_client`, else the environment's.

    Returns
    -------
    int
        How many answers were new here.

    Raises
    ------
    ConfigError
        If there is no cluster.
    """
    cluster, settings = cluster_client(), client_or_default(client)
    if cluster is None:
        raise ConfigError("there is no cluster to collect from: make a distributed.Client first")
    places: dict[str, Place] = cluster.run(_place, settings)
    chosen = {place: worker for worker, place in places.items() if place != _own_place(settings)}
    answers: dict[str, bytes] = cluster.run(_answers, settings, workers=list(chosen.values())) if chosen else {}
    return sum(_load(settings.cache, some) for some in answers.values() if some)


def _own_place(client: Client) -> Place:
    return platform.node(), str(client.cache.folder.resolve())


def _place(client: Client) -> Place:
    """Return where a worker keeps its answers."""
    return _own_place(on_this_worker(client))


def _answers(client: Client) -> bytes:
    """Return the answers of a worker's cache as JSON lines; nothing where there are none."""
    cache = on_this_worker(client).cache
    if not cache.file.exists():
        return b""
    with tempfile.TemporaryDirectory(prefix="tsn_frames_") as folder:
        cache.export(path := Path(folder) / "answers.jsonl")
        return path.read_bytes()


def _load(cache: Cache, answers: bytes) -> int:
    with tempfile.TemporaryDirectory(prefix="tsn_frames_") as folder:
        path = Path(folder) / "answers.jsonl"
        path.write_bytes(answers)
        return cache.load(path)
