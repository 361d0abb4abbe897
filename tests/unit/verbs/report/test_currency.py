"""The currency of the prices stands beside every amount that is shown: in errors, notes, reports and methods."""

import re
import zipfile

import pandas as pd
import pytest

import tsn_frames as tsn

PRICES = tsn.Prices({"sim-small": (1, 2), "sim-large": (10, 20)}, currency="EUR")
AMOUNT = r"\b\d[\d,]*\.\d+"


@pytest.fixture
def client_of(sim, tmp_path):
    """Return a function that makes clients with other words."""
    places = {"cache": tmp_path / "cache", "ledger": tmp_path / "ledger.db"}
    return lambda **words: tsn.Client(sim.base_url, model="sim-small", prices=PRICES, **places, **words)


def frame(number=40):
    return pd.DataFrame({"text": [f"message {i}" for i in range(number)]})


def bare(text):
    """Return the amounts of a text that no currency follows; seconds are none."""
    return re.findall(rf"{AMOUNT}(?! EUR|\d| s\b)", text)


@pytest.mark.usefixtures("one_day")
@pytest.mark.parametrize("period", ["day", "month"])
def test_the_budget_of_a_period_has_it(client_of, period):
    client = client_of(budget={period: 0.0002})
    with pytest.raises(tsn.errors.BudgetExceeded) as found:
        frame().tsn.complete("Say: {text}", client=client, max_tokens=20, progress=False)
    assert f"the budget of 0.000200 EUR a {period} (UTC)" in str(found.value)
    assert bare(str(found.value)) == []


def test_the_budget_of_several_rounds_has_it(client_of):
    with pytest.raises(tsn.errors.BudgetExceeded) as found:
        frame(6).tsn.label("text", ["a", "b"], votes=3, max_cost=0.0015, max_tokens=20, client=client_of(), progress=False)
    notes = "\n".join([str(found.value), *getattr(found.value, "__notes__", ())])
    assert re.search(r"max_cost=0\.00150 EUR holds over all rounds: [\d.]+ EUR were spent", notes) and bare(notes) == []


def test_the_budget_of_a_comparison_has_it(client_of):
    words = {"client": client_of(), "max_tokens": 20, "progress": False, "max_cost": 0.0004}
    with pytest.raises(tsn.errors.BudgetExceeded) as found:
        frame().tsn.compare("Say: {text}", models=["sim-small", "sim-large"], **words)
    text = f"{found.value} {found.value.partial.notes}"
    assert "EUR" in text and bare(text) == []


def test_the_note_of_an_estimate_has_it(client_of):
    words = {"client": client_of(), "max_tokens": 20, "max_cost": 0.0002}
    ask = {"models": ["sim-small", "sim-large"], **words}
    for found in (frame().tsn.estimate("Say: {text}", **words), tsn.estimate(frame().tsn.compare, "Say: {text}", **ask),
                  tsn.estimate(frame().tsn.label, "text", ["a", "b"], votes=3, **words)):  # fmt: skip
        (note,) = [note for note in found.notes if "may cost more" in note]
        assert note == "it may cost more than the budget of 0.00020 EUR for a run allows, and would end there"
        assert "cost upper bound in EUR" in repr(found) and "cost in EUR" in found._repr_html_()


def test_reports_of_costs_and_methods_have_it(client_of, tmp_path):
    client = client_of()
    out = frame().tsn.complete("Say: {text}", client=client, progress=False)
    tsn.archive(tmp_path / "study.zip", out, client=client)
    with zipfile.ZipFile(tmp_path / "study.zip") as study:
        report = "\n".join(study.read(name).decode() for name in study.namelist() if name.endswith(".md"))
    (sentence,) = [line for line in report.splitlines() if "when they were bought" in line]
    assert re.search(rf"They cost {AMOUNT} EUR when they were bought; these runs paid {AMOUNT} EUR\.", sentence)


def test_without_a_currency_none_is_shown(sim, tmp_path):
    client = tsn.Client(
        sim.base_url, model="sim-small", prices={"sim-small": (1, 2)}, cache=tmp_path / "c", ledger=tmp_path / "l.db"
    )
    found = frame().tsn.estimate("Say: {text}", client=client, max_tokens=20, max_cost=0.0002)
    assert "the budget of 0.00020 for a run" in repr(found) and "None" not in repr(found)
