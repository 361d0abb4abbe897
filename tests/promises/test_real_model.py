"""A frame through a real language model: facts of the protocol, never the model's wit.

The simulator is written by the same hands as the package; this server is not.
"""

from __future__ import annotations

import httpx
import pandas as pd
import pytest
from support import real_model_server as real

import tsn_frames as tsn

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        bool(real.lacking()),
        reason=f"no {' and no '.join(real.lacking())}: a real model needs `{'` and `'.join(real.PACKAGES.values())}`",
    ),
]

SYSTEM = "You sort customer messages. Answer with one word: billing, delivery, product or other."
MESSAGES = [
    "Where is my parcel?",
    "I was charged twice in March.",
    "The left speaker crackles.",
    "Wo bleibt meine Bestellung?",
    "Where is my parcel?",  # a duplicate
    "Please cancel my subscription.",
    "   ",  # a blank
    "Mon colis est arrivé cassé 😞",
    "Do you ship to Iceland?",
    'The app says "error {42}".',
    "Thanks, all good now!",
    "¿Puedo pagar con tarjeta?",
    "My invoice has the wrong name.",
    "I was charged twice in March.",  # a duplicate
    "The zip broke on day one.",
    "Can I change the delivery address?",
    "荷物がまだ届きません。",
    "Is the blue one back in stock?",
    "Refund me 19.90 EUR & cancel.",
    "line one\nline two",
]


@pytest.fixture
def model(tmp_path):
    with real.RealModel(tmp_path) as server:
        yield server


def asking(model):
    """A new client of the model's server; no key, as on any loopback server."""
    return tsn.Client(model.url, model=real.NAME, limits=tsn.Limits(real.SLOTS, max_wait=120), timeout=120)


def answered(df, client, **more):
    """Answer a frame and return it with the texts of its warnings; any other warning is an error."""
    with pytest.warns(tsn.errors.TSNWarning) as messages:
        out = df.tsn.complete("{text}", system=SYSTEM, max_tokens=8, temperature=0.0, client=client, progress=False, **more)
    return out, [str(warning.message) for warning in messages if warning.category is tsn.errors.TSNWarning]


def test_a_frame_is_answered_by_a_real_model_and_never_asked_twice(model):
    df = pd.DataFrame({"text": MESSAGES}, index=[f"T-{n:02}" for n in range(20)])
    client = asking(model)

    out, messages = answered(df, client, include=("model",))
    summary, sent, blank = tsn.last_run().summary, df["text"].str.strip() != "", df.index[6]
    first = out[sent].drop_duplicates("text")

    assert out.index.equals(df.index) and out["text"].equals(df["text"])
    assert len(first) == summary.requests == 17
    assert (summary.rows, summary.answered, summary.deduplicated, summary.cached, summary.missing) == (20, 19, 2, 0, 1)
    assert (summary.failed, summary.not_sent, summary.refused, summary.retried, summary.unknown) == (0, 0, 0, 0, 0)

    assert out["content"].dtype == "string" and out.loc[sent, "content"].notna().all()
    assert out.loc[sent, "error"].isna().all() and out.loc[blank, "error"].startswith("missing: ")
    assert set(out.loc[sent, "finish_reason"]) <= {"stop", "length"}
    assert set(out.loc[sent, "model"]) == {real.NAME}
    assert out.loc[blank, ["content", "finish_reason", "total_tokens"]].isna().all()
    answers = ["content", "finish_reason", "prompt_tokens", "completion_tokens", "total_tokens"]
    for one, other in ((0, 4), (1, 13)):
        assert out.iloc[one][answers].tolist() == out.iloc[other][answers].tolist()

    assert out["total_tokens"].dtype == "Int64"
    assert (out["prompt_tokens"] + out["completion_tokens"] == out["total_tokens"])[sent].all()
    assert (out.loc[sent, "prompt_tokens"] > 0).all() and out.loc[sent, "completion_tokens"].between(1, 8).all()

    # The server's own counters: each distinct request was computed once, and nothing else was.
    prompts = model.counted("prompt_tokens_total") + model.counted("prompt_tokens_cached_total")
    assert prompts == first["prompt_tokens"].sum() == summary.prompt_tokens
    assert model.counted("tokens_predicted_total") == first["completion_tokens"].sum() == summary.completion_tokens
    ledger = client.ledger.to_frame()
    assert ledger["outcome"].tolist() == ["answered"] * 17
    assert ledger["total_tokens"].sum() == first["total_tokens"].sum()

    cut = int((out["finish_reason"] == "length").sum())
    expected = ["1 of 20 rows is not sent", *([f"{cut} answers cut off by max_tokens"] if cut else [])]
    assert len(messages) == len(expected) and all(map(str.startswith, messages, expected))

    model.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{model.url}/health", trust_env=False)

    again, messages_again = answered(df, asking(model), include=("model",))
    assert tsn.last_run().summary.requests == 0
    assert (again["cached"] == sent).all() and (again["cost"] == 0).all()
    pd.testing.assert_frame_equal(again.drop(columns=["cached", "cost"]), out.drop(columns=["cached", "cost"]))
    assert messages_again == messages
    assert len(client.ledger.to_frame()) == 17


def test_a_prompt_longer_than_the_context_fails_its_own_row_only(model):
    df = pd.DataFrame({"text": ["Where is my parcel?", "Where is my parcel? " * 100, "Do you ship to Iceland?"]})
    client = asking(model)

    out, messages = answered(df, client)
    summary = tsn.last_run().summary

    assert out["error"].isna().tolist() == [True, False, True]
    assert out.loc[1, "error"].startswith("too_long: 400: ") and "context size" in out.loc[1, "error"]
    assert out.loc[1, ["content", "finish_reason", "total_tokens"]].isna().all()
    assert out.loc[[0, 2], "content"].notna().all()
    assert (summary.requests, summary.answered, summary.failed, summary.retried, summary.unknown) == (3, 2, 1, 0, 0)
    assert messages[0].startswith("1 of 3 rows has no answer")
    assert client.ledger.to_frame()["outcome"].tolist() == ["answered"] * 2

    answered(df, client)
    assert tsn.last_run().summary.requests == 1  # only the row that has no answer
