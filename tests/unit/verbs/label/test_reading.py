"""Answers to labels: a closed set without a single guess."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.label_traps import TRAPS

from tsn_frames.errors import ParameterError
from tsn_frames.verbs.label.codebook import Codebook
from tsn_frames.verbs.label.normal_form import normal_form
from tsn_frames.verbs.label.reading import read_label, read_labels

BOOK = Codebook.of(["no", "not sure", "yes"])


@pytest.mark.parametrize(("labels", "text", "wanted"), TRAPS, ids=range(len(TRAPS)))
def test_no_answer_is_guessed(labels, text, wanted):
    found = read_label(text, Codebook.of(labels))
    assert found.labels == (() if wanted is None else (wanted,))
    assert found.valid == (wanted is not None)
    assert bool(found.problem) == (wanted is None), "an answer without a label has a reason"


def test_there_are_two_hundred_traps():
    assert len(TRAPS) >= 200


@given(
    st.text(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    ).map(json.dumps)
)
def test_any_answer_is_a_label_of_the_set_or_has_a_reason(text):
    for read in (read_label, read_labels):
        found = read(text, BOOK)
        assert set(found.labels) <= set(BOOK.labels)
        assert found.valid or found.problem


@given(
    st.sampled_from(BOOK.labels),
    st.sampled_from(["{}", " {}\n", '"{}"', "{}.", "```\n{}\n```", '{{"label": "{}"}}', "**{}**"]),
    st.booleans(),
)
def test_what_wraps_a_label_does_not_hide_it(label, wrapping, upper):
    text = wrapping.format(label.upper() if upper and "label" not in wrapping else label)
    assert read_label(text, BOOK).labels == (label,)


@given(st.text(max_size=20))
def test_a_normal_form_is_its_own_normal_form(text):
    assert normal_form(normal_form(text)) == normal_form(text)


@pytest.mark.parametrize(
    ("one", "other"), [("1²", "12"), ("1/2", "1-2"), ("1 2", "1-2"), ("x½", "x1/2"), ("①", "1"), ("No", "№")]
)
def test_labels_with_numbers_that_differ_in_meaning_are_two_labels(one, other):
    assert Codebook.of([one, other]).labels == (one, other)


@pytest.mark.parametrize(
    ("one", "other"), [("18-24", "18\u201324"), ("not sure", "not_sure"), ("\uff11\uff12", "12"), ("ﬁne", "fine")]
)
def test_labels_in_two_spellings_are_refused(one, other):
    with pytest.raises(ParameterError, match="differ in case, punctuation or blanks only"):
        Codebook.of([one, other])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"no": true, "not sure": false, "yes": true}', ("no", "yes")),
        ('{"No": "true", "NOT_SURE": "False", "yes": false}', ("no",)),
        ('```json\n{"no": false, "not sure": false, "yes": false}\n```', ()),
        ('{"labels": ["yes", "no"]}', ("no", "yes")),
        ('["yes"]', ("yes",)),
        ("[]", ()),
    ],
)
def test_decisions_on_each_label_are_read(text, wanted):
    found = read_labels(text, BOOK)
    assert found.valid and found.labels == wanted


@pytest.mark.parametrize(
    "text",
    [
        "no", "no, yes", '{"no": true}', '{"no": true, "not sure": false, "yes": null}', '{"no": true, "not sure": false, "maybe": true}',
        '{"no": 1, "not sure": 0, "yes": 0}', '{"no": true, "No": false, "not sure": true, "yes": true}', '["maybe"]', "", "{}", "null",
    ],
)  # fmt: skip
def test_decisions_that_are_missing_or_unclear_are_not_an_answer(text):
    assert read_labels(text, BOOK).problem
