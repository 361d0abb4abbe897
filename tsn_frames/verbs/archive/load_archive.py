"""``load_archive``: a client that replays an archive."""

from __future__ import annotations

import atexit
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from ...engine.cache.cache import Cache
from ...engine.ledger.ledger import Ledger
from ...engine.runtime.client import Client
from ...errors import CacheError, ParameterError
from ...text import quoted, warn
from .manifest import ANSWERS, LEDGER, MANIFEST, REPORT, checked_manifest, client_of, parsed_ledger, versions
from .zip_file import ArchiveFile

MAX_BYTES = 2**30


def load_archive(path: str | Path, *, folder: str | Path | None = None, max_bytes: int = MAX_BYTES) -> Client:
    """Open an archive: a client whose answers are those of the archive, and which sends nothing.

    The same call on the same frame gives an equal frame, except that ``cached`` is True and ``cost`` is 0: nothing is bought. It
    needs no key. A row that the archive has no answer for has the error ``not_cached``.

    Parameters
    ----------
    path : str or Path
        What :func:`archive` has written.
    folder : str or Path, optional
        Where it is extracted to: ``REPORT.md``, ``manifest.json``, the folders ``frames``, ``tables`` and ``files``, the cache and the
        ledger. It must be empty, or hold the same archive already. Default: a private folder, which is deleted when Python ends.
    max_bytes : int, default 2**30
        The most that it may take when it is extracted.

    Returns
    -------
    Client
        With base URL, model and prices of the archived client; ``tsn.runs(client)`` lists the archived runs.

    Raises
    ------
    CacheError
        If the file is damaged, no archive, larger than ``max_bytes``, or of a newer version; or the folder isn't empty.

    Examples
    --------
    >>> import tempfile, pandas as pd, tsn_frames as tsn
    >>> path = tempfile.mkdtemp() + "/study.zip"
    >>> df = pd.DataFrame({"text": ["Where is my parcel?"]})
    >>> sim = tsn.simulate(latency=0.0)
    >>> out = df.tsn.complete("Answer politely: {text}")
    >>> summary = tsn.archive(path, out)
    >>> sim.close()
    >>> client = load_archive(path)
    >>> again = df.tsn.complete("Answer politely: {text}", client=client)
    >>> again["content"].equals(out["content"]), again["cached"].tolist()
    (True, [True])
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ParameterError(f"path must be the path of an archive, got {quoted(path)}")
    source = Path(path).expanduser().absolute()
    with closing(ArchiveFile(source)) as file:
        file.check(max_bytes)
        data = file.read(MANIFEST)
        manifest = checked_manifest(data, source)
        target = _private_folder() if folder is None else _checked_folder(folder)
        found = target / MANIFEST
        if not found.is_file() or found.read_bytes() != data:  # not the same archive already; each has its own id
            if any(target.iterdir()):
                raise CacheError(f"{target} is not empty: give another folder=, or leave it out")
            try:
                _extract(file, source, target)
                found.write_bytes(data)  # last: the folder is complete
            except BaseException:
                _empty(target)
                raise
    _warn_of_versions(manifest.get("versions"), source)
    return client_of(manifest, target, source)


def _extract(file: ArchiveFile, source: Path, target: Path) -> None:
    for name in (*file.attachments(), REPORT):
        file.extract(name, target)
    answers = file.extract(ANSWERS, target)
    Cache(target / "cache").load(answers)
    answers.unlink()
    try:
        with closing(Ledger(target / "ledger.db").open()) as ledger:
            ledger.write(parsed_ledger(file.read(LEDGER), source))
    except (sqlite3.Error, OverflowError) as error:
        raise CacheError(f"{source} is damaged: its {LEDGER} has a value of a wrong type ({error})") from None


def _checked_folder(folder: object) -> Path:
    if not isinstance(folder, (str, os.PathLike)) or not str(folder).strip():
        raise ParameterError(f"folder must be the path of a folder, got {quoted(folder)}")
    target = Path(folder).expanduser().absolute()
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CacheError(f"the folder {target} can't be made: {error}") from None
    return target


def _empty(target: Path) -> None:
    """Delete what a failed extraction has left."""
    for path in target.iterdir():
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _private_folder() -> Path:
    """Return a new folder that is deleted when this process ends."""
    folder, process = Path(tempfile.mkdtemp(prefix="tsn_frames-archive-")), os.getpid()
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == process else None)
    return folder


def _warn_of_versions(found: object, path: Path) -> None:
    """Warn where another version of the package made the archive: it may ask in other words."""
    made = found.get("tsn-frames") if isinstance(found, dict) else None
    if made != (here := versions().get("tsn-frames")):
        warn(
            f"{path.name} was made with tsn_frames {quoted(made)}, and this is {here}: calls whose requests differ find no answer"
        )
