"""The widget's Python side, without a browser: the messages to a page, the state that is kept, and the secrets that never leave."""

from __future__ import annotations

import copy
import gc
import html
import itertools
import json
import pickle
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from support.canary import KEY
from support.dialect_service import DONE, USAGE, chunk, event
from support.raw_server import RawServer
from support.waiting import run_loop_once, wait_until, wait_until_async

import tsn_frames as tsn
from tsn_frames.engine.chat.chat_settings import ChatSettings
from tsn_frames.engine.chat.turn import Turn
from tsn_frames.engine.runtime.process import process_state
from tsn_frames.simulator import Simulator
from tsn_frames.text import money
from tsn_frames.widget import page_sync as wire
from tsn_frames.widget import view_model

QUESTION = "Is it warm? One of: yes, no."


class Page:
    """A page that keeps its messages and checks their order."""

    def __init__(self, chat, view="v1"):
        self.chat, self.view, self.sent, self.before = chat, view, [], 0
        chat._page._send = self.sent.append
        self.ask(type="hello")

    def ask(self, **said):
        self.before = len(self.sent)
        self.chat._handle_custom_msg({**said, "view": self.view}, [])
        return self.settled()

    def settled(self):
        """Wait until all due messages are sent: first the loop's callbacks, then the background thread's."""
        done = threading.Event()
        run_loop_once()
        process_state.run_in_background(done.set)
        assert done.wait(30)
        return self

    def wait_until(self, true):
        end = time.monotonic() + 30
        while not true(self.settled().sent):
            assert time.monotonic() < end, self.sent
            time.sleep(0.01)

    def last(self, kind):
        return [message for message in self.sent if message["type"] == kind][-1]

    def idle(self, count):
        def idle(sent):
            since = [message["state"] for message in sent[self.before :] if "state" in message]  # the last ask was
            return bool(since) and since[-1]["count"] == count and not since[-1]["busy"]

        self.wait_until(idle)


@pytest.fixture
def chat(client):
    made = tsn.Chat(client)
    yield made
    made.close()


def test_a_page_gets_everything_when_it_connects_and_the_changes_afterwards(chat):
    page = Page(chat)
    assert page.last("snapshot")["turns"] == []
    answer = chat.send(QUESTION)
    page.idle(2)
    assert [m["seq"] for m in page.sent] == list(range(1, len(page.sent) + 1))
    assert [m["type"] for m in page.sent][:3] == ["snapshot", "turn", "turn"]
    turn = page.last("turn")["turn"]
    assert (turn["index"], turn["role"], turn["status"], turn["text"]) == (1, "assistant", "done", answer)
    assert turn["facts"].startswith("sim-small · ")


def test_before_a_page_connects_nothing_is_rendered_or_sent(chat):
    sent = []
    chat._page._send = sent.append
    chat.send(QUESTION)
    assert sent == [] and chat._page._rendered == {}


def test_the_thoughts_of_a_reasoning_model_grow_before_its_answer(tmp_path):
    """The service goes on when the page has what came before."""
    seen, thoughts = threading.Event(), ["Clouds, ", "so rain, ", "I think."]

    def tails():
        return [message for message in page.sent if message["type"] == "tail"]

    async def script(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await wait_until_async(lambda: any(m.get("turn", {}).get("role") == "assistant" for m in page.sent))
        for number, thought in enumerate(thoughts, 1):
            await peer.send(event(chunk(reasoning_content=thought)))
            await wait_until_async(lambda number=number: len(tails()) == number)
        await peer.send(event(chunk("It will")))
        await wait_until_async(seen.is_set)
        await peer.send(event(chunk(" rain.", "stop", USAGE)) + DONE)

    with RawServer(script) as server:
        chat = tsn.Chat(tsn.Client(server.url, model="m", ledger=tmp_path / "l.db"))
        page = Page(chat)
        page.ask(type="send", text="Tell me something about the weather of tomorrow")
        page.wait_until(lambda _: tails() and tails()[-1]["changed"])
        page.ask(type="hello")
        streaming = page.last("snapshot")["turns"][1]
        seen.set()
        page.idle(2)
        turn, reasoning = page.last("turn")["turn"], chat.to_frame()["reasoning"][1]
        assert [m["thoughts"] for m in tails() if m["thoughts"]] == thoughts and tails()[0]["changed"] == []
        assert "".join(thoughts) == reasoning == turn["thoughts"] == streaming["thoughts"]
        assert streaming["seconds"] >= turn["seconds"] > 0 and streaming["status"] == "streaming"
        assert reasoning not in chat.to_markdown() and reasoning not in str(chat.messages)
        chat.close()


def test_very_long_thoughts_are_cut():
    turn = Turn("assistant", "Hi", reasoning="a" * (view_model.MOST_THOUGHTS + 1))
    assert view_model.turn_of(0, turn, [])["thoughts"] == "a" * view_model.MOST_THOUGHTS + "…"


def test_an_answer_in_the_middle_is_in_the_snapshot_of_a_second_page(endless, tmp_path):
    with Simulator(latency=0.0, token_rate=30.0) as sim:
        chat = tsn.Chat(tsn.Client(sim.base_url, model="sim-small", ledger=tmp_path / "l.db"))
        page = Page(chat)
        page.ask(type="send", text="Tell me something about the weather of tomorrow")
        page.wait_until(lambda sent: any(m["type"] == "tail" for m in sent))
        page.ask(type="hello")
        snapshot = page.last("snapshot")
        assert snapshot["state"]["busy"] and snapshot["to"] == "v1"
        assert snapshot["turns"][1]["status"] == "streaming" and "simulated" in snapshot["turns"][1]["blocks"][0]
        page.ask(type="stop")
        page.idle(2)
        assert page.last("turn")["turn"]["status"] == "stopped"
        wait_until(lambda: sim.stats().disconnects == 1)
        chat.close()


def test_a_page_that_shows_an_answer_knows_at_once_whether_it_grows(chat):
    """Between the turn and the state a reader could press a key, and the page took it for another moment's."""
    page = Page(chat)
    page.ask(type="send", text=QUESTION)
    page.idle(2)
    answers = [message for message in page.sent if message["type"] == "turn" and message["turn"]["role"] == "assistant"]
    assert [message["state"]["busy"] for message in answers] == [message["turn"]["status"] == "streaming" for message in answers]


def test_a_setting_changed_during_an_answer_is_deferred_and_not_refused(endless, tmp_path):
    with Simulator(latency=0.0, token_rate=3.0) as sim:
        chat = tsn.Chat(tsn.Client(sim.base_url, model="sim-small", ledger=tmp_path / "l.db"))
        page = Page(chat)
        page.ask(type="set", name="max_tokens", value=900)
        assert page.last("set")["state"]["settings"]["max_tokens"] == 900
        page.ask(type="send", text="Tell me something about the weather of tomorrow")
        page.ask(type="set", name="max_tokens", value=700)
        assert (page.last("wait")["field"], page.last("wait")["to"]) == ("max_tokens", "v1")
        assert [m["state"]["busy"] for m in page.sent if "state" in m][-1], "the page waits for an end, so it must hear of it"
        assert not [m for m in page.sent if m["type"] == "refused"] and chat.parameters == {"max_tokens": 900}
        page.ask(type="stop")
        page.idle(2)
        chat.close()


def test_settings_that_come_at_once_all_hold(chat, monkeypatch):
    """One from the page and one from code, each on its own thread: the second comes while the first is looked at."""
    looked, go, look = threading.Event(), threading.Event(), ChatSettings.with_parameters

    def slow(setup, values):
        if "top_p" in values and "temperature" not in values:
            looked.set()
            assert go.wait(30)
        return look(setup, values)

    monkeypatch.setattr(ChatSettings, "with_parameters", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(chat._handle_custom_msg, {"type": "set", "name": "top_p", "value": 0.5}, [])
        assert looked.wait(30)
        second = pool.submit(chat._handle_custom_msg, {"type": "set", "name": "temperature", "value": 1.0}, [])
        time.sleep(0.05)  # it waits for the first, or does not
        go.set()
        first.result(30), second.result(30)
    assert chat.parameters == {"top_p": 0.5, "temperature": 1.0}


def test_what_a_page_asks_is_done(chat, sim):
    page = Page(chat)
    page.ask(type="send", text="one")
    page.idle(2)
    page.ask(type="send", text="two")
    page.idle(4)
    page.ask(type="edit", index=0, text="three")
    page.idle(2)
    assert [m["content"] for m in chat.messages if m["role"] == "user"] == ["three"]
    page.ask(type="regenerate")
    page.wait_until(lambda _: sim.stats().requests == 4)
    page.idle(2)
    page.ask(type="set", name="temperature", value=0)
    page.ask(type="set", name="model", value="sim-large")
    page.ask(type="set", name="system", value="Be brief.")
    assert (chat.parameters, chat.model, chat.system) == ({"temperature": 0.0}, "sim-large", "Be brief.")
    page.ask(type="undo")
    assert chat.messages == [{"role": "system", "content": "Be brief."}]
    page.ask(type="send", text="one")
    page.idle(2)
    page.ask(type="clear")
    assert len(chat.to_frame()) == 0


@pytest.mark.parametrize(
    ("said", "field", "word"),
    [
        ({"type": "set", "name": "temperature", "value": 9}, "temperature", "Temperature"),
        ({"type": "set", "name": "tempo", "value": 9}, "tempo", "tempo"),
        ({"type": "send", "text": "  "}, "text", "blank"),
        ({"type": "edit", "index": 7, "text": "x"}, "text", "7"),
        ({"type": "regenerate"}, "text", "Nothing was asked"),
    ],
)
def test_invalid_requests_are_refused_with_the_reason(chat, said, field, word):
    page = Page(chat).ask(**said)
    refused = page.last("refused")
    assert word in refused["text"] and refused["field"] == field and refused["to"] == "v1"


@pytest.mark.parametrize(
    "said",
    [None, 1, [], {}, {"type": 1}, {"type": "send"}, {"type": "send", "text": 1}, {"type": "edit", "index": "0", "text": ""}],
)
def test_nonsense_from_a_page_does_nothing(chat, sim, said):
    chat._handle_custom_msg(said, [])
    Page(chat)
    assert chat.messages == [] and sim.stats().requests == 0


def test_a_long_chat_is_sent_in_parts(client):
    messages = [{"role": ("user", "assistant")[i % 2], "content": f"message {i}"} for i in range(500)]
    chat = tsn.Chat(client, messages=messages)
    page = Page(chat)
    assert [turn["index"] for turn in page.last("snapshot")["turns"]] == list(range(450, 500))
    page.ask(type="earlier", before=450)
    assert [turn["index"] for turn in page.last("earlier")["turns"]] == list(range(400, 450))
    page.ask(type="earlier", before=10)
    assert [turn["index"] for turn in page.last("earlier")["turns"]] == list(range(10))
    chat.close()


def test_the_models_are_listed_or_not(chat, client):
    page = Page(chat).ask(type="models")
    page.wait_until(lambda sent: any(m["type"] == "state" and m["state"]["models"] for m in sent))
    with Simulator(list_models=False) as other:
        none = Page(tsn.Chat(tsn.Client(other.base_url, model="m")))
        none.ask(type="models")
        none.wait_until(lambda sent: any(m["type"] == "state" for m in sent))
        assert none.last("state")["state"]["models"] == []


def test_a_chat_about_a_row_says_so_and_offers_the_code_for_all(client):
    df = pd.DataFrame({"text": ["Hi", "Bye"]})
    chat = df.tsn.chat(0, "Which tone? {text}", client=client)
    page = Page(chat)
    assert page.last("snapshot")["state"]["about"] == "row 0"
    page.ask(type="code")
    code = html.unescape(re.sub("<[^>]*>", "", page.last("code")["text"]))
    assert "df.tsn.complete(" in code and "'Which tone? {text}'" in code
    plain = Page(tsn.Chat(client))
    plain.ask(type="code")
    assert not [m for m in plain.sent if m["type"] == "code"]


def test_the_page_of_a_row_edits_the_template_and_shows_the_filled_text(client, sim):
    df = pd.DataFrame({"text": ["The kettle leaks.", "Where is it?"]})
    chat = df.tsn.chat(0, "Angry? {text}", system="About {text}", client=client)
    page = Page(chat)
    turn, state = page.last("snapshot")["turns"][0], page.last("snapshot")["state"]
    assert (turn["text"], turn["template"]) == ("Angry? The kettle leaks.", "Angry? {text}")
    assert (state["settings"]["system"], state["filled_system"]) == ("About {text}", "About The kettle leaks.")
    page.ask(type="edit", index=0, text="Cross? {text}")
    page.idle(2)
    assert chat.messages[1]["content"] == "Cross? The kettle leaks."
    page.ask(type="set", name="system", value="On {text}")
    assert chat.system == "On The kettle leaks."
    page.ask(type="send", text="Is {txt} kind?")
    assert "names a column 'txt'" in page.last("refused")["text"] and sim.stats().requests == 1
    page.ask(type="send", text="Why?")
    page.idle(4)
    page.ask(type="code")
    assert page.last("code")["question"] == 0 and page.last("code")["questions"] == [[0, "Cross? {text}"], [2, "Why?"]]
    page.ask(type="code", question=2)
    assert page.last("code")["question"] == 2 and page.last("code")["warnings"]
    assert [message["content"] for message in chat._messages][1] == "Cross? The kettle leaks." == chat.to_frame()["content"][0]
    chat.close()


def test_the_page_says_what_looks_like_a_slip_in_a_template(client):
    chat = pd.DataFrame({"text": ["The kettle leaks."]}).tsn.chat(0, client=client)
    page = Page(chat).ask(type="send", text="Is {{ text }} kind?")
    page.idle(2)
    assert "this is Jinja" in page.last("notice")["text"] and page.last("notice")["to"] == "v1"
    chat.close()


def test_the_total_is_what_was_paid_also_for_answers_that_are_gone(tmp_path):
    with Simulator(seed=0, latency=0.0) as sim:
        chat = tsn.Chat(tsn.Client(sim.base_url, model="sim-small", prices={"sim-small": (1, 2)}, ledger=tmp_path / "l.db"))
        page = Page(chat)
        chat.send(QUESTION)
        page.settled()
        first = float(chat.to_frame()["cost"].sum())
        assert f" · cost {money(first)} · " in page.last("turn")["state"]["totals"]
        chat.regenerate()
        chat.send("Why?")
        chat.truncate(-2)
        page.settled()
        paid = sum(float(entry.cost) for entry in chat._chat.client.ledger.entries())
        shown = float(chat.to_frame()["cost"].sum())
        assert f" · this chat {money(paid)} (shown {money(shown)}) · " in page.last("cut")["state"]["totals"]
        chat.clear()
        page.settled()
        assert page.last("cut")["state"]["totals"] == f"this chat {money(paid)} (shown 0.00)"
        assert chat.to_frame(removed=True)["cost"].sum() == pytest.approx(float(paid))
        chat.close()


def test_costs_have_the_currency_of_the_prices(sim, tmp_path):
    prices = tsn.Prices({"sim-small": (1, 2)}, currency="EUR")
    chat = tsn.Chat(tsn.Client(sim.base_url, model="sim-small", prices=prices, ledger=tmp_path / "l.db"))
    page = Page(chat)
    chat.send(QUESTION)
    cost = f"cost {money(chat.to_frame()['cost'].sum())} EUR"
    last = page.settled().last("turn")
    assert cost in last["turn"]["facts"] and cost in last["state"]["totals"]
    chat.close()


def test_the_key_is_in_no_state_message_or_text(chat):
    page = Page(chat)
    chat.send(QUESTION)
    page.idle(2)
    everything = [chat.get_state(), chat._repr_mimebundle_()[0], repr(chat), chat.to_markdown(), page.sent]
    assert KEY not in json.dumps(everything, default=str)


def test_the_synced_state_is_small_and_written_once_a_turn(chat):
    changes = []
    chat.observe(lambda change: changes.append(len(change["new"])), "_messages")
    page = Page(chat)
    for _ in range(3):
        chat.send(QUESTION)
    page.idle(6)
    assert set(changes) <= {2, 4, 6} and changes[-1] == 6 and len(changes) <= 3
    state = {name: value for name, value in chat.get_state().items() if name not in ("_esm", "_css")}
    assert len(json.dumps(state, default=str)) < 2_000


def test_a_saved_notebook_has_the_text_escaped_and_no_markdown(client):
    chat = tsn.Chat(client, messages=[{"role": "user", "content": "<img src=x onerror=alert(1)> **x**"}])
    data, _ = chat._repr_mimebundle_()
    assert set(data) == {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"}
    assert "&lt;img src=x onerror=alert(1)&gt; **x**" in data["text/html"] and "<img" not in data["text/html"]
    assert "<img src=x onerror=alert(1)> **x**" in data["text/plain"]


def test_the_page_and_its_styles_are_complete_and_load_nothing(chat):
    assert chat._esm.rstrip().endswith("export default { render };")
    for text in (
        chat._esm.replace("http://www.w3.org/1998/Math/MathML", ""),
        chat._css,
    ):  # the name of a namespace is not an address
        assert (
            "http:" not in text
            and "https:" not in text
            and "import(" not in text
            and "@import" not in text
            and "url(" not in text
        )


@pytest.mark.parametrize("work", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_chat_that_can_not_be_copied_says_what_to_do(chat, work):
    with pytest.raises(TypeError, match=r"tsn.Chat\(messages=chat.messages\)"):
        work(chat)


def test_totals_say_at_least_only_where_something_is_unknown():
    paid = Turn("assistant", "Hi", "m", 12, 3, 15, Decimal("0.5"), 1.0)
    refused = Turn("assistant", "", "m", cost=Decimal(0), seconds=1.0, state="failed")
    stopped = Turn("assistant", "H", "m", seconds=1.0, state="stopped")
    assert view_model.totals([paid, refused]) == "2 messages · 15 tokens · cost 0.50 · 2.0 s"
    assert view_model.totals([paid, stopped]) == "2 messages · at least 15 tokens · cost at least 0.50 · 2.0 s"


def test_closing_stops_the_streaming_answer(endless, tmp_path):
    with Simulator(latency=0.0, token_rate=5.0) as sim:
        chat = tsn.Chat(tsn.Client(sim.base_url, model="sim-small", ledger=tmp_path / "l.db"))
        page = Page(chat).ask(type="send", text="Hello there")
        page.wait_until(lambda sent: any(m["type"] == "tail" for m in sent))
        chat.close()
        page.wait_until(lambda _: sim.stats().disconnects == 1)


def test_nothing_waits_for_the_page(chat):
    """A page, or a front end, that never handles a message holds up neither the answer nor the next question."""
    Page(chat)
    go = threading.Event()
    chat._page._send = lambda _: go.wait(60)
    try:
        with ThreadPoolExecutor(1) as user:
            assert all(user.submit(chat.send, QUESTION).result(20) for _ in range(5))
    finally:
        go.set()


def test_a_tail_that_takes_long_to_make_is_made_less_often(endless, tmp_path, monkeypatch):
    """A huge table is one block: to make all of it again 25 times a second would take a whole processor."""
    spent = []

    class Slow(wire.IncrementalMarkdown):
        def grow(self, text):
            begun = time.monotonic()
            time.sleep(0.03)
            changed = super().grow(text)
            spent.append((begun, time.monotonic()))
            return changed

    with Simulator(latency=0.0, token_rate=40.0) as sim:
        chat = tsn.Chat(tsn.Client(sim.base_url, model="sim-small", ledger=tmp_path / "l.db"))
        page = Page(chat)
        monkeypatch.setattr(wire, "IncrementalMarkdown", Slow)
        page.ask(type="send", text="Tell me something about the weather of tomorrow")
        page.wait_until(lambda sent: sum(m["type"] == "tail" for m in sent) >= 3)
        chat.close()
    tails = spent[1:4]  # the first is what a page that is there gets at once
    for (begun, ended), (after, _) in itertools.pairwise(tails):
        assert after - ended >= wire.PAUSE_FACTOR * (ended - begun) * 0.98


def test_a_tail_that_fails_is_not_the_last(endless, tmp_path, monkeypatch, caplog):
    class Failing(wire.IncrementalMarkdown):
        failed = 0

        def grow(self, text):
            if text and not Failing.failed:
                Failing.failed += 1
                raise ValueError("a mistake of ours")
            return super().grow(text)

    with Simulator(latency=0.0, token_rate=20.0) as sim:
        chat = tsn.Chat(tsn.Client(sim.base_url, model="sim-small", ledger=tmp_path / "l.db"))
        page = Page(chat)
        monkeypatch.setattr(wire, "IncrementalMarkdown", Failing)
        page.ask(type="send", text="Tell me something about the weather of tomorrow")
        page.wait_until(lambda sent: any(m["type"] == "tail" for m in sent))
        chat.close()
    assert Failing.failed == 1 and "background work failed" in caplog.text


class Screen:
    """What a page shows after each message: the blocks of every turn, by its position."""

    def __init__(self, sent):
        self.moments = []
        shown = {}
        for message in sent:
            if message["type"] == "snapshot":
                shown = {}
            if message["type"] == "cut":
                shown = {i: blocks for i, blocks in shown.items() if i < message["keep"]}
            for turn in [*message.get("turns", []), *filter(None, [message.get("turn")])]:
                shown[turn["index"]] = dict(enumerate(turn["blocks"] or []))
            if message["type"] == "tail":
                assert message["index"] in shown, "a page has no such turn"
                shown[message["index"]] |= dict(message["changed"])
            self.moments.append({i: re.sub("<.*?>", "", "".join(blocks.values())).strip() for i, blocks in shown.items()})

    def check(self, i, answer):
        """Check that turn ``i`` never showed anything but the beginning of its answer."""
        for moment in self.moments:
            assert answer.startswith(moment.get(i, "")), moment[i]


def test_an_answer_that_is_asked_for_at_once_does_not_begin_with_the_one_before(tmp_path, monkeypatch):
    """The last news of an answer waited for its time; the next answer's place was there by then, and showed it."""
    with Simulator(latency=0.2, token_rate=100.0) as sim:
        chat = tsn.Chat(tsn.Client(sim.base_url, model="sim-small", ledger=tmp_path / "l.db"))
        page = Page(chat)
        monkeypatch.setattr(wire, "HTML_CHARS_PER_SECOND", 500)  # a pause of some tenths of a second after each tail
        answers = [chat.send("Tell me something about apples"), chat.send("And something about pears")]
        page.idle(4)
        screen = Screen(page.sent)
        for i, answer in zip((1, 3), answers, strict=True):
            screen.check(i, answer)
        chat.close()


def test_an_answer_is_a_new_one_though_the_page_missed_the_end_of_the_one_before(tmp_path):
    """What takes long to render holds the rest up: then two answers were taken for one, and the second grew nowhere."""
    with Simulator(latency=0.0, token_rate=60.0) as sim:
        chat = tsn.Chat(tsn.Client(sim.base_url, model="sim-small", ledger=tmp_path / "l.db"))
        page = Page(chat)
        held, go = threading.Event(), threading.Event()
        page.ask(type="send", text="Tell me something about apples")
        page.wait_until(lambda sent: any(m["type"] == "tail" for m in sent))
        process_state.run_in_background(lambda: (held.set(), go.wait(30)))
        assert held.wait(30)
        wait_until(lambda: len(chat.messages) == 2)
        chat._chat.start("And something about pears")
        wait_until(lambda: chat._chat.snapshot[1] and chat._chat.snapshot[1].text)
        go.set()
        page.idle(4)
        screen = Screen(page.sent)
        first, second = (message["content"] for message in chat.messages if message["role"] == "assistant")
        screen.check(1, first)
        screen.check(3, second)
        chat.close()


def test_a_chat_validates_its_arguments(client):
    with pytest.raises(tsn.errors.ConfigError, match="client"):
        tsn.Chat("not a client")
    with pytest.raises(tsn.errors.ParameterError, match="temperature"):
        tsn.Chat(client, temperature=5)
    with pytest.raises(tsn.errors.PromptError):
        tsn.Chat(client, messages="Hi")


def run_cells(folder, monkeypatch, sim, *sources):
    """Run cells in a kernel, as programs that run notebooks do, and return the notebook."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    values = {"TSN_API_KEY": KEY, "TSN_BASE_URL": sim.base_url, "TSN_MODEL": "sim-small", "IPYTHONDIR": str(folder)}
    for name, value in {**values, "PYTHONPATH": str(Path(tsn.__file__).parents[1])}.items():
        monkeypatch.setenv(name, value)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    nbclient.NotebookClient(book, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return book


@pytest.mark.slow
def test_the_state_that_nbclient_saves_has_the_conversation_and_no_key(tmp_path, sim, monkeypatch):
    source = "import tsn_frames as tsn\nchat = tsn.Chat()\nanswer = chat.send('Hi there')\nchat"
    text = json.dumps(run_cells(tmp_path, monkeypatch, sim, source))
    saved = json.loads(text)
    assert KEY not in text and sim.log[-1].key_sent
    state = saved["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    [chat] = [one["state"] for one in state.values() if "_messages" in one["state"]]
    assert next(m["content"] for m in chat["_messages"]) == "Hi there"
    shown = [output["data"] for output in saved["cells"][0]["outputs"]]
    assert all("text/markdown" not in data for data in shown)
    assert any("Hi there" in "".join(data.get("text/html", "")) for data in shown)


@pytest.mark.slow
def test_what_the_code_says_is_in_the_saved_notebook_when_its_cell_ends(tmp_path, sim, monkeypatch):
    """A program that runs notebooks receives output while a cell runs and drops later output."""
    made = """
import threading, tsn_frames as tsn
a, b, c, d, e, f, g = chats = [tsn.Chat(messages=[{"role": "user", "content": "Before"}]) for _ in range(7)]
for chat in chats:
    display(chat)"""
    busy = """
from tsn_frames.engine.runtime.process import process_state
process_state.run_in_background(lambda: threading.Event().wait(3))"""
    changed = """
a.send("Afterwards")
b.regenerate()
c.clear()
d.truncate(-1)
e.messages = [{"role": "user", "content": "Instead"}]
f.system = 'First'
g.model = 'sim-large'"""
    book = run_cells(tmp_path, monkeypatch, sim, made, busy, changed)
    saved = [output["data"] for output in book.cells[0].outputs if "text/html" in output["data"]]
    shown = [data["text/plain"] for data in saved]
    assert "Afterwards" in shown[0] and "**Assistant**" in shown[1] and shown[2] == shown[3] == "No messages yet."
    assert shown[4] == "**User**\n\nInstead\n" and shown[5] == "**System**\n\nFirst\n\n---\n\n**User**\n\nBefore\n"
    assert "1 message, sim-large" in saved[6]["text/html"] and "1 message, sim-small" in saved[5]["text/html"]


def test_a_chat_with_a_wrong_setting_is_closed_without_a_second_error(client, monkeypatch):
    """ipywidgets closes a widget when Python deletes it, also one whose constructor has failed."""
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    with pytest.raises(tsn.errors.ParameterError, match="temperature"):
        tsn.Chat(client, temperature=9)
    gc.collect()
    assert unraisable == []
