"""The ledger as pandas frames: attempts, runs, and a summary by day, month, model, tag or run. pandas is imported on demand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ...errors import ParameterError
from ...text import did_you_mean, quoted
from ..storage.frames import TOKEN_COLUMNS, utc_times
from .file import Entry
from .run_record import RunRecord, Saving, fingerprint

if TYPE_CHECKING:
    import pandas as pd

CALENDAR = {"day": "D", "week": "W-SUN", "month": "M", "year": "Y"}
BY = (*CALENDAR, "model", "tag", "run", "host")
_HASHES = ("template", "system", "model", "base_url", "parameters", "rows", "keys")
_NO_UNIT = ""


def summary_frame(entries: Sequence[Entry], savings: Sequence[Saving], by: str | Sequence[str], timezone: str) -> pd.DataFrame:
    """Return spending and savings by group; see :meth:`Ledger.summary`."""
    import pandas as pd

    names = checked_by(by)
    zone = _zone(timezone)
    spent = pd.DataFrame(entries, columns=list(Entry._fields))
    spared = pd.DataFrame(savings, columns=list(Saving._fields))
    for frame in (spent, spared):
        for name in names:
            frame[name] = _calendar(frame["time"], name, zone) if name in CALENDAR else frame[name].astype("string")
        frame["money"] = pd.Series([None if cost is None else Decimal(cost) for cost in frame["cost"]], dtype=object)
    units = _units(spent, spared, names)
    table = _spent(spent.assign(currency=units[0]), [*names, "currency"])
    table = table.join(_spared(spared.assign(currency=units[1]), [*names, "currency"]), how="outer")
    whole = [
        "attempts",
        "answers",
        "unknown",
        "prompt_tokens",
        "cached_tokens",
        "completion_tokens",
        "saved_rows",
        "saved_tokens",
    ]
    table = table.assign(**{name: table[name].astype("Float64").fillna(0).astype("int64") for name in whole})
    for name in ("at_least", "saved_at_least"):
        table[name] = table[name].astype("boolean").fillna(False).astype(bool)
    table = table.reset_index("currency")
    table["currency"] = table["currency"].replace(_NO_UNIT, pd.NA).astype("string")
    return table[[*whole[:6], "cost", "at_least", "currency", *whole[6:], "saved", "saved_at_least"]]


def checked_by(by: object) -> list[str]:
    """Return the grouping names as a list without duplicates.

    Raises
    ------
    ParameterError
        If one is unknown; the message lists the known ones.
    """
    names = [by] if isinstance(by, str) else list(by) if isinstance(by, (list, tuple)) and by else [quoted(by)]
    for name in names:
        if name not in BY:
            raise ParameterError(f"by has {quoted(name)}; {did_you_mean(name, BY)}")
    return list(dict.fromkeys(names))


def _zone(timezone: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(timezone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ParameterError(f"timezone must be a name such as 'UTC' or 'Europe/Berlin', got {quoted(timezone)}") from None


def _calendar(seconds: pd.Series, name: str, zone: ZoneInfo) -> pd.Series:
    """Return the start of the day, week, month or year in a time zone."""
    import pandas as pd

    local = pd.to_datetime(seconds.astype("float64"), unit="s", utc=True).dt.tz_convert(zone).dt.tz_localize(None)
    return local.dt.to_period(CALENDAR[name]).dt.start_time.astype("datetime64[us]")


def _units(spent: pd.DataFrame, spared: pd.DataFrame, names: list[str]) -> tuple[pd.Series, pd.Series]:
    """Return the currency each row is summed under; rows without money join their group's currency if there is just one."""
    import pandas as pd

    parts = [
        frame[names].assign(unit=frame["currency"].astype("string"), paid=frame["money"].notna().astype(bool))
        for frame in (spent, spared)
    ]
    both = pd.concat(parts, keys=[0, 1])
    unit = both["unit"].mask(both["unit"].isna() & both["paid"], _NO_UNIT)
    known = unit.groupby([both[name] for name in names], dropna=False)
    filled = unit.mask(unit.isna() & known.transform("nunique").eq(1), known.transform("first")).fillna(_NO_UNIT)
    return filled[filled.index.get_level_values(0) == 0].droplevel(0), filled[filled.index.get_level_values(0) == 1].droplevel(0)


def _spent(spent: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    groups = spent.assign(
        answers=spent["outcome"].eq("answered"), unknown=spent["outcome"].ne("answered"), lost=spent["money"].isna()
    ).groupby(keys, dropna=False)
    table = groups[["answers", "unknown"]].sum()
    table.insert(0, "attempts", groups.size())
    for name in ("prompt_tokens", "cached_tokens", "completion_tokens"):
        table[name] = groups[name].sum()
    table["cost"] = groups["money"].agg(_sum).astype("Float64")
    table["at_least"] = groups["lost"].any()
    return table


def _spared(spared: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    tokens = spared["prompt_tokens"] + spared["completion_tokens"]
    groups = spared.assign(tokens=tokens, lost=spared["money"].isna()).groupby(keys, dropna=False)
    table = groups[["rows", "tokens"]].sum().rename(columns={"rows": "saved_rows", "tokens": "saved_tokens"})
    table["saved"] = groups["money"].agg(_sum).astype("Float64")
    table["saved_at_least"] = groups["lost"].any()
    return table


def _sum(amounts: pd.Series) -> float | None:
    """Return the sum of the known amounts, exact until the last step; None where none is known."""
    known = amounts.dropna()
    return float(sum(known, Decimal(0))) if len(known) else None


def runs_frame(records: Sequence[RunRecord], entries: Sequence[Entry]) -> pd.DataFrame:
    """Return the run records as a frame; see :func:`tsn_frames.runs`."""
    import pandas as pd

    unfinished = {record.run for record in records if record.ended is None}
    lines = [entry for entry in entries if entry.run in unfinished]
    rows = [
        _row(record, [line for line in lines if line.run == record.run] if record.ended is None else ()) for record in records
    ]
    frame = pd.DataFrame(rows, columns=list(_COLUMNS))
    for name in ("began", "ended"):
        frame[name] = pd.to_datetime(frame[name].astype("float64"), unit="s", utc=True).astype("datetime64[us, UTC]")
    return frame.astype({name: kind for name, kind in _COLUMNS.items() if name not in ("began", "ended")})


def _row(record: RunRecord, lines: Sequence[Entry]) -> dict[str, Any]:
    """Return a run record as a row; the totals of an unfinished run are summed from its attempts."""
    row = {name: value for name, value in record._asdict().items() if name in _COLUMNS}
    row |= {name: json.loads(getattr(record, name)) for name in ("models", "tags")}
    row["texts"] = json.loads(record.texts) if record.texts else None
    row["seconds"] = None if record.ended is None else record.ended - record.began
    row["end"] = record.end or "unfinished"
    row |= {name: None if getattr(record, name) is None else float(getattr(record, name)) for name in ("cost", "saved")}
    if record.ended is None:
        known = [Decimal(line.cost) for line in lines if line.cost is not None]
        row |= {
            "unknown": sum(line.outcome == "unknown" for line in lines),
            "prompt_tokens": sum(line.prompt_tokens or 0 for line in lines),
            "completion_tokens": sum(line.completion_tokens or 0 for line in lines),
            "cost": float(sum(known, Decimal(0))) if known else None,
            "cost_known": False,
            "currency": next((line.currency for line in lines if line.currency), None),
        }
    elif row["cost_known"] is not None:
        row["cost_known"] = bool(row["cost_known"])
    return row | _hashes(json.loads(record.hashes))


def _hashes(found: dict[str, str]) -> dict[str, str | None]:
    parameters = {name: value for name, value in sorted(found.items()) if name not in _HASHES}
    return {f"{name}_hash": found.get(name) for name in _HASHES} | {"parameters_hash": fingerprint(parameters) if found else None}


_COUNTS = ("rows", "distinct_requests", "answered", "cached", "copied", "failed", "skipped", "not_sent", "requests", "refused",
           "retried", "unknown", "prompt_tokens", "completion_tokens")  # fmt: skip
_COLUMNS = (
    {"run": "string", "began": "", "ended": "", "seconds": "Float64", "verb": "string", "host": "string", "models": "object",
     "tags": "object", "end": "string"}
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
    frame["cost"] = pd.array([None if cost is None else float(cost) for cost in frame["cost"]], dtype="Float64")
    frame["held"] = pd.array([None if held is None else float(held) for held in frame["held"]], dtype="Float64")
    frame["request_key"] = pd.array([key.hex() for key in frame["request_key"]], dtype="string")
    texts = dict.fromkeys(("run", "host", "model", "outcome", "tag", "currency", "price_source", "language"), "string")
    counts = dict.fromkeys((*TOKEN_COLUMNS, "cached_tokens", "prompt_chars", "completion_chars"), "Int64")
    return frame.astype(counts | texts | {"seconds": "float64"})
