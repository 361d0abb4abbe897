"""Excel file of spending: summary, departments, months, runs, an estimate, and frames of your own."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import pandas as pd

from ...engine.runtime.client import Client, client_or_default
from ...engine.runtime.simulator_detection import MARK
from ...errors import ConfigError, ParameterError
from ...frames.result_base import FrameLike
from ...text import quoted
from ..runs import runs

_FORMATS = {"cost": "#,##0.00####", "saved": "#,##0.00####", "share": "0.0%"}
_MOST_WIDE = 40


def export_excel(
    path: str | Path, *, client: Client | None = None, estimate: FrameLike | None = None, timezone: str = "UTC",
    **sheets: pd.DataFrame | FrameLike,
) -> Path:  # fmt: skip
    """Write a report on spending as an Excel file: summary, by team, by month, runs, and an estimate.

    It needs the package openpyxl: ``pip install 'tsn-frames[excel]'``.

    Parameters
    ----------
    path : str or Path
        The file, ``.xlsx``. One that is there is replaced.
    client : Client, optional
        Whose ledger; default: the one of :func:`set_client`, else the environment's.
    estimate : Estimate, optional
        What a call would cost, on its own sheet.
    timezone : str
        Time zone of the months and of the times of runs. Times of other sheets that have a zone are converted to it as well; those
        without one, such as the column ``answered_at``, which is in UTC, are written as they are.
    **sheets : DataFrame, Report, Estimate, Comparison, ...
        Further sheets by name, such as ``answers=out``.

    Returns
    -------
    Path
        The file. Amounts have a column with their currency, and tables end in a total for each currency. A text that looks like a formula
        stays a text.

    Raises
    ------
    ParameterError
        If the file's name doesn't end in ``.xlsx``, or a sheet is not a frame.
    ConfigError
        If openpyxl is not installed.

    Examples
    --------
    >>> import pandas as pd, tempfile, tsn_frames as tsn
    >>> sim = tsn.simulate(latency=0.0)
    >>> out = pd.DataFrame({"text": ["Hi", "Hello"]}).tsn.complete("Answer politely: {text}", tag="sales")
    >>> path = tsn.export_excel(tempfile.mkdtemp() + "/spending.xlsx", answers=out)
    >>> pd.read_excel(path, sheet_name="By team")["team"].tolist()
    ['sales', 'total']
    >>> sim.close()
    """
    path = Path(path).expanduser()
    if path.suffix.lower() != ".xlsx":
        raise ParameterError(f"path must be that of an .xlsx file, got {quoted(str(path))}")
    if wrong := [name for name, value in sheets.items() if not isinstance(value, (pd.DataFrame, FrameLike))]:
        raise ParameterError(
            f"the sheet {wrong[0]!r} must be a DataFrame or a result such as a Report, got {quoted(sheets[wrong[0]])}"
        )
    tables = _spending(client_or_default(client), timezone)
    if estimate is not None:
        tables["Estimate"] = _indexed(estimate, "quantity")
    tables |= {name: _indexed(value, "") for name, value in sheets.items()}
    write_sheets(path, tables, timezone)
    return path


def _spending(client: Client, timezone: str) -> dict[str, pd.DataFrame]:
    """Return the sheets that are made of the ledger."""
    teams, months = (client.ledger.summary(by, timezone=timezone) for by in ("tag", "month"))
    ran = runs(client)
    simulated = len(ran) > 0 and bool(ran["simulated"].all())
    by_month = with_totals(months.rename_axis("month"), "month")
    whole = by_month.tail(max(1, months["currency"].nunique(dropna=False)))
    summary = whole.drop(columns=["month", "share"]).assign(runs=len(ran), note=MARK if simulated else "")
    ran = ran.drop(columns=[name for name in ran if str(name).endswith("_hash") or name == "texts"])
    ran = ran.assign(**{name: ran[name].map(", ".join) for name in ("models", "tags") if len(ran)})
    ran = ran.assign(**{name: ran[name].dt.tz_localize("UTC") for name in ("began", "ended")})
    by_team = with_totals(teams.rename_axis("team"), "team")
    return {"Summary": summary, "By team": by_team, "By month": by_month, "Runs": ran}


def with_totals(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a summary of the ledger with each group's share of the cost, and a row of totals for each currency."""
    found = table.reset_index()
    currency = found["currency"].fillna("")
    whole = found["cost"].groupby(currency).transform("sum")
    found.insert(list(found).index("cost") + 1, "share", found["cost"] / whole.where(whole > 0))
    found[name] = found[name].astype(object).where(found[name].notna(), f"(no {name})")
    amounts = [column for column in found if column not in (name, "currency")]
    merged = {column: "any" if column in ("at_least", "saved_at_least") else "sum" for column in amounts}
    totals = found.groupby(currency).agg(merged).reset_index().assign(**{name: "total"})
    totals["currency"] = totals["currency"].replace("", pd.NA)
    if totals.empty:
        totals = pd.DataFrame({name: ["total"]})
    return pd.concat([found.astype(object), totals.astype(object)], ignore_index=True)


def _indexed(value: pd.DataFrame | FrameLike, name: str) -> pd.DataFrame:
    """Return a table with its index as columns, unless that only numbers the rows."""
    frame = value if isinstance(value, pd.DataFrame) else value.to_frame()
    if isinstance(frame.index, pd.RangeIndex):
        return frame
    return frame.rename_axis(name).reset_index() if frame.index.names == [None] and name else frame.reset_index()


def write_sheets(target: Path | IO[bytes], tables: dict[str, pd.DataFrame], timezone: str, *, formulas: bool = False) -> None:
    """Write tables as the sheets of an Excel file; ``formulas`` lets texts such as ``=1+1`` be formulas."""
    try:
        from openpyxl import Workbook
        from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
    except ImportError:
        raise ConfigError("Excel files need openpyxl: pip install 'tsn-frames[excel]'") from None
    book = Workbook()
    book.remove(book.active)
    for name, table in tables.items():
        sheet = book.create_sheet(name[:31])
        for row in (map(str, table.columns), *table.astype(object).itertuples(index=False, name=None)):
            values = [_plain(value, timezone) for value in row]
            sheet.append([ILLEGAL_CHARACTERS_RE.sub("\N{REPLACEMENT CHARACTER}", v) if isinstance(v, str) else v for v in values])
        for column in sheet.columns:
            _format_column(sheet, column, formulas=formulas)
        sheet.freeze_panes = "A2"
    book.save(target)


def _format_column(sheet: Any, column: tuple[Any, ...], *, formulas: bool) -> None:
    """Format a column by its header; a text stays a text, whatever it begins with, unless formulas are wanted."""
    from openpyxl.styles import Font

    column[0].font = Font(bold=True)
    widest = max(len(str(cell.value)) for cell in column if cell.value is not None)
    sheet.column_dimensions[column[0].column_letter].width = min(widest + 2, _MOST_WIDE)
    for cell in column[1:]:
        cell.number_format = _FORMATS.get(str(column[0].value), cell.number_format)
    for cell in column:
        if not formulas and isinstance(cell.value, str) and cell.value[:1] in ("=", "+", "-", "@", "\t"):
            cell.data_type, cell.quotePrefix = "s", True


def _plain(value: Any, timezone: str) -> Any:
    """Return a value that a cell can hold: times without a zone, lists and other objects as texts, None for NA."""
    if isinstance(value, (list, dict, tuple, set)):
        return str(value)
    if pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return (value if value.tzinfo is None else value.tz_convert(timezone).tz_localize(None)).to_pydatetime()
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, (str, int, float, bool)) else str(value)
