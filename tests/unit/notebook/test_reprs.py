"""Reprs at a cell's end: short, and without keys."""

import pandas as pd
import pytest
from support.canary import KEY

import tsn_frames as tsn

MOST_CHARACTERS, MOST_LINES = 400, 12


@pytest.fixture
def objects(sim, tmp_path):
    prices = {"sim-small": (0.25, 1.0), "sim-large": (2.5, 10.0)}
    client = tsn.Client(
        sim.base_url, model="sim-small", api_key=KEY, prices=prices, cache=tmp_path / "c", ledger=tmp_path / "l.db"
    )
    df = pd.DataFrame({"text": [f"A longer text, number {i}" for i in range(2000)], "gold": ["yes", "no"] * 1000})
    run = df.tsn.start("Yes or no? {text}", client=client, max_tokens=3)
    out = run.result(progress=False)
    labelled = df.assign(label=["yes", "no", "no", "no"] * 500)
    return {
        "Run": run,
        "Summary": run.summary,
        "Estimate": df.tsn.estimate("Say: {text}", client=client, max_tokens=3),
        "Report": out.tsn.cost(by="gold"),
        "Comparison": df.head(4).tsn.compare("{text}", models=["sim-small", "sim-large"], client=client, progress=False),
        "Evaluation": labelled.tsn.evaluate("label", gold="gold", split=None),
        "Client": client,
        "df.tsn": df.tsn,
        "series.tsn": df["text"].tsn,
        "stats": sim.stats(),
        "Cache": client.cache,
        "Ledger": client.ledger,
    }


@pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning")
def test_reprs_are_short_and_hold_no_key(objects):
    for name, found in objects.items():
        text = repr(found)
        assert KEY not in text and "object at 0x" not in text, name
        table = name in ("Estimate", "Report", "Comparison", "Evaluation")
        assert len(text.splitlines()) <= (40 if table else 1), text
        assert table or len(text) <= MOST_CHARACTERS, (name, len(text), text)


@pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning")
def test_pages_show_the_same_as_html_without_a_key(objects):
    for name in ("Summary", "Estimate", "Report", "Comparison", "Evaluation", "Client", "df.tsn", "series.tsn"):
        page = objects[name]._repr_html_()
        assert page.startswith(("<div", "<table")) and KEY not in page and len(page) < 20_000, name
    assert "sim-small" in objects["Client"]._repr_html_() and "of 2 models" in objects["Client"]._repr_html_()
    assert "df.tsn.complete(&quot;Summarise: {text}&quot;)" in objects["df.tsn"]._repr_html_()
    assert "2,000 of 2,000 rows answered" in objects["Summary"]._repr_html_()


def test_a_client_shows_what_is_set_and_leaves_out_what_is_usual(tmp_path):
    plain = tsn.Client("http://127.0.0.1:1", model="m", cache=tmp_path, ledger=tmp_path / "l.db")
    assert "limits" not in repr(plain) and "retry" not in repr(plain) and "api_key" not in repr(plain)
    limited = tsn.Client("http://127.0.0.1:1", limits=tsn.Limits(4), headers={"X-Title": KEY}, budget={"day": 20})
    assert "Limits(concurrency=4" in repr(limited) and "{'X-Title': '***'}" in repr(limited) and "Decimal('20')" in repr(limited)
    assert "X-Title" in limited._repr_html_() and KEY not in limited._repr_html_() + repr(limited)


def test_a_wide_frame_names_its_first_columns():
    df = pd.DataFrame([range(100)], columns=[f"column {i}" for i in range(100)])
    assert "'column 7', 92 more" in repr(df.tsn) and len(repr(df.tsn)) < MOST_CHARACTERS
    assert "&lt;b&gt;" in pd.DataFrame({"<b>": ["a"]}).tsn._repr_html_()
