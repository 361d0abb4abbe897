"""Real texts labelled by a real model of 135 million parameters: what is promised holds, and how well it does is printed."""

from __future__ import annotations

import json
import time

import pandas as pd
import pytest
from support import real_model_server as real
from support.real_texts import real_file, real_sample

import tsn_frames as tsn

pytestmark = [
    pytest.mark.model,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning"),
    pytest.mark.skipif(bool(real.lacking()), reason="no real model on this machine"),
]
ROWS = 20


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    with real.RealModel(folder, context=3072) as server:
        limits = tsn.Limits(real.SLOTS, max_wait=120)
        yield tsn.Client(
            server.url, model=real.NAME, limits=limits, timeout=300, cache=folder / "cache", ledger=folder / "ledger.db"
        )


def labelled(df, gold, labels, client, **more):
    """Label, check what is promised, and print how well it went."""
    began = time.monotonic()
    out = df.tsn.label("text", labels, client=client, max_tokens=40, **more)
    seconds, summary = time.monotonic() - began, tsn.last_run().summary
    known = out["label"].cat.categories.tolist()
    assert set(out["label"].dropna()) <= set(known)
    assert out["label_error"].notna().equals(out["label"].isna()), "each row has a label or a reason"
    right = (out["label"].astype(object) == gold).mean()
    most = gold.value_counts(normalize=True).iloc[0]
    hows = {how: int(count) for how, count in out["label_how"].value_counts().items() if count}
    print(
        f"\n{more}: {len(df)} rows, {len(known)} labels: {right:.0%} right (always the commonest: {most:.0%}), "
        f"{hows}, {summary.requests} requests, {seconds:.1f} s"
    )
    return out


@pytest.mark.parametrize("mode", ["json_schema", "json_object", "text"])
def test_seven_intents(client, mode):
    df = real_sample("snips.csv", ROWS)
    out = labelled(df, df["intent"], sorted(df["intent"].unique()), client, structured=mode)
    assert mode != "json_schema" or (out["label_how"] == "exact").all(), "the grammar holds the set"


def test_votes_on_seven_intents(client):
    df = real_sample("snips.csv", ROWS)
    out = labelled(df, df["intent"], sorted(df["intent"].unique()), client, votes=(2, 5))
    assert out["label_votes"].between(2, 5).all()


def test_two_levels_with_an_escape_label(client):
    domains = json.loads(real_file("clinc150_domains.json").read_text(encoding="utf-8"))
    df = real_sample("clinc150.csv", 6)
    gold = df["intent"].where(df["intent"] != "oos", "none of these")
    out = labelled(df, gold, domains, client, other="none of these")
    assert set(out["label_group"].dropna()) <= set(domains)


def test_a_rare_label(client):
    df = real_sample("immigration.csv", ROWS)
    topic = {"immigration": "about immigration or asylum", "other": "about anything else"}
    labelled(df, df["immigration"], topic, client)


def test_slots_become_typed_columns(client):
    df = real_sample("snips.csv", 700).query("intent == 'BookRestaurant'").head(8).reset_index(drop=True)
    fields = {"restaurant_type": str, "city": str, "party_size_number": int, "rating": float, "outdoors": bool}
    began = time.monotonic()
    out = df.tsn.extract("text", fields, client=client, max_tokens=120, explain="quote")
    dtypes = out[list(fields)].dtypes.astype(str).tolist()
    assert dtypes == ["string", "string", "Int64", "Float64", "boolean"]
    filled = int(out[list(fields)].notna().to_numpy().sum())
    quoted = pd.concat([out[f"{name}_quoted"] for name in fields]).dropna()
    print(
        f"\nextract: {len(out)} rows, {filled} of {len(out) * len(fields)} cells filled, {quoted.mean():.0%} of {len(quoted)} quotes "
        f"stand in the text, {out['error'].notna().sum()} rows with an error, {time.monotonic() - began:.1f} s"
    )
