"""How a process reaches the coordinator: on the scheduler of a cluster, in a file of this host, or in this process."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import orjson

from ...engine.cache.reader import FILE
from ...engine.storage.sqlite import connect, make_private, transaction
from ...errors import ConfigError
from .coordinator import Coordinator

SHARES = f"{FILE}.shares"
PLUGIN = "tsn_frames"
BUSY_TIMEOUT = CALL_TIMEOUT = 10.0
_WORKS = frozenset({"init", "running", "paused"})  # the states in which a worker answers


class Channel(Protocol):
    """A way to the coordinator."""

    shares_limits: bool  # whether there are other processes, so that the account's limits have to be shared

    def ask(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a message and return the coordinator's answer; from any thread but an event loop's."""


class MemoryChannel:
    """The coordinator of the tasks of one process."""

    shares_limits = False

    def __init__(self) -> None:
        self._coordinator, self._lock = Coordinator(), threading.Lock()

    def ask(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a message and return the coordinator's answer."""
        with self._lock:
            return self._coordinator.answer(message, time.monotonic())


IN_PROCESS = MemoryChannel()


class FileChannel:
    """The coordinator of the processes of one host: its state is in a file beside the cache."""

    shares_limits = True

    def __init__(self, folder: Path) -> None:
        self._path = folder / SHARES

    def ask(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a message and return the coordinator's answer."""
        make_private(self._path)
        with closing(connect(self._path, BUSY_TIMEOUT)) as connection, transaction(connection):
            connection.execute("CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY, json BLOB NOT NULL) STRICT")
            row = connection.execute("SELECT json FROM state WHERE id = 1").fetchone()
            coordinator = Coordinator(orjson.loads(row[0]) if row else None)
            answer = coordinator.answer(message, time.time())
            connection.execute("INSERT OR REPLACE INTO state VALUES (1, ?)", (orjson.dumps(coordinator.state),))
        return answer


class SchedulerChannel:
    """The coordinator on the scheduler of a cluster, as a worker reaches it."""

    shares_limits = True

    def __init__(self, node: Any) -> None:
        from .scheduler_plugin import CoordinatorPlugin

        self._node = node  # a worker, or a client
        self._call("register_scheduler_plugin", plugin=pickle.dumps(CoordinatorPlugin()), name=PLUGIN, idempotent=True)

    def ask(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a message and return the coordinator's answer."""
        return dict(self._call(PLUGIN, message=dict(message)))

    def _call(self, handler: str, **kwargs: Any) -> Any:
        from distributed.utils import sync

        if self._node.status.name not in _WORKS:  # its event loop may be gone, and a call would wait for ever
            raise ConnectionError("the worker is closing")
        return sync(self._node.loop, getattr(self._node.scheduler, handler), callback_timeout=CALL_TIMEOUT, **kwargs)


_channel_of_worker = cache(SchedulerChannel)


def _this_worker() -> Any | None:
    """Return the worker that runs this thread; None without a cluster."""
    try:
        from distributed import get_worker

        return get_worker()
    except (ImportError, ValueError):
        return None


def cluster_client() -> Any | None:
    """Return the client of the cluster that is in use; None without a cluster."""
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


def cancellation() -> Callable[[], bool]:
    """Return a function that says whether the task of this thread was cancelled, or its worker closes."""
    worker = _this_worker()
    if worker is None:
        return lambda: False
    try:
        key = worker.get_current_task()
    except (ValueError, KeyError):  # not a thread of tasks
        return lambda: False

    def cancelled() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled" or worker.status.name not in _WORKS

    return cancelled


def channel_of_task(folder: Path) -> Channel:
    """Return the channel of the task that runs in this thread; ``folder`` is that of the cache."""
    worker = _this_worker()
    if worker is None:
        return IN_PROCESS if multiprocessing.parent_process() is None else FileChannel(folder)
    try:
        return _channel_of_worker(worker)
    except Exception as error:
        raise ConfigError(
            f"the scheduler can't share the account's limits among its workers ({error}): install tsn_frames where the scheduler runs"
        ) from error
