"""What goes into an archive: the runs of the given values, their answers and lines in the ledger, frames, tables and files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ...engine.cache.reader import Row
from ...engine.cache.repair import lookup
from ...engine.ledger.earlier_runs import request_keys, run_settings, unrecorded
from ...engine.ledger.ledger_file import Entry
from ...engine.ledger.run_id_attrs import run_ids
from ...engine.ledger.run_record import RunRecord, Saving, fingerprint
from ...engine.runtime.client import Client, client_or_default
from ...errors import ConfigError, ParameterError
from ...text import quoted
from ..compare.result import Comparison
from ..evaluate.result import Evaluation
from ..run.run_handle import Run


@dataclass
class Given:
    """What a user has given, sorted by kind."""

    ids: list[str] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    frames: dict[str, pd.DataFrame] = field(default_factory=dict)  # to be saved
    unsaved: dict[str, pd.DataFrame] = field(default_factory=dict)  # of runs: for the figures of the report only
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)

    def add(self, value: Any) -> None:
        """Add a run, a frame, the id of a run, a comparison, an evaluation or a review."""
        if isinstance(value, Run):
            if not value.done:
                raise ParameterError("the run is still going: run.result() first, then archive it")
            self.ids += value.ids
            self.clients.append(value.client)
            self.unsaved[f"frame of run {value.ids[0]}"] = value.frame
        elif isinstance(value, Evaluation):
            self._add_evaluation(value)
        elif isinstance(value, Comparison):
            self.ids += [one for frame in value.frames.values() for one in run_ids(frame)]
            self.frames[f"comparison-{len(self.frames) + 1}"] = value.answers
            self.tables |= {self._free("comparison"): value.table, self._free("agreement of models"): value.agreement}
            self.notes += [note for note in (value.conclusion, *value.notes) if note]
        elif isinstance(value, (pd.DataFrame, pd.Series)):
            self.ids += run_ids(value)
            self.frames[f"frame-{len(self.frames) + 1}"] = value if isinstance(value, pd.DataFrame) else value.to_frame("value")
        elif isinstance(path := getattr(value, "path", None), Path) and hasattr(value, "to_frame"):  # a review
            self.add_file(path)
        else:
            self.ids += run_ids(value)

    def add_file(self, given: Any) -> None:
        """Add a file that is copied as it is."""
        found = getattr(given, "path", given)
        if not isinstance(found, (str, os.PathLike)) or not Path(found).is_file():
            raise ParameterError(f"files takes paths of files, or reviews; there is no file {quoted(given)}")
        path = Path(found)
        if self.files.setdefault(path.name, path) != path:
            raise ParameterError(f"two files are called {path.name!r}: rename one of them")

    def _add_evaluation(self, value: Evaluation) -> None:
        for name in ("table", "labels", "confusion", "raters", "by_confidence", "pairs"):
            table = getattr(value, name)
            if len(table):
                self.tables[self._free("evaluation" if name == "table" else f"evaluation {name}".replace("_", " "))] = table
        self.notes += value.notes

    def _free(self, name: str) -> str:
        """Return a name of a table that isn't used yet."""
        taken = sum(one == name or one.startswith(f"{name} (") for one in self.tables)
        return f"{name} ({taken + 1})" if taken else name


@dataclass(frozen=True)
class Contents:
    """The content of an archive."""

    client: Client
    given: Given
    records: Sequence[RunRecord]
    settings: Mapping[str, Mapping[str, Any]]
    entries: Sequence[Entry]
    savings: Sequence[Saving]
    answers: Sequence[Row]
    bought: Sequence[Entry]  # the attempts of any run that have bought the answers
    missing: int  # answers that the runs have bought, and that are not in the cache


def contents_of(values: Sequence[Any], tables: Mapping[str, pd.DataFrame] | None, files: Any, client: Client | None) -> Contents:
    """Return the content of an archive of some values."""
    given = Given()
    for value in values:
        given.add(value)
    for name, table in (tables or {}).items():
        if not isinstance(table, pd.DataFrame):
            raise ParameterError(f"tables takes DataFrames by name, got {quoted(table)} for {name!r}")
        given.tables[str(name)] = table
    for one in [files] if isinstance(files, (str, os.PathLike)) or hasattr(files, "path") else files:
        given.add_file(one)
    if not given.ids:
        raise ParameterError("archive needs a run: a Run, a frame that a verb has returned, or an id of tsn.runs()['run']")
    given.ids = list(dict.fromkeys(given.ids))
    return _collected(given, _client_of(given, client))


def _client_of(given: Given, client: Client | None) -> Client:
    """Return the client of all runs."""
    found = client_or_default(client) if client is not None or not given.clients else given.clients[0]
    for other in given.clients:
        if (other.keyed_url, other.cache, other.ledger) != (found.keyed_url, found.cache, found.ledger):
            raise ConfigError("the runs have several clients (base_url, cache or ledger differ): make an archive of each")
    return found


def _collected(given: Given, client: Client) -> Contents:
    ledger, ids = client.ledger, set(given.ids)
    if (unknown := unrecorded(ledger, given.ids)) is not None:
        raise ConfigError(f"{unknown}; give client= if the runs were made with another one")
    records = [record for record in ledger.run_records() if record.run in ids]
    for record in records:
        if json.loads(record.hashes).get("base_url") not in (None, fingerprint(client.keyed_url)):
            raise ConfigError(
                f"the run {record.run} asked another service or path ({record.host}) than the client ({client.base_url}): "
                "give client= of that one, and make an archive for each service"
            )
    keys: set[bytes] = set().union(*(some for run, some in request_keys(ledger) if run in ids))
    index = {key: at for at, key in enumerate(sorted(keys))}
    names = list(index)
    answers = lookup(client.cache.file, index, lambda rows: [(names[at], body, when) for at, body, when in rows])
    found, every = {key for key, *_ in answers}, list(ledger.entries())
    entries = [entry for entry in every if entry.run in ids]
    return Contents(
        client=client,
        given=given,
        records=records,
        settings={run: settings for run, settings in run_settings(ledger).items() if run in ids},
        entries=entries,
        savings=[saving for saving in ledger.savings() if saving.run in ids],
        answers=sorted(answers),
        bought=[entry for entry in every if entry.outcome == "answered" and entry.request_key in found],
        missing=len({entry.request_key for entry in entries if entry.outcome == "answered"} - found),
    )
