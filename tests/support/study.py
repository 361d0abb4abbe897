"""A small study: the calls of a notebook, and a service that refuses JSON schemas, gives wrong labels and answers votes differently."""

from __future__ import annotations

import json
import warnings
from typing import Literal

import pandas as pd
from support.dialect_service import DialectService, completion, plain
from support.labelling import is_repair, text_of

import tsn_frames as tsn

TEXTS = [f"message {number}" for number in range(12)]
LABELS = ["good", "bad", "mixed"]
PRIVATE = "a very private instruction"


def _answer(body, _number):
    form = (body.get("response_format") or {}).get("type")
    if form == "json_schema":
        return plain({"error": {"message": "json_schema is not supported"}}, 400)
    if form is None:
        return plain(completion(f"said {body['messages'][-1]['content'][-20:]}"))
    number = int(text_of(body).split()[1])
    if "amount" in body["messages"][0]["content"]:
        return plain(completion(json.dumps({"amount": number, "side": "left" if number % 2 else "right"})))
    if number % 4 == 0 and not is_repair(body):
        return plain(completion(json.dumps({"label": "no such label"})))
    turned = body["messages"][0]["content"].index("good") > body["messages"][0]["content"].index("bad")
    return plain(completion(json.dumps({"label": LABELS[(number + (turned and number % 3 == 0)) % 3]})))


def study_service():
    return DialectService(_answer)


def calls(client):
    """The frames of the study, by name; each call as a notebook has it."""
    df = pd.DataFrame({"text": [*TEXTS, None, TEXTS[0]]}, index=range(10, 24))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)
        labelled = df.tsn.label("text", LABELS, votes=(2, 3), name="tone", instructions=PRIVATE, client=client, progress=False)
        fields = {"amount": int, "side": Literal["left", "right"]}
        compared = df.head(4).tsn.compare("Compare {text}", models=["m", "n"], client=client, progress=False)
        return {
            "labelled": labelled,
            "extracted": df.tsn.extract("text", fields, name="x", client=client, progress=False),
            "completed": df.tsn.complete(
                "Repeat {text}",
                system="Be short.",
                include=["model", "answered_at", "request_key"],
                client=client,
                progress=False,
            ),
            "series": df["text"].tsn.complete("Again {text}", client=client, progress=False).to_frame("again"),
            "compared": compared.answers,
            "agreement": compared.agreement,
        }
