"""The ledger: one row for every attempt that was or may have been billed, in one SQLite file per user.

It holds no prompt, no answer and no key, and stays when a cache is deleted. An attempt is committed before its answer is
cached, so every cached answer is in the ledger.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from ..._gc_pause import gc_paused
from ...errors import ConfigError
from ...text import quoted
from ..storage.sqlite import BUSY_TIMEOUT
from .ledger_file import Entry, LedgerFile, read_rows
from .run_record import RunRecord, Saving

if TYPE_CHECKING:
    import pandas as pd


def default_ledger() -> Ledger:
    """Return the ledger that ``TSN_LEDGER`` names, else the one in the user's data folder."""
    return Ledger(os.getenv("TSN_LEDGER") or platformdirs.user_data_path("tsn_frames") / "ledger.db")


class Ledger:
    """The record of every attempt that was or may have been billed.

    Parameters
    ----------
    path : str or Path
        The SQLite file; created with mode 0600 when the first row is written.

    Examples
    --------
    >>> import tempfile
    >>> ledger = Ledger(tempfile.mkdtemp() + "/ledger.db")
    >>> len(ledger.to_frame())
    0
    """

    def __init__(self, path: str | Path) -> None:
        if not isinstance(path, (str, Path)) or not str(path).strip():
            raise ConfigError(f"ledger must be the path of a file, got {quoted(path)}")
        self.path = Path(path).expanduser().absolute()

    def to_frame(self) -> pd.DataFrame:
        """Return all attempts.

        Returns
        -------
        pandas.DataFrame
            One row per attempt, oldest first: ``time`` (datetime64, in UTC without a zone), ``run``, ``host``, ``model``, ``outcome``,
            ``prompt_tokens``, ``completion_tokens``, ``total_tokens`` (Int64), ``cost`` (Float64), ``request_key`` (hex),
            ``tag``, ``seconds``, ``cached_tokens`` (Int64), ``currency``, ``price_source``, ``prompt_chars``,
            ``completion_chars`` (Int64), ``language`` (``latin``, ``cjk`` or ``other``: of the prompt), ``held`` (Float64:
            the upper bound of an unknown cost).
        """
        from .frames import ledger_frame

        with gc_paused():
            return ledger_frame(list(self.entries()))

    def summary(self, by: str | Sequence[str] = "month", *, timezone: str = "UTC") -> pd.DataFrame:
        """Return spending and savings, grouped.

        Parameters
        ----------
        by : str or list of str
            ``day``, ``week``, ``month``, ``year``, ``model``, ``tag``, ``run``, ``host``, or several of them.
        timezone : str
            Time zone of the calendar. Weeks begin on Monday.

        Returns
        -------
        pandas.DataFrame
            One row per group and currency: ``attempts``, ``answers``, ``unknown`` (may be billed, usage not known),
            ``prompt_tokens``, ``cached_tokens``, ``completion_tokens`` (int64), ``cost`` (Float64, NA where none is known),
            ``at_least`` (bool: some cost is unknown), ``currency`` (string), ``saved_rows``, ``saved_tokens`` (int64) and
            ``saved`` (Float64, NA where none is known): the cost that cached and equal rows avoided, counted once however often
            a call is run, with ``saved_at_least`` (bool: some of it is unknown). Periods are given by their start (datetime64, without a time zone).

        Raises
        ------
        ParameterError
            If ``by`` or the time zone is unknown.

        Examples
        --------
        >>> import tempfile
        >>> len(Ledger(tempfile.mkdtemp() + "/ledger.db").summary(by=["month", "tag"]))
        0
        """
        from .frames import summary_frame

        with gc_paused():
            return summary_frame(list(self.entries()), list(self.savings()), by, timezone)

    def entries(self) -> Iterator[Entry]:
        """Yield every attempt, oldest first.

        Raises
        ------
        ConfigError
            If the file is not a ledger, a newer version's, or can't be read.
        """
        return read_rows(self.path, Entry)

    def run_records(self) -> Iterator[RunRecord]:
        """Yield every run's record, oldest first.

        Raises
        ------
        ConfigError
            If the file is not a ledger, a newer version's, or can't be read.
        """
        return read_rows(self.path, RunRecord)

    def savings(self) -> Iterator[Saving]:
        """Yield the cost that cached and equal rows of each run avoided, oldest first."""
        return read_rows(self.path, Saving)

    def open(self, busy_timeout: float = BUSY_TIMEOUT) -> LedgerFile:
        """Open the file for appending."""
        return LedgerFile(self.path, busy_timeout)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ledger) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"Ledger({str(self.path)!r})"
