"""A chat about a row: its request replayed, and its last question asked of all rows."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tsn_frames as tsn
from tsn_frames.simulator import Simulator
from tsn_frames.verbs.chat.row_chat import chat, to_frame


@pytest.fixture
def df():
    return pd.DataFrame({"text": ["Where is my parcel?", "Thanks, all good"], "stars": [1, 5]}, index=["a", "b"])


def sent(sim):
    return [exchange.body for exchange in sim.log]


def test_a_row_is_named_by_its_label(df, client):
    assert chat(df, "b", "{text}", client=client).conversation.messages[0]["content"] == "Thanks, all good"
    numbered = df.set_axis([7, 0])
    assert chat(numbered, 0, "{text}", client=client).conversation.messages[0]["content"] == "Thanks, all good"
    with pytest.raises(tsn.errors.ParameterError, match=r"no row 'c': a row is named by its label.*'a', 'b'"):
        chat(df, "c", "{text}", client=client)
    with pytest.raises(tsn.errors.ParameterError, match="2 rows have the label 'a': give each a label of its own"):
        chat(df.set_axis(["a", "a"]), "a", "{text}", client=client)
    with pytest.raises(tsn.errors.ParameterError, match="no row"):
        chat(df, ["a"], "{text}", client=client)
    with pytest.raises(tsn.errors.PromptError, match="missing or blank: 'text'"):
        chat(df.assign(text=None), "a", "{text}", client=client)


@pytest.mark.parametrize(
    ("index", "row", "text", "about"),
    [
        (pd.Index([7, 8]), np.int64(8), "good", "row 8"),
        (pd.MultiIndex.from_tuples([("x", 1), ("y", 2)]), ("y", 2), "good", "row ('y', 2)"),
        (pd.MultiIndex.from_tuples([("x", 1), ("y", 2)]), "y", "good", "row ('y', 2)"),
        (pd.interval_range(0, 2), 1.5, "good", "row (1, 2]"),
        (pd.date_range("2026-01-31", periods=2), "2026-02", "good", "row 2026-02-01 00:00:00"),
        (pd.Index([None, 1.5]), 1.5, "good", "row 1.5"),
    ],
)
def test_a_row_is_found_as_loc_finds_it(df, client, index, row, text, about):
    opened = chat(df.set_axis(index), row, "{text}", client=client)
    assert text in opened.conversation.messages[0]["content"] and opened.about == about


@pytest.mark.parametrize(
    ("index", "row"),
    [
        (pd.MultiIndex.from_tuples([("x", 1), ("x", 2)]), "x"),
        (pd.date_range("2026-01-01", periods=2), "2026-01"),
    ],
)
def test_a_part_of_a_label_that_several_rows_have_says_what_a_whole_one_is(df, client, index, row):
    df = df.set_axis(index)
    with pytest.raises(tsn.errors.ParameterError, match=r"2 rows have the label .*: name one of them whole, such as"):
        chat(df, row, "{text}", client=client)


def test_cells_of_any_kind_are_context_and_too_long_ones_raise(client):
    cells = {"n": np.nan, "t": pd.NaT, "b": b"\xff", "l": [1, 2], "d": {"a": 1}, "i": 2**62, "f": 0.1, "c": "x\ny"}
    df = pd.DataFrame({name: pd.Series([value], dtype=object) for name, value in cells.items()})
    said = chat(df, 0, client=client).conversation.system
    assert said.endswith("n: \nt: \nl: [1, 2]\nd: {'a': 1}\ni: 4611686018427387904\nf: 0.1\nc: x\ny")
    with pytest.raises(tsn.errors.PromptError, match="the most that is sent"):
        chat(df.assign(h="h" * 3_000_000), 0, client=client)


@pytest.mark.parametrize("prompt", ["", " \n", 5, lambda row: "x"])
def test_a_prompt_that_is_none_is_refused(df, client, prompt):
    with pytest.raises(tsn.errors.PromptError, match="must be a template"):
        chat(df, "a", prompt, client=client)


def test_the_request_and_the_answer_of_a_run_are_the_first_turns(df, sim, client):
    words = {"prompt": "Topic of: {text}", "system": "A shop with {stars} stars.", "client": client}
    out = df.tsn.complete(**words, progress=False, include=["model", "answered_at"])
    opened = chat(out, "b", **words)
    asked, answer = opened.conversation.turns
    assert (asked.content, opened.conversation.system) == ("Topic of: Thanks, all good", "A shop with 5 stars.")
    row = out.loc["b"]
    assert (answer.content, answer.model, answer.total_tokens) == (row["content"], row["model"], row["total_tokens"])
    assert answer.time == row["answered_at"].timestamp()
    opened.conversation.send("Why?")
    first, second = sent(sim)[-1]["messages"][:3], sent(sim)[-1]["messages"][3]
    assert first == [
        *df.tsn.messages(words["prompt"], system=words["system"])["b"],
        {"role": "assistant", "content": row["content"]},
    ]
    assert second == {"role": "user", "content": "Why?"}


def test_named_answers_are_found_and_other_columns_are_not_taken_for_answers(df, client):
    out = df.tsn.complete("{text}", name="topic", client=client, progress=False)
    assert len(chat(out, "a", "{text}", name="topic", client=client).conversation.turns) == 2
    assert len(chat(out, "a", "{text}", client=client).conversation.turns) == 1
    texts = df.rename(columns={"text": "content"}).assign(error="")
    assert len(chat(texts, "a", "{content}", client=client).conversation.turns) == 1
    failed = out.assign(topic=pd.NA, topic_error=pd.array(["server: 500", pd.NA], dtype="string"))
    conversation = chat(failed, "a", "{text}", name="topic", client=client).conversation
    assert (conversation.turns[1].state, conversation.turns[1].error) == ("failed", "server: 500")
    assert conversation.turns[1].explanation.startswith("The service failed (500). Ask again")
    assert [message["role"] for message in conversation.messages] == ["user"]
    assert len(chat(failed, "b", "{text}", name="topic", client=client).conversation.turns) == 1


def test_a_question_without_an_answer_is_asked_by_regenerate(df, client):
    conversation = chat(df, "a", "{text}", client=client).conversation
    assert conversation.regenerate().result(30).content == conversation.turns[1].content != ""


def test_without_a_prompt_the_cells_are_the_context(df, sim, client):
    opened = chat(df.assign(note=[np.nan, "x"]), "a", system="Be {stars} times polite.", client=client)
    opened.conversation.send("What do they want?")
    assert sent(sim)[-1]["messages"] == [
        {"role": "system", "content": "Be 1 times polite.\n\ntext: Where is my parcel?\nstars: 1\nnote: "},
        {"role": "user", "content": "What do they want?"},
    ]
    assert opened.about == "row 'a'"


@pytest.mark.parametrize("name", [None, "tone"])
def test_the_answers_of_a_run_are_context_and_what_they_cost_is_not(df, client, name):
    asked = df.assign(error_code=[7, 8], cost_center="x")
    out = asked.tsn.complete("Tone? {text}", client=client, name=name, include=["model", "answered_at"], progress=False)
    context = chat(out, "a", client=client).conversation.system
    lines = [line.partition(":")[0] for line in context.splitlines()[2:] if ": " in line]
    assert lines == ["text", "stars", "error_code", "cost_center", name or "content"]


def messages_of(code, df):
    """Return the messages that the generated code would send."""
    names = {}
    exec(code.partition("print(df.tsn.estimate(**ask))")[0], names)
    words = {name: value for name, value in names["ask"].items() if name in ("prompt", "system", "missing")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)  # of texts that look like Jinja
        return df.tsn.messages(**words)


def run(code, df, client):
    tsn.set_client(client)
    names = {"df": df}
    exec(code, names)
    return names["out"]


def test_the_code_asks_all_rows_what_one_was_asked(df, sim, client):
    opened = chat(df, "a", system="Say {{yes}} or no.", temperature=0.5, stop=["x", "'\""], client=client)
    opened.conversation.send('Is it "urgent"?\n{{maybe}} {text} \\n')
    single = {name: value for name, value in sent(sim)[-1].items() if not name.startswith("stream")}
    out = run(opened.all_rows(None).code, df, client)
    assert single in sent(sim)[1:] and len(sent(sim)) == 3
    assert out["error"].isna().all()


def test_the_code_of_the_first_question_is_the_runs_own(df, sim, client):
    words = {"prompt": "Topic: {text}", "system": "Shop with {stars}"}
    opened = chat(df, "a", **words, max_tokens=900, client=client)
    run(opened.all_rows(None).code, df, client)
    assert [body["messages"] for body in sent(sim)] == list(df.tsn.messages(**words))
    assert all(body["max_tokens"] == 900 for body in sent(sim))


def test_an_edited_question_is_still_a_template_and_the_code_has_no_other_column(df, sim, client):
    df = df.assign(gold=["calm", "kind"])
    opened = chat(df, "a", "Is the customer angry? {text}", name="angry", client=client)
    conversation = opened.conversation
    conversation.regenerate().result(30)
    assert conversation.turns[0].template == "Is the customer angry? {text}"
    conversation.edit(0, "Is the customer cross? {text}").result(30)
    assert sent(sim)[-1]["messages"][-1]["content"] == "Is the customer cross? Where is my parcel?"
    assert (
        opened.all_rows(None).code
        == """ask = dict(
    prompt='Is the customer cross? {text}',
    name='angry',
    model='sim-small',
    # client=..., the client of this chat
)
print(df.tsn.estimate(**ask))  # what it will cost; sends nothing
out = df.tsn.complete(**ask)"""
    )
    out = run(opened.all_rows(None).code, df, client)
    assert "angry" in out and {body["messages"][0]["content"] for body in sent(sim)[2:]} == {
        f"Is the customer cross? {text}" for text in df["text"]
    }


def test_the_code_takes_the_first_question_with_a_placeholder_unless_another_is_chosen(df, sim, client):
    opened = chat(df, "a", "Topic: {text}", client=client)
    for text in ("Why?", "Is {text} worth {stars} stars?"):
        opened.conversation.send(text)
    first, later, last = opened.all_rows(None), opened.all_rows(1), opened.all_rows(3)
    assert (first.question, first.warnings) == (0, []) and "prompt='Topic: {text}'" in first.code
    assert first.questions == [(0, "Topic: {text}"), (1, "Why?"), (3, "Is {text} worth {stars} stars?")]
    assert "prompt='Is {text} worth {stars} stars?'" in last.code and "alone" not in last.code
    assert last.warnings == ["Only this question is asked of every row: the messages before it are not sent along."]
    assert later.code.count("{") == 0 and "every row would send the same text" in later.warnings[0]
    with pytest.raises(tsn.errors.PromptError, match="turn 2 is not a question"):
        opened.all_rows(2)


def test_the_code_of_plain_questions_about_a_rows_cells_asks_the_last_one(df, client):
    opened = chat(df, "a", client=client)
    for text in ("What do they want?", "Is it urgent?"):
        opened.conversation.send(text)
    made = opened.all_rows(None)
    assert (made.question, made.warnings) == (
        2,
        ["Only this question is asked of every row: the messages before it are not sent along."],
    )
    assert "prompt='Is it urgent?'" in made.code and "'text: {text}\\n'" in made.code


@pytest.mark.parametrize("missing", ["skip", "empty", {"note": "none"}])
def test_missing_is_written_as_it_was_given_and_fills_the_placeholders(df, sim, client, missing):
    df = df.assign(note=["x", None])
    opened = chat(df, "a", "{text} {note}", missing=missing, client=client)
    assert f"    missing={missing!r},\n" in opened.all_rows(None).code
    if missing == "skip":
        with pytest.raises(tsn.errors.PromptError, match=r"row 'b' are missing or blank: 'note'\. missing='empty'"):
            chat(df, "b", "{text} {note}", missing=missing, client=client)
        return
    there = chat(df, "b", "{text} {note}", missing=missing, client=client).conversation
    there.send("Note: {note}?")
    texts = [message["content"] for message in sent(sim)[-1]["messages"]]
    filled = "" if missing == "empty" else "none"
    assert texts == [f"Thanks, all good {filled}", f"Note: {filled}?"]


def test_a_wrong_missing_is_refused(df, client):
    with pytest.raises(tsn.errors.PromptError, match="missing must be one of"):
        chat(df, "a", "{text}", missing="drop", client=client)
    with pytest.raises(tsn.errors.PromptError, match="missing= names a column 'note'"):
        chat(df, "a", "{text}", missing={"note": ""}, client=client)


def test_a_typed_question_is_filled_by_the_rules_of_a_prompt(df, sim, client):
    conversation = chat(df.assign(text="{stars}"), "a", "{text}", client=client).conversation
    conversation.send('Answer as {"topic": "..."}: {{text}} or {text}?')
    assert conversation.turns[1].content == 'Answer as {"topic": "..."}: {text} or {stars}?'
    assert conversation.turns[1].template == 'Answer as {"topic": "..."}: {{text}} or {text}?'
    before = conversation.turns
    for slip in ("Is {txt} kind?", "Is {maybe} kind?"):
        with pytest.raises(tsn.errors.PromptError, match=r"the question names a column .* written \{\{ and \}\}"):
            conversation.send(slip)
    assert conversation.turns == before and sim.stats().requests == 1
    assert conversation.messages[1] == {"role": "user", "content": 'Answer as {"topic": "..."}: {text} or {stars}?'}


def test_a_question_that_the_row_leaves_blank_is_not_sent(df, sim, client):
    conversation = chat(df.assign(note=None), "a", client=client).conversation
    with pytest.raises(tsn.errors.PromptError, match="blank with the cells of this row"):
        conversation.send("{note}")
    assert sim.stats().requests == 0


def test_assigned_messages_are_literal_and_known_questions_keep_their_templates(df, client):
    opened = chat(df, "a", "Topic: {text}", client=client)
    conversation = opened.conversation
    conversation.messages = [*conversation.messages, {"role": "user", "content": "Is {it} so?"}]
    assert [turn.template for turn in conversation.turns] == ["Topic: {text}", "Is {{it}} so?"]
    assert [turn.content for turn in conversation.turns] == ["Topic: Where is my parcel?", "Is {it} so?"]
    assert "prompt='Topic: {text}'" in opened.all_rows(None).code


def test_the_system_prompt_is_a_template_too(df, sim, client):
    opened = chat(df, "a", "{text}", system="A shop with {stars} stars.", client=client)
    conversation = opened.conversation
    assert (conversation.system, conversation.system_template) == ("A shop with 1 stars.", "A shop with {stars} stars.")
    conversation.system_template = "A hotel with {stars} stars."
    assert conversation.system == "A hotel with 1 stars."
    conversation.regenerate().result(30)
    run(opened.all_rows(None).code, df, client)
    assert {body["messages"][0]["content"] for body in sent(sim)} == {"A hotel with 1 stars.", "A hotel with 5 stars."}
    conversation.system = "Cost: {1}"
    assert (conversation.system, conversation.system_template) == ("Cost: {1}", "Cost: {{1}}")
    conversation.messages = [{"role": "system", "content": "Cost: {1}"}]
    assert conversation.system_template == "Cost: {{1}}"
    conversation.system_template = None
    assert conversation.system is None and conversation.messages == []
    with pytest.raises(tsn.errors.PromptError, match="the system prompt names a column 'star'"):
        conversation.system_template = "A shop with {star} stars."


def test_the_text_of_the_row_in_a_prompt_is_warned_of_and_a_category_is_not(client):
    texts = {
        "text": ["The kettle leaks and I am cross.", "Thanks"],
        "name": ["Ms Okafor", "Mr Lindt"],
        "topic": ["billing", "other"],
    }
    df = pd.DataFrame(texts)
    opened = chat(df, 0, "Topic, one of: billing, other. {text}", client=client)
    assert opened.all_rows(None).warnings == []
    opened.conversation.messages = [{"role": "user", "content": "Dear Ms Okafor: The kettle leaks and I am cross. billing?"}]
    opened.conversation.system = "You serve Ms Okafor."
    same, *literal = opened.all_rows(None).warnings
    assert (
        same
        == "No column is named, so every row would send the same text. Edit the question: write {text} where the text of the row belongs."
    )
    assert literal == [
        "The question holds the text that row 0 has in 'text', so every row would send that text. Write {text} in its place.",
        "The question holds the text that row 0 has in 'name', so every row would send that text. Write {name} in its place.",
        "The system prompt holds the text that row 0 has in 'name', so every row would send that text. Write {name} in its place.",
    ]


def test_an_edited_system_prompt_keeps_its_cells(df, sim, client):
    opened = chat(df, "a", client=client)
    conversation = opened.conversation
    conversation.system = conversation.system.replace("The questions", "{All} questions") + "\nBe brief."
    conversation.send("text")  # the name of a column, as a question
    body = sent(sim)[-1]["messages"]
    run(opened.all_rows(None).code, df, client)
    assert body in [body["messages"] for body in sent(sim)[1:]] and len(sent(sim)) == 3


def test_asking_nothing_gives_no_code(df, client):
    with pytest.raises(tsn.errors.PromptError, match="nothing was asked"):
        chat(df, "a", client=client).all_rows(None)


@settings(max_examples=150, deadline=None)
@given(
    st.text(
        alphabet=st.sampled_from("{}ab \n'\"\\:![].0ést\x0b\u2028\x00") | st.characters(exclude_categories=["Cs"]), min_size=1
    ).filter(str.strip)
)
def test_the_code_repeats_any_question(text):
    df = pd.DataFrame({"ab": ["x{ab}", "y"], "s t": [1, 2]})
    opened = chat(df, 1, system=None, client=tsn.Client(model="m"))
    opened.conversation.messages = [*opened.conversation.messages, {"role": "user", "content": text}]
    assert messages_of(opened.all_rows(None).code, df)[1] == opened.conversation.messages


@settings(max_examples=100, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("{}ab \n'\"\\:![].0N\x0b\u2028\x00\r#") | st.characters(exclude_categories=["Cs"])),
    st.sampled_from(["", "Say {ab}: ", "{{x}} {s t}\n"]),
    st.booleans(),
)
def test_the_code_has_the_system_prompt_whatever_it_is(text, template, given_first):
    """As it was given with the row, or as it is written into the page's panel."""
    df = pd.DataFrame({"ab": ["x{ab}", "y"], "s t": [1, 2]})
    escaped = text.replace("{", "{{").replace("}", "}}")
    opened = chat(df, 1, "Is it {ab}?", system=template + escaped if given_first else template, client=tsn.Client(model="m"))
    if not given_first:
        opened.conversation.system = text
    assert messages_of(opened.all_rows(None).code, df)[1] == opened.conversation.messages


def test_a_frame_has_a_row_a_turn(df):
    with Simulator(seed=0, latency=0.0) as sim:
        client = tsn.Client(sim.base_url, model="sim-small", prices={"sim-small": (1, 2)})
        conversation = chat(df, "a", "{text}", client=client).conversation
        conversation.regenerate().result(30)
        frame = to_frame(conversation)
    assert list(frame["role"]) == ["user", "assistant"]
    assert frame["content"][1] == conversation.turns[1].content
    assert frame["cost"][1] == float(conversation.turns[1].cost)
    assert frame["time"].isna().tolist() == [True, False]
    assert frame["reasoning"].isna().all()
    empty = to_frame(tsn.engine.chat.conversation.Conversation(client))
    assert empty.dtypes.equals(frame.dtypes) and len(empty) == 0
    assert list(map(str, frame.dtypes)) == ["string"] * 3 + ["Int64"] * 3 + ["Float64"] * 2 + ["datetime64[us]"] + ["string"] * 4


def test_the_frame_can_have_all_that_was_paid(df):
    with Simulator(seed=0, latency=0.0) as sim:
        client = tsn.Client(sim.base_url, model="sim-small", prices={"sim-small": (1, 2)})
        conversation = chat(df, "a", "{text}", client=client).conversation
        conversation.regenerate().result(30)
        conversation.regenerate().result(30)
        conversation.edit(0, "Tone? {text}").result(30)
        conversation.send("Why?")
        conversation.truncate(-2)
        paid = sum(float(entry.cost) for entry in client.ledger.entries())
        shown, every = to_frame(conversation), to_frame(conversation, removed=True)
        conversation.clear()
        after = to_frame(conversation, removed=True)
    assert every["role"].tolist() == ["user", "assistant", "assistant", "user", "assistant", "user", "assistant"]
    assert every["shown"].tolist() == [False] * 3 + [True] * 2 + [False] * 2
    assert every["cost"].sum() == pytest.approx(float(paid)) == after["cost"].sum()
    pd.testing.assert_frame_equal(every[every["shown"]].drop(columns="shown").reset_index(drop=True), shown)
    assert not after["shown"].any() and len(to_frame(conversation)) == 0


def test_the_method_returns_the_widget(df, sim, client):
    shown = df.tsn.chat("a", "Topic: {text}", client=client)
    assert isinstance(shown, tsn.Chat) and shown.messages == [{"role": "user", "content": "Topic: Where is my parcel?"}]
    shown.send("Why?")
    assert [message["role"] for message in shown.messages] == ["user", "user", "assistant"]
    with pytest.raises(TypeError, match="did you mean 'prompt'"):
        df.tsn.chat("a", promt="x")
    shown.close()
