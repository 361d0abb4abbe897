"""One bar and one summary over all partitions that are computed, on any scheduler."""

from __future__ import annotations

import threading
import time
from dataclasses import fields
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from ..engine.progress.counts import Counts
from ..engine.progress.progress_bar import Progress as Bar
from ..engine.runtime.client import Client, client_or_default
from ..text import plural
from ..verbs.run.summary import Summary, total_summary
from .coordination.channels import IN_PROCESS, SHARES, Channel, FileChannel, SchedulerChannel, cluster_client

POLL = 0.5
LATER = 1e18  # a time after everything
COUNTED = {field.name for field in fields(Counts)} & {field.name for field in fields(Summary)} - {"cost"}


class Progress:
    """A bar while the block computes graphs with ``ddf.tsn``, and then their summary.

    Parameters
    ----------
    client : tsn_frames.Client, optional
        The client of the graphs; default: the one of :func:`tsn_frames.set_client`, else the environment's.
    shown : bool, optional
        Whether to show a bar; default: in a notebook and on a terminal.

    Attributes
    ----------
    summary : Summary or None
        The summary of all partitions that have begun in the block; None before the first one.
    partitions : int
        How many have begun.

    Examples
    --------
    >>> import dask.dataframe as dd, pandas as pd, tsn_frames as tsn, tsn_frames.dask
    >>> sim = tsn.simulate(latency=0.0)
    >>> ddf = dd.from_pandas(pd.DataFrame({"text": ["Where is it?", "Thanks!"]}), npartitions=2)
    >>> with tsn_frames.dask.Progress() as progress:
    ...     out = ddf.tsn.label("text", ["question", "praise"]).compute(scheduler="threads")
    >>> progress.partitions, progress.summary.answered, progress.summary.requests
    (2, 2, 2)
    >>> sim.close()
    """

    def __init__(self, client: Client | None = None, *, shown: bool | None = None) -> None:
        self._client, self._shown = client_or_default(client), shown
        self.summary: Summary | None = None
        self.partitions = 0

    def __enter__(self) -> Self:
        self._channels, self._begun = self._open(), time.monotonic()
        self._since = [channel.ask(_question(LATER))["now"] for channel in self._channels]
        self._bar, self._over = Bar(self._shown, lambda: plural(self.partitions, "partition")), threading.Event()
        self._bar.update(Counts())  # here, so that a notebook shows it below this cell
        self._thread = threading.Thread(target=self._watch, name="tsn_frames-dask-bar", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self._read()
        if self.summary is not None:
            self._bar.close(_counts(self.summary), str(self.summary) if error is None else "")

    def _open(self) -> list[Channel]:
        cluster = cluster_client()
        if cluster is not None:
            return [_ClientChannel(cluster)]
        folder = self._client.cache.folder
        return [IN_PROCESS, *([FileChannel(folder)] if (folder / SHARES).exists() else [])]

    def _watch(self) -> None:
        while not self._over.wait(POLL):
            self._read()
            if self.summary is not None:
                self._bar.update(_counts(self.summary))

    def _read(self) -> None:
        found = [
            Summary(**one["summary"])
            for channel, since in zip(self._channels, self._since, strict=True)
            for one in channel.ask(_question(since))["counts"]
        ]
        if found:
            self.partitions, seconds = len(found), time.monotonic() - self._begun
            self.summary = total_summary(
                found, Counts(cost=sum((Decimal(str(one.cost or 0)) for one in found), Decimal(0))), seconds
            )


class _ClientChannel(SchedulerChannel):
    """The coordinator on the scheduler of a cluster, as a client reaches it."""

    def _call(self, handler: str, **kwargs: Any) -> Any:
        return self._node.sync(getattr(self._node.scheduler, handler), **kwargs)


def _question(since: float) -> dict[str, Any]:
    return {"kind": "counts", "name": "", "since": since}


def _counts(summary: Summary) -> Counts:
    """Return the counts of a summary, for the bar."""
    known = {name: getattr(summary, name) for name in COUNTED}
    return Counts(**known, skipped=summary.missing, cost=Decimal(str(summary.cost or 0)))
