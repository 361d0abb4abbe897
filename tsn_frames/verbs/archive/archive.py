"""``archive``: write what a study needs to be replayed and checked by others into one zip file."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pandas as pd

from ...engine.cache.import_export import export
from ...engine.cache.service_features import read_features
from ...engine.ledger.run_id_attrs import ATTRIBUTE
from ...engine.ledger.run_record import RunSettings
from ...engine.runtime.client import Client
from ...errors import ParameterError
from ...text import plural, quoted, warn
from .contents import Contents, contents_of
from .manifest import ANSWERS, LEDGER, MANIFEST, REPORT, ledger_lines, manifest_of
from .report import report_of
from .zip_file import safe_name, written


@dataclass(frozen=True)
class ArchiveSummary:
    """The summary of a written archive: its path and bytes, and the numbers of runs, answers, frames, tables and files in it.

    ``missing`` answers are those that the runs have bought, and that the cache has no more.
    """

    path: Path
    runs: int
    answers: int
    missing: int
    frames: int
    tables: int
    files: int
    bytes: int

    def __str__(self) -> str:
        extra = [plural(number, noun) for noun in ("frame", "table", "file") if (number := getattr(self, f"{noun}s"))]
        with_data = " The frames hold your data." if self.frames else " No frame is in it: give one to save it."
        return (
            f"{self.path}: {', '.join([plural(self.answers, 'answer'), plural(self.runs, 'run'), *extra])}; {self.bytes:,} bytes."
            f"{with_data} Answers may quote the texts that they are about. There is no key and no prompt in it."
        )


def archive(
    path: str | Path,
    *runs: Any,
    tables: Mapping[str, pd.DataFrame] | None = None,
    files: str | Path | Iterable[Any] = (),
    client: Client | None = None,
) -> ArchiveSummary:
    """Write an archive of a study: a zip file from which the same calls are replayed, without a key and without the network.

    It holds the answers of these runs and of no other, their records and lines of the ledger, what is known of the service's
    features, the versions of Python and its packages, and ``REPORT.md``: a paragraph on methods with every figure. It holds no key, and
    no prompt: requests are in it by their hashes.

    Parameters
    ----------
    path : str or Path
        The file, ``.zip``. An existing one is replaced when the new one is complete.
    *runs : DataFrame, Run, str, Comparison, Evaluation or Review
        A frame that a verb has returned (its ``.attrs`` name the runs) is saved as Parquet, with its labels and its gold: **it is your
        data, texts included**. A :class:`Run` or an id of ``tsn.runs()["run"]`` saves the answers without the frame. The
        tables of a comparison or an evaluation are in the report, the log of a review is copied.
    tables : mapping of str to DataFrame, optional
        More tables for the report, such as ``{"shares": out.tsn.shares("said", gold="gold")}``.
    files : path or list of paths, optional
        More files to copy as they are, such as the log of a review or the notebook.
    client : Client, optional
        The client of the runs, for its cache, ledger and base URL. Default: that of a :class:`Run` in ``runs``, else the one of
        :func:`set_client`, else the environment's.

    Returns
    -------
    ArchiveSummary
        What is in the archive; its text is one line.

    Raises
    ------
    ParameterError
        If a frame names no run, a run goes on, a frame can't be saved as Parquet, or there is no such file.
    ConfigError
        If the client's ledger doesn't know a run, or the runs asked several services: there is an archive for each.
    CacheError
        If the file can't be written.

    Examples
    --------
    >>> import tempfile, pandas as pd, tsn_frames as tsn
    >>> sim = tsn.simulate(latency=0.0)
    >>> df = pd.DataFrame({"text": ["Where is my parcel?"]})
    >>> out = df.tsn.label("text", ["delivery", "praise"], name="topic")
    >>> tsn.archive(tempfile.mkdtemp() + "/study.zip", out).answers
    1
    >>> sim.close()
    """
    if not isinstance(path, (str, os.PathLike)) or Path(path).suffix != ".zip":
        raise ParameterError(f"an archive is a .zip file, such as 'study.zip', got {quoted(path)}")
    target = Path(path).expanduser().absolute()
    contents = contents_of(runs, tables, files, client)
    given = contents.given
    frames = {f"frames/{name}.parquet": frame for name, frame in given.frames.items()}
    with tempfile.TemporaryDirectory(prefix="tsn_frames-") as folder, written(target) as file:
        for name, frame in frames.items():
            file.write(_parquet(frame, Path(folder) / "frame.parquet", name), name)
        _write_answers(file, contents, Path(folder))
        for name, table in given.tables.items():
            file.writestr(f"tables/{safe_name(name)}.csv", table.to_csv())
        for name, source in given.files.items():
            file.write(source, f"files/{safe_name(name)}")
        rows = {name: {"rows": len(frame), "columns": list(map(str, frame.columns))} for name, frame in frames.items()}
        manifest = manifest_of(contents.client, given.ids, rows)
        file.writestr(MANIFEST, json.dumps(manifest, indent=2))
        file.writestr(REPORT, report_of(contents, manifest, target.name))
    if contents.missing:
        warn(f"{plural(contents.missing, 'answer')} of these runs are not in the cache (cache='off', pruned or forgotten): "
             "a replay has no answer for their rows")  # fmt: skip
    return ArchiveSummary(
        target, len(given.ids), len(contents.answers), contents.missing,
        len(given.frames), len(given.tables), len(given.files), target.stat().st_size,
    )  # fmt: skip


def _write_answers(file: ZipFile, contents: Contents, folder: Path) -> None:
    """Write the answers as an exported cache, and the lines of the ledger."""
    url = f"{contents.client.keyed_url} "
    features = {name: value for name, value in read_features(contents.client.cache.folder).items() if name.startswith(url)}
    export(contents.answers, folder / ANSWERS, features)
    file.write(folder / ANSWERS, ANSWERS)
    settings = [RunSettings(run, json.dumps(given)) for run, given in contents.settings.items()]
    lines = ledger_lines([*contents.records, *settings, *contents.entries, *contents.savings])
    file.writestr(LEDGER, b"".join(lines))


def _parquet(frame: pd.DataFrame, path: Path, name: str) -> Path:
    """Write a frame to a Parquet file; of its attrs the runs are kept."""
    saved = frame.copy(deep=False)
    saved.attrs = {key: value for key, value in frame.attrs.items() if key == ATTRIBUTE}
    try:
        saved.to_parquet(path, engine="pyarrow")
    except ImportError:
        raise ParameterError(
            "a frame is saved as Parquet, which needs pyarrow: pip install 'tsn-frames[parquet]'; or give its run "
            "(tsn.last_run() or frame.attrs['tsn_runs']), which saves the answers without the frame"
        ) from None
    except (ValueError, TypeError, OSError, OverflowError, NotImplementedError) as error:  # those of pyarrow are subclasses
        raise ParameterError(
            f"{name} can't be saved as Parquet ({str(error)[:200]}): convert or drop that column, or give its run "
            "(frame.attrs['tsn_runs']), which saves the answers without the frame"
        ) from None
    return path
