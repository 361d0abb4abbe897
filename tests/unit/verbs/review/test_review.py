"""A review without a page: which texts are read, what the log holds, what continues it, and the frame that comes out."""

from __future__ import annotations

import json
import os
import random

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.python_process import run_python

import tsn_frames as tsn
from tsn_frames.errors import ColumnError, ConfigError, ParameterError, TSNWarning
from tsn_frames.verbs.review.decision_history import Decision, History
from tsn_frames.verbs.review.review import review

LABELS = ["billing", "delivery", "praise"]


def frame(rows=6):
    return pd.DataFrame({"text": [f"text {n}" for n in range(rows)]}, index=[f"row {n}" for n in range(rows)])


def decide(session, **labels):
    """Decide on texts by their words: ``decide(session, text_1="billing")``."""
    for text, label in labels.items():
        index = next(i for i, item in enumerate(session.items) if item.text == text.replace("_", " "))
        session.decide(index, Decision(None if label is None else (label,)))


def lines(session):
    return [json.loads(line) for line in session.log.path.read_text(encoding="utf-8").splitlines()]


# The log


def test_the_log_names_rows_by_hash_and_holds_no_text():
    session = review(pd.DataFrame({"text": ["My very private parcel"]}), "text", LABELS)
    session.decide(0, Decision(("billing",), note="two topics", flag=True), seconds=1.5)
    text = session.log.path.read_text(encoding="utf-8")
    assert "private" not in text and "parcel" not in text
    header, line = lines(session)
    assert header.items() >= {"review": 1, "rater": None, "mode": "blind", "labels": LABELS}.items()
    assert line.items() >= {"labels": ["billing"], "note": "two topics", "flag": True, "seconds": 1.5}.items()


def test_the_log_is_readable_by_its_owner_only():
    session = review(frame(), "text", LABELS)
    assert session.log.path.stat().st_mode & 0o077 == 0


def test_a_sorted_frame_with_more_rows_continues_in_the_same_order():
    first = review(frame(6), "text", LABELS)
    decide(first, text_1="billing", text_4="praise")
    again = review(frame(9).iloc[::-1], "text", LABELS)
    assert again.to_frame()["gold"].dropna().to_dict() == {"row 1": "billing", "row 4": "praise"}
    old = [item.text for item in again.items if item.text in set(frame(6)["text"])]
    assert old == [item.text for item in first.items] != sorted(old)


def test_another_process_continues():
    decide(review(frame(), "text", LABELS), text_2="delivery")
    code = (
        "import pandas as pd, sys; from tsn_frames.verbs.review.review import review\n"
        f"df = pd.DataFrame({{'text': [f'text {{n}}' for n in range(6)]}})\n"
        f"print(review(df, 'text', {LABELS!r}).to_frame()['gold'].dropna().to_dict())"
    )
    done = run_python(code)
    assert done.stdout.strip() == "{2: 'delivery'}"


def test_two_reviews_on_one_log_read_what_the_other_added():
    one, two = review(frame(), "text", LABELS), review(frame(), "text", LABELS)
    decide(one, text_0="billing")
    decide(two, text_1="praise")
    decide(one, text_2="delivery")
    expected = {"row 0": "billing", "row 1": "praise", "row 2": "delivery"}
    assert one.to_frame()["gold"].dropna().to_dict() == expected == two.to_frame()["gold"].dropna().to_dict()


def test_a_line_that_was_cut_off_is_left_out_with_a_warning():
    session = review(frame(), "text", LABELS)
    decide(session, text_0="billing", text_1="praise")
    session.log.path.write_bytes(session.log.path.read_bytes()[:-20])
    again = review(frame(), "text", LABELS)  # the end of a line is missing: nothing is said yet
    assert again.progress.decided == 1
    with pytest.warns(TSNWarning, match="damaged"):
        decide(again, text_2="delivery")
    with pytest.warns(TSNWarning, match="damaged"):
        assert review(frame(), "text", LABELS).progress.decided == 2


FULL = """
import json, resource, signal, sys, pandas as pd
from tsn_frames.verbs.review.decision_history import Decision
from tsn_frames.verbs.review.review import review
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
df = pd.DataFrame({"text": [f"text {n}" for n in range(6)]})
session = review(df, "text", ["billing", "praise"])
session.decide(0, Decision(("billing",)))
size = session.log.path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, resource.RLIM_INFINITY))
session.decide(1, Decision(("praise",)))
session.decide(2, Decision(("billing",)))
session.undo()
full = [session.progress.not_saved, session.problem != "", session.log.path.stat().st_size == size, session.progress.decided]
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
session.decide(3, Decision(("praise",)))
again = review(df, "text", ["billing", "praise"])
print(json.dumps([full, session.progress.not_saved, session.problem, again.progress.decided]))
"""


def test_a_full_disk_loses_nothing_and_leaves_no_half_line():
    done = run_python(FULL)
    assert json.loads(done.stdout) == [[3, True, True, 2], 0, "", 3]


def test_a_log_that_was_deleted_is_written_again_with_the_next_decision():
    session = review(frame(), "text", LABELS)
    decide(session, text_0="billing", text_1="praise")
    session.log.path.unlink()
    decide(session, text_2="delivery")
    assert review(frame(), "text", LABELS).progress.decided == 3


def test_another_file_in_the_place_of_the_log_is_not_touched():
    session = review(frame(), "text", LABELS)
    decide(session, text_0="billing")
    session.log.path.write_text("mine")
    decide(session, text_1="praise")
    assert session.log.path.read_text() == "mine" and "not a review log" in session.problem
    session.log.path.unlink()
    decide(session, text_2="delivery")
    assert session.problem == "" and review(frame(), "text", LABELS).progress.decided == 3


@given(st.lists(st.one_of(st.tuples(st.integers(0, 4), st.integers(-1, 2)), st.none()), max_size=40), st.integers(0, 40))
def test_undo_restores_every_earlier_state(steps, back):
    """A step is a text and a label (-1: skip), or an undo; the states are kept beside, as a stack."""
    rows = [f"r{n}" for n in range(5)]
    history, states, ids = History(rows), [], []

    def state():
        return {row: history.decision(row) for row in rows}

    def undo():
        history.apply({"undo": ids.pop()})
        assert state() == states.pop()

    for number, step in enumerate(steps):
        if step is not None:
            states.append(state())
            ids.append(f"id{number}")
            labels = None if step[1] < 0 else [LABELS[step[1]]]
            history.apply({"id": ids[-1], "row": rows[step[0]], "labels": labels, "skip": labels is None})
        elif ids:
            undo()
    for _ in range(min(back, len(ids))):
        undo()


def test_100_random_undos_are_the_same_after_reading_the_log_again():
    session, choose = review(frame(20), "text", LABELS), random.Random(3)
    for _ in range(300):
        if choose.random() < 1 / 3:
            session.undo()
        else:
            session.decide(choose.randrange(20), Decision((choose.choice(LABELS),), note=choose.choice(["", "n"])))
    again = review(frame(20), "text", LABELS)
    pd.testing.assert_frame_equal(again.to_frame(), session.to_frame())
    assert list(again.history.entries) == list(session.history.entries)


def test_undo_leaves_the_decisions_on_other_frames_alone():
    other = pd.DataFrame({"text": ["another text"]})
    mine = review(frame(), "text", LABELS)
    decide(mine, text_0="billing")
    review(other, "text", LABELS).decide(0, Decision(("praise",)))
    again = review(frame(), "text", LABELS)
    assert again.undo() is not None and again.undo() is None
    assert review(other, "text", LABELS).progress.decided == 1


# Bad input


def test_a_log_of_another_rater_is_refused_and_left_as_it_is(tmp_path):
    file = tmp_path / "log.jsonl"
    decide(review(frame(), "text", LABELS, rater="ann", file=file), text_0="billing")
    before = file.read_bytes()
    with pytest.raises(ConfigError, match=r"decisions of 'ann', not of 'bob': rater='ann' continues it"):
        review(frame(), "text", LABELS, rater="bob", file=file)
    assert file.read_bytes() == before


def test_a_log_of_another_kind_of_review_is_refused(tmp_path):
    file, df = tmp_path / "log.jsonl", frame().assign(topic="billing")
    review(df, "text", LABELS, file=file)
    with pytest.raises(ConfigError, match="another kind of review"):
        review(df, "text", LABELS, show="topic", file=file)


def test_a_label_in_the_log_that_is_no_longer_in_the_set_is_refused():
    decide(review(frame(), "text", LABELS), text_0="billing")
    with pytest.raises(ParameterError, match=r"labels= doesn't have: \['billing'\]"):
        review(frame(), "text", ["delivery", "praise"])
    elsewhere = pd.DataFrame({"text": ["another text"]})
    assert review(elsewhere, "text", ["delivery", "praise"]).progress.decided == 0


def test_labels_that_were_added_continue_with_a_note():
    decide(review(frame(), "text", LABELS), text_0="billing")
    with pytest.warns(TSNWarning, match="labels have changed since the review began: 1 decisions"):
        again = review(frame(), "text", [*LABELS, "returns"])
    assert again.progress.decided == 1
    assert review(frame(), "text", [*LABELS, "returns"]).progress.decided == 1


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"{}\n", b"half a line", b"\xff\xfe\n"])
def test_a_file_that_is_not_a_review_log_is_not_touched(tmp_path, content):
    file = tmp_path / "data.csv"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="not a review log"):
        review(frame(), "text", LABELS, file=file)
    assert file.read_bytes() == content


def test_a_place_that_cannot_be_written_is_refused_before_the_first_key(tmp_path):
    (tmp_path / "file").write_text("")
    for file in (tmp_path, tmp_path / "file" / "log.jsonl", 7):
        with pytest.raises(ConfigError):
            review(frame(), "text", LABELS, file=file)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"show": "topik"}, "did you mean 'topic'"),
        ({"show": ["topic"]}, "at least two raters"),
        ({"show": ("topic", "topik")}, "nor 'gold_topik'"),
        ({"show": [["topic"]]}, "show: the frame has no column"),
        ({"show": "topic", "multiple": True}, "no columns 'topic_billing' and so on"),
        ({"show": ["topic", "topic"]}, "at least two raters"),
        ({"order": "nowhere"}, "order: the frame has no column"),
        ({"rater": " "}, "rater must be a string"),
        ({"name": 3}, "name must be a string"),
    ],
)
def test_bad_words_are_named(words, match):
    with pytest.raises(ParameterError, match=match):
        review(frame().assign(topic="billing"), "text", LABELS, **words)


def test_labels_to_show_outside_the_set_are_refused():
    with pytest.raises(ParameterError, match=r"column 'topic' has 'biling' in row 'row 2'.*did you mean 'billing'"):
        review(frame().assign(topic=["billing", None, "biling", "", "praise", "praise"]), "text", LABELS, show="topic")


def test_a_column_of_gold_from_elsewhere_is_not_replaced():
    with pytest.raises(ColumnError, match=r"'gold' with 'praise' in row 'row 0'"):
        review(frame().assign(gold="praise"), "text", LABELS)
    with pytest.raises(ColumnError, match="'gold_note'"):
        review(frame().assign(gold_note="mine"), "text", LABELS)


def test_the_returned_frame_can_be_reviewed_again_also_after_an_undo():
    session = review(frame(), "text", LABELS)
    decide(session, text_0="billing", text_1="praise")
    out = session.to_frame()
    session.undo()
    again = review(out, "text", LABELS)
    assert again.to_frame()["gold"].dropna().to_dict() == {"row 0": "billing"}


# What is read


def test_equal_texts_are_read_once_and_all_their_rows_are_filled():
    df = pd.DataFrame({"text": ["same", "other", "same", None, " "]})
    with pytest.warns(TSNWarning, match="2 rows without a text are left out"):
        session = review(df, "text", LABELS)
    assert sorted(item.text for item in session.items) == ["other", "same"]
    decide(session, same="praise")
    assert session.to_frame()["gold"].dropna().to_dict() == {0: "praise", 2: "praise"}


def test_of_a_drawn_frame_only_the_drawn_rows_are_read():
    out = frame(50).tsn.gold_sample(8, dev=3)
    session = review(out, "text", LABELS)
    drawn = set(out.loc[out["gold_split"].notna(), "text"])
    assert {item.text for item in session.items} == drawn and len(drawn) == 11


def test_a_template_shows_several_columns():
    df = pd.DataFrame({"title": ["A"], "body": ["B {braces}"]})
    assert review(df, "{title}: {body}", LABELS).items[0].text == "A: B {braces}"


def test_a_blind_review_holds_no_label_of_a_model():
    df = frame().assign(topic=["billing", "praise"] * 3, gold_extra="praise")
    assert all(item.proposals == () for item in review(df, "text", LABELS).items)


def test_an_audit_begins_with_the_least_sure_label_and_fills_a_column_of_its_own():
    df = frame(4).assign(topic=["billing", "praise", None, "billing"], topic_agreement=[1.0, 0.4, None, 1.0])
    df["topic_probability"] = [0.7, 0.9, None, 0.6]
    session = review(df, "text", LABELS, show="topic")
    assert [item.text for item in session.items] == ["text 2", "text 1", "text 3", "text 0"]
    assert [item.proposals[0].labels for item in session.items] == [None, ("praise",), ("billing",), ("billing",)]
    decide(session, text_0="billing")
    assert {"gold_audit", "gold_audit_note", "gold_audit_flag"} <= set(session.to_frame().columns)


def test_order_is_the_users():
    session = review(frame(4).assign(day=[3, None, 1, 2]), "text", LABELS, order="day")
    assert [item.text for item in session.items] == ["text 2", "text 3", "text 0", "text 1"]


def test_adjudication_reads_where_raters_differ_and_fills_in_where_they_agree():
    df = frame(5)
    ann = review(df, "text", LABELS, rater="ann")
    decide(ann, text_0="billing", text_1="billing", text_2="praise")
    bob = review(ann.to_frame(), "text", LABELS, rater="bob")
    decide(bob, text_0="billing", text_1="praise", text_3="delivery")
    both = review(bob.to_frame(), "text", LABELS, show=["ann", "bob"])
    assert [item.text for item in both.items] == ["text 1"]
    assert [(one.source, one.labels) for one in both.items[0].proposals] == [
        ("gold_ann", ("billing",)),
        ("gold_bob", ("praise",)),
    ]
    decide(both, text_1="delivery")
    gold = both.to_frame()["gold"]
    assert gold.dropna().to_dict() == {"row 0": "billing", "row 1": "delivery", "row 2": "praise", "row 3": "delivery"}
    assert review(both.to_frame(), "text", LABELS, show=["ann", "bob"]).progress.decided == 1


# What comes out


def test_gold_is_categorical_like_the_labels_of_label():
    session = review(frame(), "text", {"billing": "money", "praise": None}, other="other", ordered=True)
    decide(session, text_0="other")
    out = session.to_frame()
    assert out["gold"].cat.categories.tolist() == ["billing", "praise", "other"] and out["gold"].cat.ordered
    assert [str(out[name].dtype) for name in ("gold_note", "gold_flag")] == ["string", "boolean"]
    assert out.index.equals(frame().index) and list(out.columns) == ["text", "gold", "gold_note", "gold_flag"]


def test_numbers_stay_numbers():
    session = review(frame(), "text", {1: "low", 2: "high"})
    decide(session, text_0=2)
    assert review(frame(), "text", {1: "low", 2: "high"}).to_frame()["gold"].dropna().tolist() == [2]


def test_several_labels_are_boolean_columns():
    session = review(frame(3), "text", LABELS, multiple=True)
    for index, labels in enumerate([("billing", "praise"), (), None]):
        session.decide(index, Decision(labels))
    out = session.to_frame().set_index("text").loc[[item.text for item in session.items]]
    assert out["gold_billing"].tolist() == [True, False, pd.NA]
    assert out["gold_delivery"].tolist() == [False, False, pd.NA]
    assert review(session.to_frame(), "text", LABELS, multiple=True).progress.decided == 2


def test_the_frame_goes_straight_into_evaluate_and_shares():
    df = frame(60).assign(said=pd.Categorical(LABELS * 20, categories=LABELS))
    drawn = df.tsn.gold_sample(30)
    session = review(drawn, "text", LABELS)
    right = dict(zip(df["text"], df["said"]))
    for index, item in enumerate(session.items):
        session.decide(index, Decision(("billing" if index < 3 else right[item.text],)))
    out = session.to_frame()
    found = out.tsn.evaluate("said", gold="gold")
    assert found.table.loc["accuracy", "rows"] == 30 and 0.9 <= found.table.loc["accuracy", "value"] < 1.0
    assert out.tsn.shares("said", gold="gold")["gold_rows"].tolist() == [30, 30, 30]


def test_an_audit_of_several_labels_shows_those_that_are_true():
    df = frame(2).assign(topic_billing=[True, None], topic_delivery=[False, None], topic_praise=[True, None])
    session = review(df, "text", LABELS, show="topic", multiple=True)
    assert {item.text: item.proposals[0].labels for item in session.items} == {"text 0": ("billing", "praise"), "text 1": None}


def test_progress_counts():
    session = review(frame(5), "text", LABELS)
    session.decide(0, Decision(("billing",)), seconds=2.0)
    session.decide(1, Decision(("billing",), flag=True), seconds=4.0)
    session.decide(2, Decision(skip=True))
    done = session.progress
    assert (done.texts, done.decided, done.skipped, done.flagged, done.not_saved, done.seconds) == (5, 2, 1, 1, 0, 3.0)


def test_an_empty_frame_has_nothing_to_read():
    session = review(frame(0), "text", LABELS)
    assert session.items == [] and session.undo() is None and len(session.to_frame()) == 0


def test_the_default_log_is_in_the_folder_of_the_environment():
    session = review(frame(), "text", LABELS, name="a/b", rater="ann")
    assert str(session.log.path.parent) == os.environ["TSN_REVIEWS"] and session.log.path.name == "a%2Fb_ann.jsonl"


def test_a_review_that_goes_on_says_since_when_and_where(tmp_path):
    made = frame().tsn.review("text", LABELS, file=tmp_path / "gold.jsonl")
    decide(made._session, text_1="billing")
    begun = lines(made._session)[0]["time"][:10]
    again = frame().tsn.review("text", LABELS, file=tmp_path / "gold.jsonl")
    assert repr(again) == f"Review('gold': 1 of 6 texts decided since {begun}, in {tmp_path / 'gold.jsonl'})"
    made.close()
    again.close()


def test_review_is_a_method_of_the_accessor():
    made = frame().tsn.review("text", LABELS)
    assert isinstance(made, tsn.Review) and repr(made) == "Review('gold': 0 of 6 texts decided)"
    made.close()
