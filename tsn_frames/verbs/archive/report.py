"""``REPORT.md``: a paragraph on methods with every figure, tables of runs, labels and gold, and how to replay the archive."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pandas as pd

from ...api import Completion, Unreadable, decode
from ...engine.ledger.run_record import RunRecord
from ...text import money, plural
from .contents import Contents
from .label_statistics import figures_of


def report_of(contents: Contents, manifest: Mapping[str, Any], name: str) -> str:
    """Return the report of an archive as Markdown."""
    given = contents.given
    frames = {**given.frames, **given.unsaved}
    figures = [(title, figures_of(frame)) for title, frame in frames.items()]
    sections = [
        [f"# Report on {name}", methods(contents, manifest)],
        ["## Runs", markdown(runs_table(contents))],
        *([f"## {title.capitalize()}", f"{plural(len(frames[title]), 'row')}.", *parts] for title, parts in figures),
        *([f"## {title.capitalize()}", markdown(table.reset_index())] for title, table in given.tables.items()),
        *([["## Notes", "\n".join(f"- {note}" for note in dict.fromkeys(given.notes))]] if given.notes else []),
        ["## Versions", markdown(pd.DataFrame(manifest["versions"].items(), columns=["package", "version when archived"]))],
        ["## What is in the archive", _members(contents), "## Replay", _replay(contents, name)],
    ]
    return "\n\n".join(part for section in sections for part in section) + "\n"


def methods(contents: Contents, manifest: Mapping[str, Any]) -> str:
    """Return the paragraph on methods."""
    answers = [answer for _, body, _ in contents.answers if (answer := _decoded(body)) is not None]
    lost = f"{plural(contents.missing, 'answer')} of the runs are not in the archive: they were not cached, or deleted."
    versions = manifest["versions"]
    software = f"tsn_frames {versions.get('tsn-frames', '')} (Python {versions['python']}, pandas {versions['pandas']})"
    sentences = (
        f"Texts were sent to language models at {contents.client.base_url} as chat completions, by {software}.",
        _models(contents, answers),
        _settings(contents),
        _runs(contents),
        _requests(contents.records),
        _usage(contents, answers),
        lost if contents.missing else "",
    )
    return " ".join(sentence for sentence in sentences if sentence)


def _runs(contents: Contents) -> str:
    verbs = ", ".join(f"{verb} {count:,}" for verb, count in Counter(record.verb for record in contents.records).most_common())
    times = [time for record in contents.records for time in (record.began, record.ended) if time is not None]
    sent = _between([*times, *(entry.time for entry in contents.entries)])
    answers = f"{plural(len(contents.answers), 'distinct answer')}, given {_between([when for *_, when in contents.answers])}"
    return f"{plural(len(contents.given.ids), 'run')} ({verbs or 'chat'}) {sent} (UTC) used {answers}."


def _requests(records: Sequence[RunRecord]) -> str:
    names = ("requests", "refused", "retried", "unknown", "cached", "copied", "failed")
    total = {name: sum(getattr(record, name) or 0 for record in records) for name in names}
    return (
        f"These runs sent {plural(total['requests'], 'request')}, of which {total['refused']:,} were refused by rate limits, "
        f"{total['retried']:,} failed and were sent again, and {total['unknown']:,} may have been billed without an answer that was seen; "
        f"{plural(total['cached'], 'row')} took their answer from the cache, {total['copied']:,} that of an equal row, and "
        f"{total['failed']:,} had none in a run."
    )


def runs_table(contents: Contents) -> pd.DataFrame:
    """Return a row per run."""
    rows = [
        {
            "run": record.run, "verb": record.verb, "began (UTC)": _time(record.began), "model": ", ".join(json.loads(record.models)),
            "settings": _listed(contents.settings.get(record.run, {})), "rows": record.rows, "requests": record.requests,
            "cached": record.cached, "failed": record.failed, "prompt tokens": record.prompt_tokens,
            "completion tokens": record.completion_tokens, "cost": None if record.cost is None else money(Decimal(record.cost), 3),
            "currency": record.currency, "end": record.end or "unfinished",
        }
        for record in contents.records
    ]  # fmt: skip
    return pd.DataFrame(rows).dropna(axis="columns", how="all")


def markdown(table: pd.DataFrame) -> str:
    r"""Return a table as Markdown.

    >>> print(markdown(pd.DataFrame({"label": ["a|b"], "share": [0.25]})))
    | label | share |
    |---|---|
    | a\|b | 0.25 |
    """
    rows: list[Any] = [table.columns, *table.itertuples(index=False, name=None)]
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * table.shape[1], *lines[1:]])


def _cell(value: Any) -> str:
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return ""
    text = f"{value:.4g}" if isinstance(value, float) and not float(value).is_integer() else str(value)
    return " ".join(text.split()).replace("|", "\\|")


def _models(contents: Contents, answers: Sequence[Completion]) -> str:
    asked = dict.fromkeys(model for record in contents.records for model in json.loads(record.models))
    named = Counter(answer.model for answer in answers if answer.model)
    served = "; answers name " + ", ".join(f"{model} ({count:,})" for model, count in named.most_common()) if named else ""
    return f"The model asked was {', '.join(asked) or contents.client.model or 'not on record'}{served}."


def _settings(contents: Contents) -> str:
    """Return a sentence on the parameters with all values that the runs had."""
    values: dict[str, dict[str, None]] = {}
    for settings in contents.settings.values():
        for name, value in settings.items():
            if value is not None:
                values.setdefault(name, {})[str(value)] = None
    repeats = values.pop("repeat", {})
    votes = f" Requests were repeated for votes (repeat {', '.join(repeats)})." if len(repeats) > 1 else ""
    listed = ", ".join(f"{name} {' or '.join(some)}" for name, some in values.items())
    return (f"Parameters: {listed}; others were those of the service." if listed else "") + votes


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)


def _usage(contents: Contents, answers: Sequence[Completion]) -> str:
    """Return sentences on tokens and money, of the answers and of the runs."""
    prompt, completion = (sum(getattr(answer, f"{kind}_tokens") or 0 for answer in answers) for kind in ("prompt", "completion"))
    text = f"The answers took {prompt:,} prompt and {completion:,} completion tokens."
    costs = [Decimal(entry.cost) for entry in contents.bought if entry.cost is not None]
    if not costs:
        return f"{text} No prices were given, so the cost is not on record."
    unpriced = len(contents.bought) - len(costs)
    shown = partial(money, digits=3, currency=next((entry.currency for entry in contents.bought if entry.currency), None))
    least = f" (at least: {plural(unpriced, 'answer')} had no price)" if unpriced else ""
    paid = sum((Decimal(record.cost) for record in contents.records if record.cost is not None), Decimal(0))
    return f"{text} They cost {shown(sum(costs))} when they were bought{least}; these runs paid {shown(paid)}."


def _members(contents: Contents) -> str:
    given, runs = contents.given, plural(len(contents.given.ids), "run")
    data = f"{plural(len(given.frames), 'frame')} as Parquet: the data of the study, texts included"
    files = plural(len(given.files), "file")
    answers = f"{plural(len(contents.answers), 'answer')} as the service sent them, by the hash of their request"
    lines = (
        f"`answers.jsonl`: {answers}. They may quote the texts that they are about.",
        f"`ledger.jsonl`: the records of {runs}, with hashes in place of texts.",
        f"`frames/`: {data if given.frames else 'none, so the data of the study are not in the archive'}.",
        f"`tables/`: {plural(len(given.tables), 'table')} of this report as CSV; `files/`: {files}.",
        "No API key, and no prompt: requests are in it by their hashes.",
    )
    return "\n".join(f"- {line}" for line in lines)


def _replay(contents: Contents, name: str) -> str:
    return (
        f'```python\nimport tsn_frames as tsn\n\nclient = tsn.load_archive("{name}")\n'
        "out = df.tsn.label(..., client=client)  # the calls of the study, on the same frame\n```\n\n"
        f"It sends nothing and needs no key. The base URL was {contents.client.base_url}."
    )


def _between(times: Sequence[float]) -> str:
    return f"between {_time(min(times))} and {_time(max(times))}" if times else "between unknown times"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _decoded(body: bytes) -> Completion | None:
    try:
        return decode(body)
    except Unreadable:
        return None
