"""A conversation over real HTTP: streamed, stopped, counted, and kept."""

from __future__ import annotations

import gc
import itertools
import json
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import psutil
import pytest
from markdown_it import MarkdownIt
from support.canary import KEY
from support.python_process import run_python
from support.waiting import wait_until

import tsn_frames as tsn
from tsn_frames.engine.chat.conversation import Conversation
from tsn_frames.engine.chat.listener import Listener
from tsn_frames.engine.runtime.process import process_state
from tsn_frames.secret import Secret
from tsn_frames.simulator import Faults, Quota, Simulator
from tsn_frames.widget.markdown_transcript import to_markdown


class Heard(Listener):
    """A listener that remembers."""

    def __init__(self):
        self.events = []

    def on_change(self):
        self.events.append(("changed",))

    def on_text(self, text):
        self.events.append(("grew", text))

    def on_end(self, turn):
        self.events.append(("ended", turn))

    def of(self, name):
        return [event for event in self.events if event[0] == name]


@pytest.fixture
def slow():
    with Simulator(seed=0, latency=0.0, token_rate=50.0) as server:
        yield server


@pytest.fixture
def chat(client):
    return Conversation(client)


def talk(sim, **words):
    return Conversation(tsn.Client(sim.base_url, model="sim-small", prices={"sim-small": (1, 2)}), **words)


def text_so_far(chat):
    answer = chat.snapshot[1]
    return answer and answer.text


def test_an_answer_is_returned_and_kept_with_what_it_cost(sim):
    chat = talk(sim)
    answer = chat.send("Is tea good?")
    question, turn = chat.turns
    assert chat.messages == [{"role": "user", "content": "Is tea good?"}, {"role": "assistant", "content": answer}]
    assert (question.role, turn.role, turn.state, turn.finish_reason) == ("user", "assistant", "whole", "stop")
    assert turn.total_tokens == turn.prompt_tokens + turn.completion_tokens > 0
    assert turn.cost == (turn.prompt_tokens + 2 * turn.completion_tokens) / tsn.pricing.price_table.MILLION


def test_the_same_chat_streams_what_a_row_would_get(sim, client):
    row = pd.DataFrame({"t": ["Is tea good?"]}).tsn.complete("{t}", client=client, progress=False)
    assert Conversation(client).send("Is tea good?") == row["content"][0]


def test_a_listener_hears_of_it_in_order(slow):
    chat, heard = talk(slow), Heard()
    chat.listener = heard
    answer = chat.send("Is tea good?")
    names = [event[0] for event in heard.events]
    assert (names[0], names[-1]) == ("changed", "ended") and set(names[1:-1]) == {"grew"}
    texts = [event[1] for event in heard.of("grew")]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    assert heard.of("ended") == [("ended", chat.turns[1])] and chat.turns[1].content == answer


def test_a_stop_closes_the_stream_and_keeps_the_received_text(endless, slow):
    chat, heard = talk(slow), Heard()
    chat.listener = heard
    future = chat.start("Is tea good?")
    wait_until(lambda: len(heard.of("grew")) > 3)
    chat.stop()
    turn = future.result(30)
    assert turn.state == "stopped" and turn.content == chat.turns[1].content != ""
    wait_until(lambda: slow.stats().disconnects == 1)
    (entry,) = chat.client.ledger.entries()
    assert (entry.outcome, entry.total_tokens, entry.tag, entry.run) == ("unknown", None, "chat", chat.id)
    assert turn.cost is None


def test_one_question_at_a_time(endless, slow):
    chat = talk(slow)
    future = chat.start("Is tea good?")
    for work in (lambda: chat.start("And coffee?"), chat.clear, lambda: setattr(chat, "system", "x"), chat.regenerate):
        with pytest.raises(tsn.errors.TSNError, match="on its way"):
            work()
    chat.stop()
    future.result(30)
    chat.clear()
    assert chat.turns == ()


def test_models_are_listed_where_the_server_has_a_list(chat):
    assert "sim-large" in chat.list_models().result(30)
    with Simulator(list_models=False) as sim:
        assert talk(sim).list_models().result(30) == []


def ledger(chat):
    return [(entry.outcome, entry.total_tokens) for entry in chat.client.ledger.entries()]


def quick(sim, **words):
    """A chat that doesn't wait long between attempts."""
    client = tsn.Client(
        sim.base_url, model="sim-small", api_key=KEY, prices={"sim-small": (1, 2)}, retry=tsn.Retry(backoff=0.01), **words
    )
    return Conversation(client)


# What goes wrong


@pytest.mark.parametrize("fault", ["error_500", "error_502", "error_503", "error_429", "reset_before", "html", "empty_body"])
def test_a_failure_before_the_first_token_is_tried_again(fault):
    with Simulator(seed=0, latency=0.0, faults=Faults(**{fault: 1.0}, first_attempt_only=True)) as sim:
        chat = quick(sim)
        assert chat.send("Is tea good?").startswith("[simulated]")
        assert sim.stats().requests == 2
    unknown = fault in ("reset_before", "html", "empty_body")
    assert [outcome for outcome, _ in ledger(chat)] == ["unknown"] * unknown + ["answered"]
    assert (chat.turns[1].cost is None) == unknown


@pytest.mark.parametrize("fault", ["stream_error", "reset", "truncate"])
def test_an_answer_that_breaks_off_is_kept_and_not_asked_again(fault):
    with Simulator(seed=0, latency=0.0, faults=Faults(**{fault: 1.0}, first_attempt_only=True)) as sim:
        chat = quick(sim)
        with pytest.raises(tsn.RunError, match=r"server|connection"):
            chat.send("Is tea good?")
        broken = chat.turns[1]
        assert (broken.state, broken.cost, broken.total_tokens) == ("failed", None, None)
        assert sim.stats().requests == 1 and ledger(chat) == [("unknown", None)]
        assert broken.content.startswith("[simulated]") and broken.error
        whole = chat.regenerate().result(30)
        assert whole.state == "whole" and whole.content.startswith(broken.content) and whole.content != broken.content


@pytest.mark.parametrize("fault", ["malformed", "cut_json", "huge", "gzip_bomb"])
def test_what_can_not_be_read_fails_in_the_end(fault):
    with Simulator(seed=0, latency=0.0, faults=Faults(**{fault: 1.0})) as sim:
        chat = quick(sim)
        turn = chat.start("Is tea good?").result(30)
    assert turn.state == "failed" and turn.error.startswith("unreadable") and len(turn.error) < 500
    assert ledger(chat) == [("unknown", None)] * (1 if turn.content else 2), "a second time only where nothing came"


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"keys": ("tsn_test_other",)}, tsn.errors.AuthenticationError, "401"),
        ({"balance": 0}, tsn.errors.BalanceError, "402"),
        ({"models": ("x",)}, tsn.errors.ModelError, "404"),
        ({"faults": Faults(redirect=1.0)}, tsn.errors.RedirectError, "redirects"),
        ({"faults": Faults(echo_key=1.0)}, tsn.RunError, "400"),
    ],
)
def test_a_refusal_is_shown_and_the_key_is_not(settings, kind, message):
    with Simulator(seed=0, latency=0.0, **settings) as sim:
        chat = quick(sim)
        with pytest.raises(kind, match=message) as caught:
            chat.send("Is tea good?")
        assert sim.stats().requests == 1
    assert KEY not in str(caught.value) + repr(chat.turns) + to_markdown(chat)
    assert ledger(chat) == []
    assert chat.messages == [{"role": "user", "content": "Is tea good?"}], "an answer that never came is not sent along"


OWN_KEY = "This chat's client has a key of its own: make the client with the right one, or without one and run tsn.set_key()."
BROKEN = "The part that came is kept; ask again for a whole answer."


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"keys": ("tsn_test_other",)}, f"The service refused the API key (401: Invalid API key). {OWN_KEY}"),
        ({"balance": 0}, ("The balance of the account is used up (402: Insufficient balance. Top up to go on). "
                         "Top it up at the service, then ask again.")),
        ({"models": ("x",)}, ("The service doesn't know this model (404: The model 'sim-small' does not exist). "
                             "Choose another in the box Model, or look at the client's base_url.")),
        ({"faults": Faults(redirect=1.0)}, ("The service redirects (307) to /v1/redirected. "
                                           "Give the address that it redirects to as the client's base_url.")),
        ({"faults": Faults(error_500=1.0)}, ("The service failed (500: Internal server error). "
                                            "Ask again; if it goes on, wait or choose another model.")),
        ({"faults": Faults(stream_error=1.0)}, f"The service broke the answer off: Internal server error. {BROKEN}"),
        ({"faults": Faults(truncate=1.0)}, f"The connection broke (closed before the answer was whole). {BROKEN}"),
        ({"faults": Faults(hang=1.0)}, "No whole answer within 0.5 s. Ask again, or allow more time with Client(timeout=...)."),
        ({"faults": Faults(filtered=1.0)}, "The service's content filter withheld the answer. Ask in other words."),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_an_error_is_explained_with_its_remedy_and_without_a_code(settings, text):
    with Simulator(seed=0, latency=0.0, **settings) as sim:
        client = tsn.Client(
            sim.base_url, model="sim-small", api_key=KEY, timeout=0.5 if sim.faults.hang else 60,
            limits=tsn.Limits(max_wait=5), retry=tsn.Retry(attempts=2, backoff=0.01),
        )  # fmt: skip
        chat = Conversation(client)
        turn = chat.start("Is tea good?").result(30)
    assert turn.explanation == text
    assert turn.error.partition(": ")[0] in tsn.errors.ROW_CODES, "the frame has the code"
    assert (text in to_markdown(chat)) == (turn.state != "whole")


def test_a_refused_key_that_is_the_process_own_names_set_key(monkeypatch):
    monkeypatch.setattr(process_state, "key", Secret("tsn_test_wrong"))
    with Simulator(seed=0, latency=0.0, keys=("tsn_test_right",)) as sim:
        chat = Conversation(tsn.Client(sim.base_url, model="sim-small"))
        with pytest.raises(tsn.errors.AuthenticationError) as caught:
            chat.send("Is tea good?")
        assert str(caught.value) == (
            "The service refused the API key (401: Invalid API key). "
            "Run tsn.set_key() in a cell to enter another key, then ask again."
        )
        monkeypatch.setattr(process_state, "key", Secret("tsn_test_right"))
        assert chat.regenerate().result(30).state == "whole"


def test_a_used_up_budget_and_a_conversation_that_is_too_long_name_the_remedy(sim, scripted):
    client = tsn.Client(sim.base_url, model="sim-small", prices={"sim-small": (1, 2)}, budget={"run": 0.0001})
    with pytest.raises(tsn.BudgetExceeded, match=r"^The budget .* is used up.*Client\(budget=\.\.\.\)"):
        Conversation(client, max_tokens=100).send("Is tea good?")
    error = {"error": {"message": "Too many tokens.", "code": "context_length_exceeded"}}
    with pytest.raises(tsn.RunError, match=r"^The conversation is too long for the model \(.*\)\. Undo or Clear a part of it"):
        scripted_chat(scripted, b"data: " + json.dumps(error).encode() + b"\n\n").send("Is tea good?")


def test_a_server_that_is_not_there_is_reported(sim):
    chat = Conversation(tsn.Client(sim.base_url, model="m", retry=tsn.Retry(attempts=2, backoff=0.01)))
    sim.close()
    with pytest.raises(
        tsn.errors.ServerError, match=r"^127.0.0.1:\d+ can't be reached.* Look at the network and at the client's base_url"
    ):
        chat.send("Is tea good?")


def test_a_longer_wait_than_allowed_ends_it():
    with Simulator(seed=0, latency=0.0, quota=Quota(requests=1)) as sim:
        chat = quick(sim, limits=tsn.Limits(max_wait=5))
        chat.send("Is tea good?")
        with pytest.raises(
            tsn.errors.RateLimitError, match=r"^The service asks .* max_wait=5: 429: .* Ask again later, or allow"
        ):
            chat.send("And coffee?")


def test_a_stop_while_it_waits_costs_nothing():
    with Simulator(seed=0, latency=0.0, quota=Quota(requests=1)) as sim:
        chat = quick(sim)
        chat.send("Is tea good?")
        future = chat.start("And coffee?")
        time.sleep(0.2)  # it waits at the limiter: nothing is sent
        chat.stop()
        turn = future.result(30)
        assert (turn.state, turn.content, turn.cost) == ("stopped", "", 0)
        assert len(ledger(chat)) == 1
        assert [message["role"] for message in chat.messages] == ["user", "assistant", "user"]


def test_a_server_that_stops_in_the_middle_is_left_in_the_end():
    with Simulator(seed=0, latency=0.0, faults=Faults(half_open=1.0, hang_seconds=20)) as sim:
        client = tsn.Client(sim.base_url, model="sim-small", timeout=2.0)  # a slow machine gets the first half in this time
        turn = Conversation(client).start("Is tea good?").result(30)
    assert turn.state == "failed" and turn.error.startswith("timeout") and turn.content


# What servers do with a stream


@pytest.mark.parametrize(("usage", "requests"), [("reject", 3), ("ignore", 2)])
def test_a_server_that_counts_no_streams_is_answered_without_usage(usage, requests):
    with Simulator(seed=0, latency=0.0, stream_usage=usage) as sim:
        chat = quick(sim)
        chat.cache = "use"
        chat.send("Is tea good?")
        chat.send("And coffee?")
        assert sim.stats().requests == requests, "refused once, remembered for the next question"
        assert (chat.turns[1].state, chat.turns[1].cost, chat.turns[1].total_tokens) == ("whole", None, None)
        assert ledger(chat) == [("answered", None)] * 2
        assert chat.client.cache.stats().answers == 2, "what is paid for is kept"


@pytest.mark.parametrize("fault", ["null_content", "filtered", "no_choices"])
def test_an_answer_without_a_text_says_why(fault):
    with Simulator(seed=0, latency=0.0, faults=Faults(**{fault: 1.0})) as sim:
        turn = quick(sim).start("Is tea good?").result(30)
    assert (turn.state, turn.content) == ("whole", "") and turn.error.startswith(("empty", "filtered")) and turn.cost is not None


def test_thoughts_come_apart_from_the_answer(sim):
    chat = talk(sim, model="sim-reasoner")
    answer = chat.send("Is tea good?")
    assert chat.turns[1].reasoning and chat.turns[1].reasoning not in answer
    assert "reasoning" not in str(chat.messages)


class Scripted(BaseHTTPRequestHandler):
    """Sends what a test gave it: bytes, and seconds of silence."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.send_header("content-type", self.server.kind)
        self.send_header("connection", "close")
        self.end_headers()
        for part in self.server.script:
            if isinstance(part, bytes):
                self.wfile.write(part)
                self.wfile.flush()
            else:
                time.sleep(part)

    def log_message(self, *args):
        pass


@pytest.fixture
def scripted():
    with ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as server:
        server.kind, server.asked, server.daemon_threads, server.block_on_close = "text/event-stream", [], True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def scripted_chat(server, *script, kind="text/event-stream", **words):
    server.script, server.kind = script, kind
    return Conversation(tsn.Client(f"http://127.0.0.1:{server.server_port}", model="m", retry=tsn.Retry(backoff=0.01), **words))


def event(text=None, finish=None):
    return (
        b"data: "
        + json.dumps({"choices": [{"delta": {"content": text} if text else {}, "finish_reason": finish}]}).encode()
        + b"\r\n\r\n"
    )


def test_a_plain_answer_to_the_wish_for_a_stream_is_an_answer(scripted):
    body = {
        "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
    chat = scripted_chat(scripted, json.dumps(body).encode(), kind="application/json")
    chat.cache = "use"
    assert chat.send("Is tea good?") == "Hi"
    assert (chat.turns[1].total_tokens, chat.client.cache.stats().answers) == (2, 1)


def test_an_end_without_an_end_mark_is_an_end(scripted):
    assert scripted_chat(scripted, event("Hi"), event(finish="stop")).send("Is tea good?") == "Hi"


def test_a_connection_that_stays_open_after_the_end_delays_nothing(scripted):
    end = b"data: [DONE]\n\n"
    for_an_hour = 3600.0
    assert scripted_chat(scripted, event("Hi"), event(finish="stop"), end, for_an_hour).send("Is tea good?") == "Hi"


def test_bytes_that_drip_make_the_same_answer(scripted):
    data = event("H\u00e9") + event("llo \U0001f600") + event(finish="stop") + b"data: [DONE]\n\n"
    pieces = [part for byte in data for part in (bytes([byte]), 0.0005)]
    assert scripted_chat(scripted, *pieces).send("Is tea good?") == "H\u00e9llo \U0001f600"


def test_an_answer_that_just_ends_is_half_an_answer(scripted):
    turn = scripted_chat(scripted, event("Hi")).start("Is tea good?").result(30)
    assert (turn.state, turn.content) == ("failed", "Hi") and "ended before the answer did" in turn.error
    assert len(scripted.asked) == 1


def test_an_error_in_place_of_an_answer_is_the_error_it_says(scripted):
    error = {"error": {"message": f"no such key {KEY}", "code": "invalid_api_key"}}
    with pytest.raises(tsn.errors.AuthenticationError, match="no such key"):
        scripted_chat(scripted, b"data: " + json.dumps(error).encode() + b"\n\n").send("Is tea good?")


# The cache


def test_a_chats_answer_is_a_rows_and_the_other_way_round(sim, client):
    chat = Conversation(client, system="Be brief.", temperature=0.5, cache="use")
    answer = chat.send("Is tea good?")
    words = {"system": "Be brief.", "temperature": 0.5, "client": client, "progress": False}
    out = pd.DataFrame({"t": ["Is tea good?", "Is it?"]}).tsn.complete("{t}", **words, include=["answered_at"])
    assert (out["content"][0], list(out["cached"])) == (answer, [True, False])
    assert out["total_tokens"][0] == chat.turns[1].total_tokens and sim.stats().requests == 2
    again = Conversation(client, system="Be brief.", temperature=0.5, cache="only")
    assert again.send("Is it?") == out["content"][1] and sim.stats().requests == 2
    assert (again.turns[1].cached, again.turns[1].cost) == (True, 0)
    with pytest.raises(tsn.RunError, match=r"^No answer is cached .* With cache='use' it would be sent\.$"):
        again.send("What else?")


def test_by_default_a_chat_leaves_the_cache_alone(sim, client):
    chat = Conversation(client)
    chat.send("Is tea good?")
    chat.clear()
    chat.send("Is tea good?")
    assert sim.stats().requests == 2 and not client.cache.file.exists()


def test_to_regenerate_asks_again_whatever_is_cached(sim, client):
    chat = Conversation(client, cache="use")
    chat.send("Is tea good?")
    chat.regenerate().result(30)
    assert sim.stats().requests == 2 and len(chat.turns) == 2
    keys = [exchange.headers["idempotency-key"] for exchange in sim.log]
    assert len(set(keys)) == 2, "an answer is never replayed for another question"


def test_a_question_without_an_answer_is_asked_from_code(sim, client):
    chat = Conversation(client, messages=[{"role": "user", "content": "Is tea good?"}])
    assert chat.resend() == chat.turns[1].content != ""
    assert sim.log[-1].body["messages"] == [{"role": "user", "content": "Is tea good?"}] and len(chat.turns) == 2


def test_half_an_answer_is_not_stored(endless, slow):
    chat = talk(slow, cache="use")
    future = chat.start("Is tea good?")
    wait_until(lambda: text_so_far(chat))
    chat.stop()
    future.result(30)
    assert chat.client.cache.stats().answers == 0


# What was said


def test_what_was_said_can_be_changed(sim):
    chat = talk(sim, system="Be brief.")
    for text in ("one", "two", "three"):
        chat.send(text)
    assert [turn.content for turn in chat.turns if turn.role == "user"] == ["one", "two", "three"]
    chat.truncate(-2)
    assert len(chat.turns) == 4
    turn = chat.edit(2, "deux").result(30)
    assert [t.content for t in chat.turns] == ["one", chat.turns[1].content, "deux", turn.content]
    assert sim.log[-1].body["messages"] == chat.messages[:-1]
    chat.clear()
    assert (chat.turns, chat.messages) == ((), [{"role": "system", "content": "Be brief."}])
    with pytest.raises(tsn.errors.TSNError, match="nothing was asked"):
        chat.regenerate()
    with pytest.raises(tsn.errors.TSNError, match="is not a question"):
        chat.edit(0, "x")


@pytest.mark.parametrize("i", [5, -5, None, "1", 1.0, True, slice(0)])
def test_a_position_that_is_none_forgets_nothing(client, i):
    chat = Conversation(client, messages=[{"role": role, "content": "x"} for role in ["user", "assistant"] * 2])
    with pytest.raises(tsn.errors.ParameterError, match=r"from -4 to 4, for there are 4 messages; got"):
        chat.truncate(i)
    assert len(chat.turns) == 4
    for ok, left in ((4, 4), (3, 3), (-2, 1), (0, 0), (0, 0)):
        chat.truncate(ok)
        assert len(chat.turns) == left


def test_empty_messages_that_are_given_are_sent(sim, client):
    """An answer that never came is not; what a user put there is his."""
    said = [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]
    chat = Conversation(client, messages=said)
    chat.send("Is tea good?")
    assert sim.log[-1].body["messages"][:2] == said == chat.messages[:2]


MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "https://x.y/a.png"}}],
    },
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
    {"role": "tool", "content": "4", "tool_call_id": "1"},
]


def test_messages_come_out_as_they_went_in(client):
    chat = Conversation(client, messages=MESSAGES)
    assert (chat.messages, chat.system, len(chat.turns)) == (MESSAGES, "Be brief.", 3)
    chat.messages = MESSAGES[1:]
    assert (chat.messages, chat.system) == (MESSAGES[1:], None)
    assert "[image_url]" in to_markdown(chat)


@pytest.mark.parametrize(
    "messages",
    [None, "Hi", 5, {"role": "user"}, [1], ["Hi"], [("user", "Hi")], [{"role": "user", "content": ["Hi"]}], [{"role": "boss", "content": "x"}], [{"role": ["user"], "content": "x"}], [{"role": "user"}], [{"role": "user", "content": 1}],
     [{"role": "user", "content": []}], [{"role": "user", "content": "\ud800"}], [{"role": "user", "content": "x", "n": float("nan")}], [{"role": "user", "content": "x", 1: 2}]],
)  # fmt: skip
def test_messages_that_can_not_be_sent_are_refused(client, messages):
    chat = Conversation(client, messages=MESSAGES)
    with pytest.raises((tsn.errors.PromptError, tsn.errors.ParameterError), match="messages"):
        chat.messages = messages
    assert chat.messages == MESSAGES


def test_settings_are_checked_before_anything_is_sent(sim, client):
    chat = Conversation(client, max_tokens=5)
    for work, message in (
        (lambda: Conversation(client, temperature=3), "temperature"),
        (lambda: Conversation(client, cache="always"), "cache"),
        (lambda: Conversation(client, system="x", messages=MESSAGES), "system message"),
        (lambda: Conversation(client, extra_body={"stream": False}), "stream"),
        (lambda: Conversation("http://x"), "model's name goes into model="),
        (lambda: Conversation(client, tag=5), "tag"),
        (lambda: setattr(chat, "parameters", {"temprature": 1}), "did you mean 'temperature'"),
        (lambda: setattr(chat, "parameters", [1]), "parameters"),
        (lambda: setattr(chat, "model", " "), "model"),
        (lambda: setattr(chat, "system", 1), "system"),
        (lambda: chat.start(" "), "blank"),
        (lambda: chat.start(None), "blank"),
        (lambda: chat.start("\ud800"), "surrogate"),
        (lambda: Conversation(tsn.Client(sim.base_url)).start("x"), "no model"),
        (lambda: Conversation(tsn.Client("https://api.example.com", model="m")).start("x"), "no API key"),
    ):
        with pytest.raises((tsn.errors.ConfigError, tsn.errors.ParameterError, tsn.errors.PromptError), match=message):
            work()
    assert (chat.parameters, chat.turns, sim.stats().requests) == ({"max_tokens": 5}, (), 0)
    chat.parameters = {"temperature": 1, "extra_body": {"seed": 7}, "top_p": None}
    chat.model, chat.system = "sim-large", "Be brief."
    chat.send("Is tea good?")
    sent = sim.log[-1].body
    assert (sent["temperature"], sent["seed"], sent["model"], "max_tokens" in sent) == (1.0, 7, "sim-large", False)


# Money


def test_a_budget_holds_for_the_whole_chat(sim):
    client = tsn.Client(sim.base_url, model="sim-small", prices={"sim-small": (1, 2)}, budget={"run": 0.0008})
    with pytest.raises(tsn.errors.ConfigError, match=r"budget needs max_tokens= \(Max tokens in Settings\)"):
        Conversation(client).start("Is tea good?")
    chat = Conversation(client, max_tokens=100)
    with pytest.raises(tsn.BudgetExceeded, match="is used up"):
        for _ in range(20):
            chat.send("Is tea good?")
            chat.clear()
    assert 1 < len(ledger(chat)) < 12
    assert sum(float(entry.cost) for entry in client.ledger.entries()) <= 0.0008


# Threads, signals, and what is left behind


def test_an_answer_that_comes_at_once_is_raised_as_what_it_is(sim):
    """The turn may be over before the thread that asked goes on."""
    chat = Conversation(tsn.Client(sim.base_url, model="unheard-of"))
    run_at_once = chat._question

    def question(text):
        going = run_at_once(text)
        going.future.result(30)
        return going

    chat._question = question
    with pytest.raises(tsn.errors.ModelError):
        chat.send("Is tea good?")


def test_an_interrupt_stops_a_send_and_keeps_the_received_text(endless, slow):
    chat = talk(slow)
    main = threading.main_thread().ident
    threading.Thread(target=lambda: (wait_until(lambda: text_so_far(chat)), signal.pthread_kill(main, signal.SIGINT))).start()
    with pytest.raises(KeyboardInterrupt):
        chat.send("Is tea good?")
    assert (chat.turns[1].state, chat.turns[1].content[:11], chat.streaming) == ("stopped", "[simulated]", False)


def test_a_stop_is_heard_however_often_and_whenever(endless, slow):
    chat = talk(slow)
    chat.stop()
    for pause in (0.0, 0.002, 0.01, None, None):
        future = chat.start("Is tea good?")
        time.sleep(pause) if pause is not None else wait_until(lambda: text_so_far(chat))
        for _ in range(3):
            chat.stop()
        assert future.result(30).state == "stopped"
        assert not future.cancel(), "a stop ends it, so that what came is kept"
    wait_until(lambda: slow.stats().disconnects == slow.stats().answers >= 2)
    assert 5 >= len(ledger(chat)) >= slow.stats().answers, "what was cut off on its way out may be billed, too"


def test_a_listener_that_fails_or_leaves_ends_nothing(sim, caplog):
    class Broken(Listener):
        def on_change(self):
            raise ValueError("no")

    chat, heard = talk(sim), Heard()
    chat.listener = Broken()
    assert chat.send("Is tea good?")
    assert "a listener of the chat failed" in caplog.text
    chat.listener = heard
    assert chat.send("Is tea strong?")
    count = len(heard.events)
    chat.listener = None
    chat.send("And coffee?")
    assert count > 0 and len(heard.events) == count


def test_a_chat_goes_before_the_rows_of_a_frame():
    with Simulator(seed=0, latency=0.2, quota=Quota(concurrency=1)) as sim:
        client = tsn.Client(sim.base_url, model="sim-small")
        df = pd.DataFrame({"t": [f"Is tea number {i} good?" for i in range(60)]})
        going = df.tsn.start("{t}", client=client, cache="off", progress=False)  # 32 of them wait at a time

        def answered():
            return [exchange.body["messages"][0]["content"] for exchange in sim.log if exchange.status == 200]

        wait_until(lambda: len(answered()) > 2)
        before = len(answered())
        Conversation(client).send("And coffee?")
        assert answered().index("And coffee?") - before < 16
        going.stop()
        with pytest.warns(tsn.errors.TSNWarning, match="the run was stopped"):
            going.wait(progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("turns", [30, pytest.param(200, marks=pytest.mark.soak)])
def test_many_turns_leave_nothing_behind(turns):
    with Simulator(seed=0, latency=0.0, token_rate=2000.0) as sim:
        chat, process = talk(sim), psutil.Process()

        def round_of_turns(number):
            for i in range(number):
                future = chat.start(f"Is tea number {i} good?")
                if i % 4 == 0:
                    time.sleep(0.005)
                    chat.stop()
                future.result(30)
                chat.truncate(0 if i % 3 else -2)

        round_of_turns(10)

        def left():
            gc.collect()
            threads = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]  # a pool of a few
            return len(threads), process.num_fds(), len(process_state.tasks)

        before = left()
        round_of_turns(turns)
        wait_until(lambda: all(now <= then for now, then in zip(left(), before, strict=True)))
        rules = process_state.account(sim.base_url, chat.client.key()).limiter.rules
        assert (rules.in_flight, rules.tokens.in_flight, len(process_state.tasks)) == (0, 0, 0)


EXIT = """
import sys, time, tsn_frames as tsn
from tsn_frames.engine.chat.conversation import Conversation
from tsn_frames.engine.chat.listener import Listener
chat = Conversation(tsn.Client(sys.argv[1], model="sim-small", ledger=sys.argv[2]))
chat.start("Is tea good?")
while not (chat.snapshot[1] and chat.snapshot[1].text):
    time.sleep(0.01)
"""


def test_an_interpreter_that_ends_in_mid_stream_leaves_a_line_in_the_ledger(endless, slow, tmp_path):
    path = str(tmp_path / "exit.db")
    done = run_python(EXIT, slow.base_url, path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [entry.outcome for entry in tsn.Ledger(path).entries()] == ["unknown"]


def test_the_transcript_is_a_text(endless, slow):
    chat = talk(slow, system="Be brief.")
    future = chat.start("Is *tea* good?")
    wait_until(lambda: text_so_far(chat))
    chat.stop()
    future.result(30)
    text = to_markdown(chat)
    assert text.startswith(
        "**System**\n\nBe brief.\n\n---\n\n**User**\n\nIs *tea* good?\n\n---\n\n**Assistant** (sim-small)\n\n[simulated]"
    )
    assert text.endswith("*stopped*\n")


def test_code_that_was_cut_off_does_not_swallow_what_follows_in_the_transcript(client):
    said = [
        {"role": "assistant", "content": "Look:\n~~~~py\nx = 1"},
        {"role": "user", "content": "- ```\n  y"},
        {"role": "assistant", "content": "ok"},
    ]
    text = to_markdown(Conversation(client, messages=said))
    read = [token.type for token in MarkdownIt().parse(text)]
    assert read.count("fence") == 2 and read.count("hr") == 2
    assert "x = 1\n~~~~\n\n---" in text
