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
from tsn_frames.verbs.chat.chat import chat, to_frame


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


def run(code, df, client):
    tsn.set_client(client)
    names = {"df": df}
    exec(code, names)
    return names["out"]


def test_the_code_asks_all_rows_what_one_was_asked(df, sim, client):
    opened = chat(df, "a", system="Say {{yes}} or no.", temperature=0.5, stop=["x", "'\""], client=client)
    opened.conversation.send('Is it "urgent"?\n{maybe} {text} \\n')
    single = {name: value for name, value in sent(sim)[-1].items() if not name.startswith("stream")}
    out = run(opened.code(), df, client)
    assert single in sent(sim)[1:] and len(sent(sim)) == 3
    assert out["error"].isna().all()


def test_the_code_of_the_first_question_is_the_runs_own(df, sim, client):
    words = {"prompt": "Topic: {text}", "system": "Shop with {stars}"}
    opened = chat(df, "a", **words, max_tokens=900, client=client)
    run(opened.code(), df, client)
    assert [body["messages"] for body in sent(sim)] == list(df.tsn.messages(**words))
    assert all(body["max_tokens"] == 900 for body in sent(sim))


def test_the_code_of_a_later_question_takes_the_cells_along(df, sim, client):
    opened = chat(df, "a", "Topic: {text}", client=client)
    opened.conversation.messages = [
        *opened.conversation.messages,
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": "In French?"},
    ]
    run(opened.code(), df, client)
    assert [body["messages"][-1]["content"] for body in sent(sim)] == [
        f"In French?\n\ntext: {row.text}\nstars: {row.stars}" for row in df.itertuples()
    ]


def test_an_edited_system_prompt_keeps_its_cells(df, sim, client):
    opened = chat(df, "a", client=client)
    conversation = opened.conversation
    conversation.system = conversation.system.replace("The questions", "{All} questions") + "\nBe brief."
    conversation.send("text")  # the name of a column, as a question
    body = sent(sim)[-1]["messages"]
    run(opened.code(), df, client)
    assert body in [body["messages"] for body in sent(sim)[1:]] and len(sent(sim)) == 3


def test_nothing_asked_is_no_code(df, client):
    with pytest.raises(tsn.errors.PromptError, match="nothing was asked"):
        chat(df, "a", client=client).code()


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
    names = {"df": df}
    code = opened.code().replace("df.tsn.complete(", "df.tsn.messages(").replace("    model='m',\n", "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)  # of texts that look like Jinja
        exec(code, names)
    assert names["out"][1] == opened.conversation.messages


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
    code = opened.code().replace("df.tsn.complete(", "df.tsn.messages(").replace("    model='m',\n", "")
    names = {"df": df}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tsn.errors.TSNWarning)  # of texts that look like Jinja
        exec(code, names)
    assert names["out"][1] == opened.conversation.messages


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
    empty = to_frame(tsn.engine.chat.conversation.Conversation(client))
    assert empty.dtypes.equals(frame.dtypes) and len(empty) == 0
    assert (
        list(map(str, frame.dtypes))
        == ["string"] * 3 + ["Int64"] * 3 + ["Float64"] * 2 + ["datetime64[us, UTC]"] + ["string"] * 3
    )


def test_the_method_returns_the_widget(df, sim, client):
    shown = df.tsn.chat("a", "Topic: {text}", client=client)
    assert isinstance(shown, tsn.Chat) and shown.messages == [{"role": "user", "content": "Topic: Where is my parcel?"}]
    shown.send("Why?")
    assert [message["role"] for message in shown.messages] == ["user", "user", "assistant"]
    with pytest.raises(TypeError, match="did you mean 'prompt'"):
        df.tsn.chat("a", promt="x")
    shown.close()
