"""Templates: what is a placeholder, what is text, and that nothing else can happen."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tsn_frames as tsn
from tsn_frames.frames.template import Column, columns_of, parse


def rendered(df, prompt, **words):
    """The user's text of every row."""
    return [None if found is None else found[-1]["content"] for found in df.tsn.messages(prompt, **words)]


def one(prompt, **row):
    return rendered(pd.DataFrame({name: [value] for name, value in row.items()}), prompt)[0]


def escape(text):
    return text.replace("{", "{{").replace("}", "}}")


def test_a_placeholder_is_the_value_of_its_column():
    assert rendered(pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}), "{a}-{b}-{a}") == ["x-1-x", "y-2-y"]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ('{"text": {a}}', '{"text": 1}'),
        ('{"text": "{a}"}', '{"text": "1"}'),
        ('{"x": {"y": {a}}}', '{"x": {"y": 1}}'),
        ('{"x": {"y": {"z": {a}}}} {a}', '{"x": {"y": {"z": 1}}} 1'),
        ('{{"x": {{"y": {a}}}}}', '{"x": {"y": 1}}'),
        ('{"x": [{"y": 1}, {"y": {a}}]}', '{"x": [{"y": 1}, {"y": 1}]}'),
        ('{\n  "x": {a}\n}', '{\n  "x": 1\n}'),
        ('{{"type": "object", "properties": {{}}}} {a}', '{"type": "object", "properties": {}} 1'),
    ],
)
def test_json_stands_in_a_prompt_as_it_is_or_with_doubled_braces(template, text):
    assert one(template, a=1) == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{a}}{a}", "{a}1"),
        ("{{{a}}}", "{1}"),
        ("{{{{a}}}}{a}", "{{a}}1"),
        ("}}{a}{{", "}1{"),
        ("} {a} {", "} 1 {"),
        ("{a}}", "1}"),
        ("{ {a}", "{ 1"),
    ],
)
def test_doubled_braces_are_braces_and_lone_ones_stay(template, text):
    assert one(template, a=1) == text


def test_names_may_have_blanks_dots_dashes_and_signs():
    df = pd.DataFrame([["x"] * 7], columns=["my col", "a.b", "a-b", "größe", "a!r", "a:>10", "a[0]"])
    assert rendered(df, "{my col}{a.b}{a-b}{größe}{a!r}{a:>10}{a[0]}") == ["xxxxxxx"]


@pytest.mark.parametrize("name", ["txt", "tex t", "Text", "my-col", "body.text", "not there"])
def test_a_missing_column_is_named_with_the_nearest_and_all_there_are(name):
    all_there_are = r"(did you mean 'text'\? There|there) are: 'text', 'order value'\. Braces"
    with pytest.raises(tsn.errors.PromptError, match=rf"names a column '{name}' that the frame doesn't have; {all_there_are}"):
        one(f"{{{name}}} {{text}}", text="x", **{"order value": 1})


def test_a_slip_in_a_name_with_signs_is_not_text():
    with pytest.raises(tsn.errors.PromptError, match=r"did you mean 'size \(cm\)'"):
        one("{sise (cm)} {text}", text="x", **{"size (cm)": 1})


@pytest.mark.parametrize("template", ["{}", "{ }", "{0}", "{12}"])
def test_a_placeholder_without_a_name_is_refused(template):
    with pytest.raises(tsn.errors.PromptError, match="name"):
        one(template + "{a}", a=1)


@pytest.mark.parametrize(
    "access",
    [
        "{a!r}",
        "{a:.2f}",
        "{a:>999999999}",
        "{a.__class__}",
        "{a[0]}",
        "{a:{b}}",
        "{a.b.c}",
        "{a !r}",
        "{my col:.2f}",
        "{x.y:.2f}",
        "{x.y.z}",
    ],
)
def test_a_format_an_attribute_or_an_item_is_refused(access):
    with pytest.raises(tsn.errors.PromptError, match="a column's name and nothing more"):
        one(access, a=1, b=2, **{"my col": 1, "x.y": 2})


def test_jinja_is_distinguished_from_a_placeholder():
    for template in ("{{ a }}", "{{ a | upper }}", "{{- a -}}"):
        with pytest.warns(tsn.errors.TSNWarning, match="Jinja; for the column write '{a}'"):
            one(template + " {b}", a=1, b=2)


def test_braces_around_other_words_are_not_jinja():
    assert one("{{ other }} {a}", a=1) == "{ other } 1"


def test_a_column_that_is_not_text_is_named_by_its_text():
    df = pd.DataFrame([[1, 2, 3, 4]], columns=pd.Index([0, None, ("a", "b"), pd.Timestamp("2024-05-06")], dtype=object))
    assert rendered(df, "{0} {None} {('a', 'b')} {2024-05-06 00:00:00}") == ["1 2 3 4"]


def test_two_columns_of_one_text_are_ambiguous():
    df = pd.DataFrame([[1, 2]], columns=pd.Index([0, "0"], dtype=object))
    with pytest.raises(tsn.errors.PromptError, match="ambiguous"):
        rendered(df, "{0}")


def test_a_column_that_is_there_twice_is_refused_only_where_it_is_used():
    df = pd.DataFrame([[1, 2, 3]], columns=["a", "a", "b"])
    assert rendered(df, "{b}") == ["3"]
    with pytest.raises(tsn.errors.PromptError, match="'a' appears 2 times"):
        rendered(df, "{a}")


def test_a_column_with_braces_in_its_name_is_refused_with_the_mend():
    df = pd.DataFrame([[1, 2]], columns=["a{b}", "b"])
    with pytest.raises(tsn.errors.PromptError, match="rename"):
        rendered(df, "{a{b}}")


def test_a_bare_name_of_a_column_is_taken_for_a_slip():
    with pytest.raises(tsn.errors.PromptError, match=r"write '{text}'"):
        one("text", text="x")
    with pytest.raises(tsn.errors.PromptError, match="the system prompt is the text 'text'"):
        pd.DataFrame({"text": ["x"]}).tsn.messages("{text}", system="text")


def test_a_template_without_a_column_warns_at_the_users_line():
    with pytest.warns(tsn.errors.TSNWarning, match="sends the same text; there are: 'text'") as caught:
        one("Say something", text="x")
    assert caught[0].filename == __file__


def test_every_warning_about_the_prompt_points_at_the_users_line():
    gaps = pd.DataFrame({"text": ["x", None]})
    with pytest.warns(tsn.errors.TSNWarning) as caught:
        gaps.tsn.messages("{{ text }} {text}")
        gaps["text"].tsn.messages("{text}")
    assert len(caught) == 3
    assert {one.filename for one in caught} == {__file__}


def test_text_in_the_data_is_never_read_as_a_template():
    cells = ["{a}", "{b}", "{{ 7*7 }}", "{a.__class__}", "%s", "$a", "{", "}", "{{", "}}"]
    df = pd.DataFrame({"a": cells, "b": "B"})
    assert rendered(df, "{a}|{b}") == [f"{cell}|B" for cell in cells]


def test_the_system_prompt_is_a_template_too():
    found = pd.DataFrame({"a": ["x"], "b": ["y"]}).tsn.messages("{a}", system="As {b}: {{}}")
    assert found.iloc[0] == [{"role": "system", "content": "As y: {}"}, {"role": "user", "content": "x"}]


@pytest.mark.parametrize(
    "words", [{"prompt": "\ud800{a}"}, {"prompt": "{a}", "system": "\ud800"}, {"prompt": "{a}", "system": "{a}\udfff"}]
)
def test_a_lone_surrogate_in_a_template_is_refused(words):
    with pytest.raises(tsn.errors.PromptError, match="surrogate at position"):
        pd.DataFrame({"a": ["x"]}).tsn.messages(**words)


def test_a_template_of_many_braces_is_read_in_a_moment():
    template = '{"k": {"v": 1}, ' * 5_000 + "{a}"
    assert columns_of(parse(template, ["a"])) == ["a"]


# Laws. Cells are any text; literals any text; names any text without braces.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
BRACES = st.text("{}ab .:!\"'[]\n|-_0", max_size=14)
NAMES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{}"), min_size=1, max_size=5),
    min_size=1,
    max_size=4,
    unique=True,
)


def quietly(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)
        return call()


@settings(deadline=None)
@given(st.data())
def test_law_a_template_of_literals_and_columns_renders_to_their_concatenation(data):
    names = data.draw(NAMES)
    cells = {name: data.draw(st.one_of(TEXT, BRACES)) for name in names}
    parts = data.draw(st.lists(st.one_of(TEXT, BRACES, st.sampled_from(names).map(Column)), min_size=1, max_size=6))
    assume(any(isinstance(part, Column) for part in parts))
    template = "".join(escape(part) if isinstance(part, str) else f"{{{part.label}}}" for part in parts)
    df = pd.DataFrame({name: [cell] for name, cell in cells.items()}, dtype=object)
    expected = "".join(part if isinstance(part, str) else cells[part.label] for part in parts)
    assert quietly(lambda: rendered(df, template, missing="empty")) == [expected]


@settings(deadline=None)
@given(st.one_of(TEXT, BRACES))
def test_law_an_escaped_text_renders_back_to_itself(text):
    assert "".join(map(str, quietly(lambda: parse(escape(text), ["a", "b"])))) == text
    assert not columns_of(quietly(lambda: parse(escape(text), ["a", "b"])))


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            ["{", "}", "{{", "}}", "a", "b.c", "{a}", "{b.c}", "{a.b}", ":", "!r", '"', " ", "x y", "\n", "[0]", ".__class__"]
        )
    ).map("".join)
)
def test_law_the_output_holds_literals_and_cells_and_nothing_else(template):
    cells = {"a": "\ue000", "b.c": "\ue001"}
    df = pd.DataFrame({name: [cell] for name, cell in cells.items()})
    try:
        (found,) = quietly(lambda: rendered(df, template))
    except tsn.errors.PromptError:
        return
    assert found.count("\ue000") <= template.count("{a}")
    assert found.count("\ue001") <= template.count("{b.c}")
    rest = iter(template)
    assert all(char in rest for char in found if char not in cells.values()), (
        "what is no cell stands in the template, in that order"
    )
