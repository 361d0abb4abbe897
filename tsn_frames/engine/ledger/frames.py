"""The ledger as pandas frames: attempts, runs, and a summary by day, month, model, tag or run. pandas is imported on demand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ...errors import ParameterError
from ...text import did_you_mean, quoted
from ..storage.utc_time_column import utc_times
from .ledger_file import Entry
from .run_record import RunRecord, Saving, fingerprint

if TYPE_CHECKING:
    import pandas as pd

CALENDAR = {"day": "D", "week": "W-SUN", "month": "M", "year": "Y"}
BY = (*CALENDAR, "model", "tag", "run", "host")
_HASHES = ("template", "system", "model", "base_url", "parameters", "rows", "keys")
_NO_CURRENCY = ""
_SPENDING = ("attempts", "answers", "unknown", "prompt_tokens", "cached_tokens", "completion_tokens")
_SAVINGS = ("saved_rows", "saved_tokens")


def summary_frame(entries: Sequence[Entry], savings: Sequence[Saving], by: str | Sequence[str], timezone: str) -> pd.DataFrame:
    """Return spending and savings by group; see :meth:`Ledger.summary`."""
    import pandas as pd

    names, zone = checked_by(by), time_zone(timezone)
    spent = _with_groups(pd.DataFrame(entries, columns=list(Entry._fields)), names, zone)
    saved = _with_groups(pd.DataFrame(savings, columns=list(Saving._fields)), names, zone)
    spent["currency"], saved["currency"] = _currencies(spent, saved, names)
    answered, keys = spent["outcome"].eq("answered"), [*names, "currency"]
    spent = spent.assign(attempts=1, answers=answered, unknown=~answered)
    saved = saved.assign(saved_rows=saved["rows"], saved_tokens=saved["prompt_tokens"] + saved["completion_tokens"])
    table = _sums(spent, keys, _SPENDING, "cost", "at_least").join(
        _sums(saved, keys, _SAVINGS, "saved", "saved_at_least"), how="outer"
    )
    for name in (*_SPENDING, *_SAVINGS):
        table[name] = table[name].astype("Float64").fillna(0).astype("int64")
    for amount, number in (("cost", "attempts"), ("saved", "saved_rows")):
        table[amount] = table[amount].mask(table[number].eq(0), 0.0)
    for name in ("at_least", "saved_at_least"):
        table[name] = table[name].astype("boolean").fillna(False).astype(bool)
    table = table.reset_index("currency")
    table["currency"] = table["currency"].replace(_NO_CURRENCY, pd.NA).astype("string")
    return table[[*_SPENDING, "cost", "at_least", "currency", *_SAVINGS, "saved", "saved_at_least"]]


def checked_by(by: object) -> list[str]:
    """Return the grouping names as a list without duplicates."""
    names = [by] if isinstance(by, str) else list(by) if isinstance(by, (list, tuple)) and by else [quoted(by)]
    for name in names:
        if name not in BY:
            raise ParameterError(f"by has {quoted(name)}; {did_you_mean(name, BY)}")
    return list(dict.fromkeys(names))


def time_zone(timezone: object) -> ZoneInfo:
    """Return the time zone of a name."""
    try:
        return ZoneInfo(str(timezone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ParameterError(f"timezone must be a name such as 'UTC' or 'Europe/Berlin', got {quoted(timezone)}") from None


def _calendar(seconds: pd.Series, name: str, zone: ZoneInfo) -> pd.Series:
    """Return the start of the day, week, month or year in a time zone."""
    import pandas as pd

    local = pd.to_datetime(seconds.astype("float64"), unit="s", utc=True).dt.tz_convert(zone).dt.tz_localize(None)
    return local.dt.to_period(CALENDAR[name]).dt.start_time.astype("datetime64[us]")


def _with_groups(frame: pd.DataFrame, names: list[str], zone: ZoneInfo) -> pd.DataFrame:
    """Return ledger rows with their group columns, and exact costs as ``money``."""
    import pandas as pd

    groups = {name: _calendar(frame["time"], name, zone) if name in CALENDAR else frame[name].astype("string") for name in names}
    money = pd.Series([None if cost is None else Decimal(cost) for cost in frame["cost"]], dtype=object)
    return frame.assign(**groups, money=money)


def _currencies(spent: pd.DataFrame, saved: pd.DataFrame, names: list[str]) -> tuple[Any, Any]:
    """Return the currency each row is summed under; rows without money join their group's currency if there is just one."""
    import pandas as pd

    rows = pd.concat([frame[[*names, "currency", "money"]] for frame in (spent, saved)], ignore_index=True)
    currency = rows["currency"].astype("string")
    currency = currency.mask(currency.isna() & rows["money"].notna(), _NO_CURRENCY)
    known = currency.groupby([rows[name] for name in names], dropna=False)
    only_one = currency.isna() & known.transform("nunique").eq(1)
    filled = currency.mask(only_one, known.transform("first")).fillna(_NO_CURRENCY).array
    return filled[: len(spent)], filled[len(spent) :]


def _sums(rows: pd.DataFrame, keys: list[str], counts: tuple[str, ...], amount: str, at_least: str) -> pd.DataFrame:
    """Return the sums of counts and of money by group, and whether some of the money is unknown."""
    groups = rows.assign(unpriced=rows["money"].isna()).groupby(keys, dropna=False)
    table = groups[list(counts)].sum()
    table[amount] = groups["money"].agg(_sum).astype("Float64")
    table[at_least] = groups["unpriced"].any()
    return table


def _sum(amounts: pd.Series) -> float | None:
    """Return the exact sum of the known amounts as a float; None if none is known."""
    known = amounts.dropna()
    return float(sum(known, Decimal(0))) if len(known) else None


def runs_frame(records: Sequence[RunRecord], entries: Iterable[Entry]) -> pd.DataFrame:
    """Return the run records as a frame; see :func:`tsn_frames.runs`. Attempts are read where a run has no end on record."""
    import pandas as pd

    unfinished: dict[str, list[Entry]] = {record.run: [] for record in records if record.ended is None}
    for entry in entries if unfinished else ():
        if entry.run in unfinished:
            unfinished[entry.run].append(entry)
    totals = {run: _totals(attempts) for run, attempts in unfinished.items()}
    frame = pd.DataFrame([_run_row(record) | totals.get(record.run, {}) for record in records], columns=list(_COLUMNS))
    for name in ("began", "ended"):
        frame[name] = utc_times(frame[name])
    return frame.astype(_COLUMNS)


def _run_row(record: RunRecord) -> dict[str, Any]:
    row = {name: value for name, value in record._asdict().items() if name in _COLUMNS}
    row |= {name: json.loads(getattr(record, name)) for name in ("models", "tags")}
    row |= {name: None if row[name] is None else float(row[name]) for name in ("cost", "saved")}
    row["texts"] = json.loads(record.texts) if record.texts else None
    row["seconds"] = None if record.ended is None else record.ended - record.began
    row["end"] = record.end or "unfinished"
    row["cost_known"] = None if record.cost_known is None else bool(record.cost_known)
    hashes = json.loads(record.hashes)
    row |= {f"{name}_hash": hashes.get(name) for name in _HASHES}
    parameters = {name: value for name, value in sorted(hashes.items()) if name not in _HASHES}
    return row | {"parameters_hash": fingerprint(parameters) if hashes else None}  # all parameters share one


def _totals(attempts: Sequence[Entry]) -> dict[str, Any]:
    """Return the totals of an unfinished run, summed from its attempts."""
    known = [Decimal(attempt.cost) for attempt in attempts if attempt.cost is not None]
    return {
        "unknown": sum(attempt.outcome == "unknown" for attempt in attempts),
        "prompt_tokens": sum(attempt.prompt_tokens or 0 for attempt in attempts),
        "completion_tokens": sum(attempt.completion_tokens or 0 for attempt in attempts),
        "cost": float(sum(known, Decimal(0))) if known else None,
        "cost_known": False,
        "currency": next((attempt.currency for attempt in attempts if attempt.currency), None),
    }


_COUNTS = ("rows", "distinct_requests", "answered", "cached", "copied", "failed", "skipped", "not_sent", "requests", "refused",
           "retried", "unknown", "prompt_tokens", "completion_tokens")  # fmt: skip
_COLUMNS = (
    {"run": "string", "began": "datetime64[us]", "ended": "datetime64[us]", "seconds": "Float64", "verb": "string",
     "host": "string", "models": "object", "tags": "object", "end": "string"}
    | dict.fromkeys(_COUNTS, "Int64")
    | {"cost": "Float64", "cost_known": "boolean", "saved": "Float64", "currency": "string"}
    | dict.fromkeys((f"{name}_hash" for name in _HASHES), "string")
    | {"texts": "object"}
)  # fmt: skip


def ledger_frame(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return the attempts as a frame; see :meth:`Ledger.to_frame`."""
    import pandas as pd

    frame = pd.DataFrame(entries, columns=list(Entry._fields))
    frame["time"] = utc_times(frame["time"])
    for name in ("cost", "held"):
        frame[name] = pd.array([None if amount is None else float(amount) for amount in frame[name]], dtype="Float64")
    frame["request_key"] = pd.array([key.hex() for key in frame["request_key"]], dtype="string")
    texts = dict.fromkeys(("run", "host", "model", "outcome", "tag", "currency", "price_source", "language"), "string")
    tokens = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens")
    counts = dict.fromkeys((*tokens, "prompt_chars", "completion_chars"), "Int64")
    return frame.astype(counts | texts | {"seconds": "float64"})
