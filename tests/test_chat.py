"""A conversation over real HTTP: streamed, stopped, counted, and kept."""

from __future__ import annotations

import time

import pytest

import tsn_frames as tsn
from tsn_frames.engine.chat import Conversation
from tsn_frames.simulator import Simulator


class Heard:
    """A listener that remembers."""

    def __init__(self):
        self.events = []

    def began(self, i):
        self.events.append(("began", i))

    def grew(self, i, text):
        self.events.append(("grew", i, text))

    def ended(self, i, turn):
        self.events.append(("ended", i, turn))

    def changed(self):
        self.events.append(("changed",))

    def of(self, name):
        return [event for event in self.events if event[0] == name]


def until(true, seconds=5.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def slow():
    with Simulator(seed=0, latency=0.0, token_rate=50.0) as server:
        yield server


@pytest.fixture
def chat(client):
    return Conversation(client)


def talk(sim, **words):
    return Conversation(tsn.Client(sim.base_url, model="sim-small", prices={"sim-small": (1, 2)}), **words)


def test_an_answer_is_returned_and_kept_with_what_it_cost(sim):
    chat = talk(sim)
    answer = chat.send("Is tea good?")
    question, turn = chat.turns
    assert chat.messages == [{"role": "user", "content": "Is tea good?"}, {"role": "assistant", "content": answer}]
    assert (question.role, turn.role, turn.state, turn.finish_reason) == ("user", "assistant", "whole", "stop")
    assert turn.total_tokens == turn.prompt_tokens + turn.completion_tokens > 0
    assert turn.cost == (turn.prompt_tokens + 2 * turn.completion_tokens) / tsn.prices.MILLION


def test_the_same_chat_streams_what_a_row_would_get(sim, client):
    import pandas as pd

    row = pd.DataFrame({"t": ["Is tea good?"]}).tsn.complete("{t}", client=client, progress=False)
    assert Conversation(client).send("Is tea good?") == row["content"][0]


def test_a_listener_hears_of_it_in_order(slow):
    chat, heard = talk(slow), Heard()
    chat.listen(heard)
    answer = chat.send("Is tea good?")
    names = [event[0] for event in heard.events]
    assert names[:2] == ["changed", "began"]
    assert names[-1] == "ended" and set(names[2:-1]) == {"grew"}
    texts = [event[2] for event in heard.of("grew")]
    assert all(later.startswith(earlier) for earlier, later in zip(texts, texts[1:], strict=False))
    assert heard.of("ended") == [("ended", 1, chat.turns[1])] and chat.turns[1].content == answer


def test_a_stop_closes_the_stream_and_keeps_what_came(slow):
    chat, heard = talk(slow), Heard()
    chat.listen(heard)
    future = chat.start("Is tea good?")
    until(lambda: len(heard.of("grew")) > 3)
    chat.stop()
    turn = future.result(2)
    assert turn.state == "stopped" and turn.content == chat.turns[1].content != ""
    until(lambda: slow.stats().disconnects == 1)
    (entry,) = chat.client.ledger.entries()
    assert (entry.outcome, entry.total_tokens, entry.tag, entry.run) == ("unknown", None, "chat", chat.id)
    assert turn.cost is None


def test_one_question_at_a_time(slow):
    chat = talk(slow)
    future = chat.start("Is tea good?")
    for work in (lambda: chat.start("And coffee?"), chat.clear, lambda: setattr(chat, "system", "x"), chat.regenerate):
        with pytest.raises(tsn.TSNError, match="on its way"):
            work()
    chat.stop()
    future.result(2)
    chat.clear()
    assert chat.turns == ()


def test_models_are_listed_where_the_server_has_a_list(chat):
    assert "sim-large" in chat.models().result(5)
    with Simulator(list_models=False) as sim:
        assert talk(sim).models().result(5) == []
