"""What labelling promises: a closed set without a guess, the whole bill, and votes that pay.

Texts of real data sets, which are not part of the project, are looked for beside it.
"""

from __future__ import annotations

import json
import random
import re
from decimal import Decimal
from functools import partial

import numpy as np
import pandas as pd
import pytest
from support.label_traps import TRAPS
from support.labelling import PRICES, service, text_of
from support.takeovers import TAKEOVERS

from tsn_frames.errors import BudgetExceeded
from tsn_frames.verbs.label.codebook import Codebook
from tsn_frames.verbs.label.voting import Votes, decide

TOPICS = ["billing", "delivery", "praise"]
MODES = ["json_schema", "json_object", "text"]


def sets_of_traps():
    """The traps by their set of labels."""
    found = {}
    for labels, text, wanted in TRAPS:
        found.setdefault(tuple(labels), []).append((text, wanted))
    return found


@pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning")
@pytest.mark.parametrize("mode", MODES)
def test_no_label_is_guessed(tmp_path, mode):
    rows = 0
    for labels, traps in sets_of_traps().items():
        answers = {f"row {at}": text for at, (text, _) in enumerate(traps)}
        with service(lambda body, answers=answers: answers[text_of(body)], tmp_path) as (_, client):
            out = pd.DataFrame({"text": list(answers)}).tsn.label(
                "text", list(labels), structured=mode, client=client, cache="off"
            )
        found, wanted = out["label"].astype(object), pd.Series([label for _, label in traps], dtype=object)
        assert out["label"].cat.categories.tolist() == list(labels)
        assert found.isna().equals(wanted.isna()) and (found[wanted.notna()] == wanted[wanted.notna()]).all()
        assert out["label_error"].notna().equals(found.isna()), "each NA has its reason"
        assert out["label_error"].dropna().str.startswith("invalid: ").all()
        rows += len(out)
    assert rows == len(TRAPS) >= 200


@pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning")
@pytest.mark.parametrize("mode", MODES)
def test_a_text_that_takes_over_gets_a_label_of_the_set_or_none(tmp_path, mode):
    obeyed = dict(TAKEOVERS)
    assert len(obeyed) >= 40
    with service(lambda body: obeyed[text_of(body)], tmp_path) as (sim, client):
        df = pd.DataFrame({"text": list(obeyed)})
        out = df.tsn.label("text", TOPICS, structured=mode, client=client)
        users = [exchange.body["messages"][1]["content"] for exchange in sim.log]
    inside = [obeyed[text] in TOPICS for text in df["text"]]
    assert out["label"].notna().tolist() == inside and set(out["label"].dropna()) <= set(TOPICS)
    assert out.loc[out["label"].isna(), "label_error"].str.startswith("invalid: ").all()
    for content in users:
        marker = re.match(r"--- text (\w+) ---\n", content)[1]
        assert content.count(marker) == 2, "a text can't hold the marker that ends it"


def noisy(seed):
    """Answers by the text, some of them outside the set, some repaired, some not."""

    def answer(body):
        draw = random.Random(f"{seed} {json.dumps(body['messages'])}")
        return draw.choice([*TOPICS, *TOPICS, "Billing!", "billing or delivery", "no idea " * draw.randint(1, 40)])

    return answer


def bill(sim):
    """What the simulator billed, in money."""
    stats, (prompt, completion) = sim.stats(), PRICES["sim-small"]
    return (Decimal(stats.billed_prompt_tokens) * prompt + Decimal(stats.billed_completion_tokens) * completion) / 10**6


def failure_of(call):
    """The budget's end of a call, or None."""
    try:
        call()
    except BudgetExceeded as end:
        return end
    return None


def texts(seed, rows):
    draw = random.Random(seed)
    return pd.DataFrame({"text": [f"text {draw.randint(0, rows)} " + "word " * draw.randint(0, 60) for _ in range(rows)]})


@pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning")
@pytest.mark.parametrize("votes", [1, 3, (2, 5)])
def test_the_costs_of_the_rows_are_the_bill(tmp_path, votes):
    with service(noisy(0), tmp_path) as (sim, client):
        out = texts(0, 150).tsn.label("text", TOPICS, votes=votes, client=client, name="topic")
        stats = sim.stats()
    assert out["topic_prompt_tokens"].sum() >= stats.billed_prompt_tokens, "equal rows share requests, and pay once"
    assert Decimal(str(round(out["topic_cost"].sum(), 6))) == bill(sim).quantize(Decimal("0.000001"))
    assert set(out["topic"].dropna()) <= set(TOPICS) and out["topic_error"].notna().equals(out["topic"].isna())


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning")
def test_max_cost_holds_over_all_rounds(tmp_path):
    ended = 0
    for seed in range(50):
        most = round(random.Random(seed).uniform(0.005, 0.12), 5)
        with service(noisy(seed), tmp_path / str(seed)) as (sim, client):
            call = dict(votes=(2, 5), max_tokens=60, max_cost=most, client=client)
            error = failure_of(partial(texts(seed, 20).tsn.label, "text", TOPICS, **call))
            if error is not None:
                ended += 1
                assert error.partial["label_cost"].sum() <= most
            assert bill(sim) <= Decimal(str(most)), seed
    assert 10 <= ended <= 49, "both ends are tried"


def voted(votes, right, labels, rng):
    """Return labels, and the number of requests, of rows whose answers are right with the given chances."""
    book, cast, asked = Codebook.of(labels), [], 0
    for chance, draws in zip(right, rng):
        given = []
        while votes.wants_more(given):
            wrong = 1 + int(draws[len(given), 1] * (len(labels) - 1))
            given.append(labels[0] if draws[len(given), 0] < chance else labels[wrong])
        cast.append(decide(given, book).label)
        asked += len(given)
    return cast, asked


@pytest.mark.parametrize(
    ("number", "beta", "requests", "points", "same"),
    [(2, (18, 2), 0.50, 1.0, 0.985), (2, (8, 2), 0.57, 1.5, 0.97), (5, (8, 2), 0.60, 1.5, 0.96)],
)
def test_votes_where_they_matter(number, beta, requests, points, same):
    """``(2, 5)`` beside 5: the first label is right, and both see the same answers."""
    rng, rows = np.random.default_rng(0), 20_000
    labels = [f"label {n}" for n in range(number)]
    right, draws = rng.beta(*beta, rows), rng.random((rows, 5, 2))
    few, asked = voted(Votes(2, 5), right, labels, draws)
    all_five, asked_five = voted(Votes(5, 5), right, labels, draws)
    share = asked / asked_five
    accuracy = [100 * np.mean([label == labels[0] for label in found]) for found in (few, all_five)]
    equal = np.mean([one == other for one, other in zip(few, all_five)])
    print(
        f"{number} labels, Beta{beta}: {share:.1%} of the requests, {accuracy[1] - accuracy[0]:+.2f} points, same label {equal:.1%}"
    )
    assert share <= requests and accuracy[1] - accuracy[0] <= points and equal >= same
