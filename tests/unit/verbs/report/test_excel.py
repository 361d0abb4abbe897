"""The Excel file: the content of its sheets, and formulas that could harm a reader."""

import pandas as pd
import pytest

import tsn_frames as tsn

openpyxl = pytest.importorskip("openpyxl")


@pytest.fixture
def client(sim, tmp_path):
    prices = tsn.Prices({"sim-small": (1, 2)}, currency="EUR")
    made = tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "cache", ledger=tmp_path / "ledger.db", prices=prices)
    tsn.set_client(made)
    return made


def test_the_file_has_spending_by_team_and_month_with_shares_and_totals(client, tmp_path, one_day):
    """Every sum is the ledger's, and times of a zone can be written."""
    df = pd.DataFrame({"text": ["a", "bb", "a", "ccc"], "team": ["x", "y", "y", None]})
    out = df.tsn.complete("Say: {text}", tag=df["team"], include=["answered_at"], progress=False)
    guess = df.tsn.estimate("Other: {text}", max_tokens=5)
    path = tsn.export_excel(tmp_path / "boss.xlsx", estimate=guess, answers=out, cost=out.tsn.cost(by="team"))
    sheets = pd.read_excel(path, sheet_name=None)
    assert list(sheets) == ["Summary", "By team", "By month", "Runs", "Estimate", "answers", "cost"]
    spent, team, month = client.ledger.to_frame()["cost"].sum(), sheets["By team"], sheets["By month"]
    assert team["team"].tolist() == ["x", "y", "(no team)", "total"] and set(team["currency"]) == {"EUR"}
    assert team["cost"].iloc[-1] == pytest.approx(spent) == pytest.approx(team["cost"].iloc[:-1].sum())
    assert team["share"].iloc[-1] == pytest.approx(1) and team["share"].iloc[:-1].between(0, 1).all()
    assert month["cost"].tolist() == pytest.approx([spent, spent]) and month["month"].iloc[-1] == "total"
    assert sheets["Summary"].loc[0, ["runs", "note"]].tolist() == [1, "SIMULATED"]
    assert sheets["Summary"]["cost"].tolist() == pytest.approx([spent]) and sheets["Runs"]["models"].tolist() == ["sim-small"]
    difference = sheets["answers"]["answered_at"] - out["answered_at"]
    assert difference.abs().max() <= pd.Timedelta("1ms"), "Excel holds milliseconds"
    assert sheets["Estimate"]["quantity"].tolist()[0] == "rows" and sheets["cost"]["rows"].sum() == 4


def test_a_text_like_a_formula_stays_a_text(client, tmp_path):
    """Also in a header; a control character that no workbook may hold is replaced."""
    texts = ["=1+1", "@SUM(A1)", "+1", "-1", "\x00bell"]
    path = tsn.export_excel(tmp_path / "a.xlsx", mine=pd.DataFrame({"=HYPERLINK()": texts, "n": range(5)}))
    cells = [row[0] for row in openpyxl.load_workbook(path)["mine"].iter_rows()]
    assert [cell.value for cell in cells] == ["=HYPERLINK()", *texts[:4], "\ufffdbell"]
    assert {cell.data_type for cell in cells} == {"s"} and all(cell.quotePrefix for cell in cells[:5])


def test_an_empty_ledger_and_several_currencies(client, tmp_path):
    """An empty ledger gives a file, too; amounts of two currencies are never added."""
    path = tsn.export_excel(tmp_path / "none.xlsx")
    assert pd.read_excel(path, sheet_name="By team")["team"].tolist() == ["total"]
    df = pd.DataFrame({"text": ["a", "b"]})
    df.tsn.complete("Say: {text}", progress=False)
    dollars = tsn.Prices({"sim-small": (1, 2)}, currency="USD")
    other = tsn.Client(client.base_url, model="sim-small", cache=tmp_path / "c2", ledger=client.ledger.path, prices=dollars)
    df.tsn.complete("Say: {text}", client=other, progress=False)
    summary = pd.read_excel(tsn.export_excel(tmp_path / "two.xlsx"), sheet_name="Summary")
    assert summary["currency"].tolist() == ["EUR", "USD"] and summary["cost"].sum() == pytest.approx(
        client.ledger.to_frame()["cost"].sum()
    )


@pytest.mark.parametrize(("path", "sheets", "message"), [
    ("a.csv", {}, r"an \.xlsx file, got '.*test_a_wrong_argument"), ("a.xlsx", {"mine": [1]}, r"sheet 'mine' must be a DataFrame"),
])  # fmt: skip
def test_a_wrong_argument_is_refused(client, tmp_path, path, sheets, message):
    with pytest.raises(tsn.errors.ParameterError, match=message):
        tsn.export_excel(tmp_path / path, **sheets)
    assert not (tmp_path / path).exists()


def test_times_of_runs_are_written_in_the_time_zone(client, tmp_path):
    """Times of other sheets that have a zone, too; those without one are written as they are."""
    out = pd.DataFrame({"text": ["a"]}).tsn.complete("Say: {text}", include=["answered_at"], progress=False)
    out["zoned"] = out["answered_at"].dt.tz_localize("UTC").dt.tz_convert("Europe/Kyiv")
    sheets = pd.read_excel(tsn.export_excel(tmp_path / "a.xlsx", timezone="Asia/Tokyo", mine=out), sheet_name=None)
    nine, began = pd.Timedelta("9h"), tsn.runs()["began"]
    assert (sheets["Runs"]["began"] - began - nine).abs().max() < pd.Timedelta("1ms")
    assert (sheets["mine"]["zoned"] - out["answered_at"] - nine).abs().max() < pd.Timedelta("1ms")
    assert (sheets["mine"]["answered_at"] - out["answered_at"]).abs().max() < pd.Timedelta("1ms")
