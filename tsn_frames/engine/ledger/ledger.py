"""The ledger: one line for every attempt that was or may have been billed, in one SQLite file per user.

It holds no prompt, no answer and no key, and no cache takes it along when it is deleted. A line is committed before the
answer that it bills: what is in the cache is in the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..._gc import gc_paused
from ...errors import ConfigError
from ...text import quoted
from ..storage.sqlite import PATIENCE
from .file import Entry, LedgerFile, read
from .run_record import RunRecord, Saving

if TYPE_CHECKING:
    import pandas as pd


class Ledger:
    """The record of every attempt that was or may have been billed.

    Parameters
    ----------
    path : str or Path
        The SQLite file; made with mode 0600 when the first line is written.

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
        """Return the whole record.

        Returns
        -------
        pandas.DataFrame
            A row an attempt, oldest first: ``time`` (datetime64, UTC), ``run``, ``host``, ``model``, ``outcome``,
            ``prompt_tokens``, ``completion_tokens``, ``total_tokens`` (Int64), ``cost`` (Float64), ``request_key`` (hex),
            ``tag``, ``seconds``, ``cached_tokens`` (Int64), ``currency``, ``price_source``, ``prompt_chars``,
            ``completion_chars`` (Int64), ``language`` (``latin``, ``cjk`` or ``other``: of the prompt), ``held`` (Float64:
            the most that it can have cost, where the cost is unknown).
        """
        from .frames import ledger_frame

        with gc_paused():
            return ledger_frame(list(self.entries()))

    def summary(self, by: str | Sequence[str] = "month", *, timezone: str = "UTC") -> pd.DataFrame:
        """Return what was spent, and what was not spent, in groups.

        Parameters
        ----------
        by : str or list of str
            ``day``, ``week``, ``month``, ``year``, ``model``, ``tag``, ``run``, ``host``, or several of them.
        timezone : str
            Whose calendar: where a day begins. Weeks begin on Monday.

        Returns
        -------
        pandas.DataFrame
            A row a group and currency: ``attempts``, ``answers``, ``unknown`` (may be billed, usage not seen),
            ``prompt_tokens``, ``cached_tokens``, ``completion_tokens`` (int64), ``cost`` (Float64, NA where none is known),
            ``at_least`` (bool: some cost is unknown), ``currency`` (string), ``saved_rows``, ``saved_tokens`` (int64) and
            ``saved`` (Float64, NA where none is known): what hits and equal rows would have cost, with ``saved_at_least``
            (bool: some of that is unknown). Days and months are their first moment (datetime64, without a zone).

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
        """Yield every entry, oldest first.

        Raises
        ------
        ConfigError
            If the file is no ledger, a newer version's, or can't be read.
        """
        return read(self.path, Entry)

    def cards(self) -> Iterator[RunRecord]:
        """Yield every run's card, oldest first.

        Raises
        ------
        ConfigError
            If the file is no ledger, a newer version's, or can't be read.
        """
        return read(self.path, RunRecord)

    def savings(self) -> Iterator[Saving]:
        """Yield what each run's cached and equal rows did not cost, oldest first."""
        return read(self.path, Saving)

    def open(self, patience: float = PATIENCE) -> LedgerFile:
        """Open the file for appending."""
        return LedgerFile(self.path, patience)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ledger) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"Ledger({str(self.path)!r})"
