"""The public cache object: folder, statistics, export and import of answers."""

from __future__ import annotations

import os
import time
from contextlib import closing, suppress
from datetime import timedelta
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ...api import Unreadable, decode
from ...errors import CacheError, ConfigError, ParameterError
from ...text import quoted
from ..storage.sqlite import BUSY_TIMEOUT
from ..storage.utc_time_column import utc_times
from . import import_export
from .erase_runs import forget
from .reader import FILE
from .repair import open_store, scan, totals
from .service_features import add_features, read_features
from .store import Store

if TYPE_CHECKING:
    import pandas as pd

    from ..ledger.ledger import Ledger

CacheMode = Literal["use", "refresh", "off", "only"]


class CacheStats(NamedTuple):
    """Statistics of a cache: number of answers, bytes on disk, POSIX times of the oldest and newest answer."""

    folder: str
    answers: int
    bytes: int
    oldest: float | None
    newest: float | None


class Cache:
    """Answers on disk, keyed by their request. Nothing is evicted.

    Parameters
    ----------
    folder : str or Path
        Folder of the SQLite file. Share answers with :meth:`export` and :meth:`load`, not over a network drive.

    Examples
    --------
    >>> import tempfile
    >>> Cache(tempfile.mkdtemp()).stats().answers
    0
    """

    sends = True  # whether a client with this cache may send requests
    miss = "no answer is cached for this request, and cache='only' sends none"
    miss_remedy = "cache='use' sends those"

    def __init__(self, folder: str | Path) -> None:
        if not isinstance(folder, (str, Path)) or not str(folder).strip():
            raise ConfigError(f"cache must be the path of a folder, got {quoted(folder)}")
        self.folder = Path(os.path.expandvars(folder)).expanduser().absolute()  # variables as in diskcache

    @property
    def file(self) -> Path:
        """The SQLite file."""
        return self.folder / FILE

    def mode(self, wanted: CacheMode) -> CacheMode:
        """Return the mode of a call."""
        return wanted

    def stats(self) -> CacheStats:
        """Return number, size and age of the answers."""
        answers, oldest, newest = totals(self.file)
        size = sum(path.stat().st_size for path in self.folder.glob(f"{FILE}*"))
        return CacheStats(str(self.folder), answers, size, oldest, newest)

    def to_frame(self) -> pd.DataFrame:
        """Return all answers, one per row.

        Returns
        -------
        pandas.DataFrame
            ``request_key`` (hex), ``answered_at`` (datetime64, in UTC without a zone), ``model``, ``content``, ``finish_reason``,
            ``prompt_tokens``, ``completion_tokens``, ``total_tokens`` (Int64), ``bytes`` (int64).
        """
        import pandas as pd

        texts = dict.fromkeys(("model", "content", "finish_reason"), "string")
        fields = texts | dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), "Int64")
        rows, values_of = list[tuple[Any, ...]](), attrgetter(*fields)
        for key, body, when in scan(self.file):
            with suppress(Unreadable):
                rows.append((key.hex(), when, *values_of(decode(body)), len(body)))
        frame = pd.DataFrame(rows, columns=["request_key", "answered_at", *fields, "bytes"], dtype=object)
        frame["answered_at"] = utc_times(frame["answered_at"])
        return frame.astype({"request_key": "string", **fields, "bytes": "int64"})

    def prune(self, *, older_than: timedelta) -> int:
        """Delete answers older than a time span; return how many. Nothing else deletes answers.

        Parameters
        ----------
        older_than : timedelta or pandas.Timedelta
            For example ``pd.Timedelta("90D")``.
        """
        if not isinstance(older_than, timedelta) or older_than < timedelta(0):
            raise CacheError(f'older_than must be a time span such as pd.Timedelta("90D"), got {older_than!r}')
        if not self.file.exists():
            return 0
        with closing(self.open()) as store:
            return store.delete_before(time.time() - older_than.total_seconds())

    def forget(self, *runs: object, ledger: Ledger | str | Path | None = None) -> int:
        """Delete the answers of runs so that none of their bytes are left in the file; return how many.

        An answer that another run of the ledger has bought or used stays, and a warning names that run: give both. The ledger's
        lines stay, since the money was spent; prompt texts of ``Client(keep_prompts=True)`` are erased from it. The file is
        rewritten, which takes about as long as copying it; runs that go on meanwhile lose nothing.

        Parameters
        ----------
        *runs : Run, DataFrame or str
            A run, a frame that a verb has returned, or an id of ``tsn.runs()["run"]``.
        ledger : Ledger, str or Path, optional
            Where the runs are on record. Default: the run's own, else that of ``TSN_LEDGER``, else the user's.

        Raises
        ------
        CacheError
            If a run goes on, belongs to another cache or isn't on record; or if the file is in use for more than half a minute.
        """
        if not runs:
            raise ParameterError("forget needs a run: a Run, a frame that a verb has returned, or an id of tsn.runs()['run']")
        return forget(self.folder, runs, ledger)

    def export(self, path: str | Path) -> int:
        """Export all answers to a file that another cache can load; return how many.

        Parameters
        ----------
        path : str or Path
            ``.jsonl`` for JSON lines, ``.parquet`` for Parquet (needs ``pip install 'tsn-frames[parquet]'``). The file
            holds answers and what the services can do, no prompts and no API key. An existing file is replaced when the new one is complete.
        """
        return import_export.export(scan(self.file), Path(path), read_features(self.folder))

    def load(self, path: str | Path) -> int:
        """Import the answers of an exported file that are missing here; return how many.

        Raises
        ------
        CacheError
            If a row is not an exported answer. Nothing is added then.
        """
        rows, features = import_export.read(Path(path))
        with closing(self.open()) as store:
            added = store.add(rows)
        new = {name: value for name, value in features.items() if name not in read_features(self.folder)}
        if new:
            add_features(self.folder, new)
        return added

    def open(self, busy_timeout: float = BUSY_TIMEOUT) -> Store:
        """Open the cache for writing."""
        return open_store(self.folder, busy_timeout)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cache) and self.folder == other.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    def __repr__(self) -> str:
        return f"Cache({str(self.folder)!r})"
