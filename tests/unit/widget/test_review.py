"""The review's Python side, without a browser: what a page gets, and what its messages do."""

from __future__ import annotations

import copy
import json
import pickle

import pandas as pd
import pytest

LABELS = ["billing", "delivery", "praise"]


def frame(rows=4, **columns):
    return pd.DataFrame({"text": [f"text {n}" for n in range(rows)]}).assign(**columns)


class Page:
    """A page that keeps what it gets."""

    def __init__(self, review, view="v1"):
        self.review, self.view, self.n, self.got = review, view, 0, []
        review.send = self.got.append
        self.ask("hello")

    def ask(self, kind, **words):
        self.review._handle_custom_msg({"type": kind, "view": self.view, **words}, [])
        return self.got[-1]

    def step(self, kind, **words):
        self.n += 1
        return self.ask(kind, n=self.n, **words)

    def decide(self, item, labels, **marks):
        made = {"note": "", "flag": False, "skip": False, "seconds": 1.0, **marks}
        return self.step("decide", item=item, labels=labels, **made)


@pytest.fixture
def show():
    made = []

    def run(df, **words):
        made.append(df.tsn.review("text", LABELS, **words))
        return made[-1]

    yield run
    for review in made:
        review.close()


def test_a_decision_is_on_the_disk_when_it_is_confirmed(show):
    review = show(frame())
    page = Page(review)
    assert page.decide(2, [1], note="hm") == {"type": "saved", "view": "v1", "n": 1, "problem": ""}
    line = json.loads(review.path.read_text().splitlines()[-1])
    assert (line["labels"], line["note"], line["seconds"]) == (["delivery"], "hm", 1.0)


def test_nothing_that_a_blind_page_gets_depends_on_the_models_labels(show, tmp_path):
    """Traits and messages are the same whatever the model said."""
    seen = []
    for number, said in enumerate(("billing", "praise")):
        df = frame(30, topic=said, topic_agreement=number / 2, topic_probability=0.5, gold_other=said).tsn.gold_sample(20)
        review = show(df, file=tmp_path / f"{number}.jsonl")
        page = Page(review)
        page.decide(0, [1])
        page.step("undo")
        page.ask("rows", start=0)
        page.ask("hello")
        state = {name: str(value) for name, value in review.get_state().items() if name not in ("layout", "_anywidget_id")}
        seen.append(json.dumps([page.got, state], sort_keys=True))
    assert seen[0] == seen[1]


def test_an_audit_page_gets_the_label_to_accept(show):
    page = Page(show(frame(topic="praise"), show="topic"))
    assert page.got[0]["rows"][0]["shown"] == [["topic", [2]]]


def test_the_next_twenty_texts_come_with_the_first_message(show):
    assert len(Page(show(frame(60))).got[0]["rows"]) == 60
    long = pd.DataFrame({"text": [f"{n} " + "x" * 100_000 for n in range(60)]})
    page = Page(show(long, name="long"))
    assert len(page.got[0]["rows"]) == 20
    assert [row["index"] for row in page.ask("rows", start=20)["rows"]] == list(range(20, 40))


def test_a_page_that_connects_later_continues(show):
    review = show(frame())
    first = Page(review)
    first.decide(0, [1])
    first.decide(1, None, skip=True)
    snapshot = Page(review, "v2").got[0]
    assert snapshot["start"] == 2
    assert snapshot["decided"][0] == [0, {"labels": [1], "note": "", "flag": False, "skip": False}]
    undecided = {"labels": None, "note": "", "flag": False, "skip": False}
    assert snapshot["steps"] == [[0, undecided], [1, undecided]]
    assert snapshot["more"] is False


def test_a_page_holds_500_steps_and_gets_older_ones_when_it_asks(show):
    review = show(frame())
    page = Page(review)
    for number in range(502):
        page.decide(number % 4, [number % 3])
    snapshot = page.ask("hello")
    assert len(snapshot["steps"]) == 500 and snapshot["more"] is True and snapshot["n"] == 502


def test_other_pages_and_code_make_a_page_outdated(show):
    review = show(frame())
    page = Page(review)
    page.decide(0, [0])
    assert page.got[-1]["type"] == "saved"
    review.undo()
    assert page.got[-1] == {"type": "outdated", "but": ""} and review.progress.decided == 0
    Page(review, "v2").decide(1, [0])
    assert review.send.__self__[-1] == {"type": "outdated", "but": "v2"}


def test_a_page_gets_the_reason_why_a_decision_is_not_saved(show):
    """The log's folder becomes a file: the system itself refuses."""
    review = show(frame())
    page = Page(review)
    review.path.unlink()
    review.path.parent.rmdir()
    review.path.parent.write_text("")
    assert "gold.jsonl" in page.decide(0, [0])["problem"]
    assert review.progress.not_saved == 1
    review.path.parent.unlink()
    assert page.step("save")["problem"] == "" and review.progress.not_saved == 0


def test_messages_that_mean_nothing_are_ignored(show):
    page = Page(show(frame()))
    before = len(page.got)
    for message in ({}, {"type": "other"}, {"type": 3}):
        page.review._handle_custom_msg(message, [])
    assert len(page.got) == before


def test_a_review_is_not_copied_or_pickled(show):
    for act in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="continues from its log"):
            act(show(frame()))
