"""A conversation written as Markdown, and taken up again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tsn_frames as tsn
from tsn_frames.engine.chat.conversation import Conversation
from tsn_frames.engine.chat.turn import Turn
from tsn_frames.errors import ParameterError
from tsn_frames.widget.markdown_transcript import from_markdown, to_markdown

CLIENT = tsn.Client("http://127.0.0.1:9", model="m", api_key="none")
PARTS = [
    "a",
    " ",
    "\n",
    "\n\n",
    "---",
    "\n\n---\n\n",
    "**User**",
    "**Assistant** (m)",
    "**System**\n\n",
    "\\",
    "*stopped*",
    "*failed: no*",
    "é😀",
    "- x\n",
    "#",
    "**",
    "\r\n",
    "(",
    ")",
]
TEXTS = st.lists(st.sampled_from(PARTS), min_size=1, max_size=12).map("".join)


def written(turns, system=None):
    chat = Conversation(CLIENT, system=system)
    chat.replace_turns(turns)
    return to_markdown(chat)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), TEXTS), max_size=5), st.none() | TEXTS)
def test_what_is_written_is_read_again_whatever_the_messages_are(said, system):
    assert from_markdown(written([Turn(*one) for one in said], system)) == (system, tuple(Turn(*one) for one in said))


def test_model_and_state_of_an_answer_are_read_again():
    turns = (Turn("user", "Hi"), Turn("assistant", "He", "sim (small)", state="stopped"), Turn("user", "And?"),
             Turn("assistant", "", "m", state="failed", error="The service is down. Ask again."))  # fmt: skip
    assert from_markdown(written(turns)) == (None, turns)
    chat = tsn.Chat.from_markdown(written(turns), CLIENT)
    assert [message["content"] for message in chat.messages] == ["Hi", "He", "And?"], "an answer that failed is not sent"
    chat.close()


def test_a_chat_goes_on_with_what_it_has_read(client):
    first = tsn.Chat(client, system="Be brief.")
    first.send("Is it warm? One of: yes, no.")
    again = tsn.Chat.from_markdown(first.to_markdown(), client, temperature=0.2)
    assert again.messages == first.messages and again.system == "Be brief." and again.parameters == {"temperature": 0.2}
    again.send("Is it cold? One of: yes, no.")
    assert len(again.messages) == 5 and again.to_frame()["cost"].isna().tolist()[:2] == [True, True]
    saved = again._repr_mimebundle_()[0]
    assert from_markdown(saved["text/plain"])[1][-1].content == again.messages[-1]["content"], "what a saved notebook shows"
    assert "tsn.Chat.from_markdown" in saved["text/html"]
    first.close()
    again.close()


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff\n**User**\r\n\r\nHi\r\nyou\r\n\r\n---\r\n\r\n**Assistant**\r\n\r\nHello\r\n",
        "**User**\n\nHi\nyou\n\n---\n\n**Assistant**\n\nHello",
    ],
)
def test_a_file_that_an_editor_has_changed_is_read(text):
    assert from_markdown(text) == (None, (Turn("user", "Hi\nyou"), Turn("assistant", "Hello")))


@pytest.mark.parametrize("text", ["Hello", "**Somebody**\n\nHi", "# User\n\nHi", None, b"**User**\n\nHi"])
def test_another_text_is_refused(text):
    with pytest.raises(ParameterError, match=r"\*\*User\*\*|to_markdown"):
        tsn.Chat.from_markdown(text, CLIENT)


def test_nothing_is_an_empty_chat():
    assert from_markdown(written([])) == from_markdown("") == (None, ())
