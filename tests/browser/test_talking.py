"""What a reader does with a chat: the ten interactions, in a real JupyterLab."""

from __future__ import annotations

import pytest
from browser.harness import ChatPage
from browser.scripted import SCRIPT
from support.waiting import wait_until

from tsn_frames.simulator import Faults, Simulator

LONG = " ".join(f"word{n}" for n in range(1500))  # goes on for a minute and a half: a slow machine has time to stop it


def test_enter_sends_and_shift_enter_breaks_the_line(open_chat, quick):
    chat = open_chat(quick)
    chat.box.press_sequentially("one")
    chat.box.press("Shift+Enter")
    chat.box.press_sequentially("two")
    assert chat.box.input_value() == "one\ntwo"
    chat.box.press("Enter")
    chat.turn(1, "done")
    assert chat.box.input_value() == ""
    assert chat.text(0) == "one\ntwo"
    assert chat.notebook.value("chat.messages[0]") == {"role": "user", "content": "one\ntwo"}


def test_enter_that_ends_a_composed_word_does_not_send(open_chat, quick):
    chat = open_chat(quick).type("日本")
    chat.box.dispatch_event("keydown", {"key": "Enter", "isComposing": True, "bubbles": True, "cancelable": True})
    chat.box.dispatch_event("keydown", {"key": "Enter", "keyCode": 229, "bubbles": True, "cancelable": True})
    assert chat.box.input_value() == "日本"
    assert chat.root.locator("article").count() == 0
    assert quick.stats().requests == 0


def test_a_blank_text_is_not_sent(open_chat, quick):
    chat = open_chat(quick).type("  \n ")
    chat.box.press("Enter")
    assert quick.stats().requests == 0


def test_an_answer_grows(open_chat, slow):
    SCRIPT["Tell me"] = LONG
    chat = open_chat(slow)
    chat.ask("Tell me")
    chat.turn(1, "streaming").get_by_text("word2").wait_for()
    early = len(chat.text(1))
    chat.tab.wait_for_function("n => document.querySelector('article[data-index=\"1\"]').innerText.length > n + 30", arg=early)
    assert chat.turn(1).get_attribute("aria-busy") == "true"
    chat.act("stop")
    chat.turn(1, "stopped")


def test_stop_ends_the_stream_and_the_server_sees_it(open_chat, slow):
    SCRIPT["Tell me"] = LONG
    chat = open_chat(slow)
    chat.ask("Tell me")
    chat.turn(1).get_by_text("word2").wait_for()
    chat.act("stop")
    chat.turn(1, "stopped")
    chat.ready()
    chat.notebook.wait_until("chat.messages[-1]['role'] == 'assistant'")
    said = chat.notebook.value("chat.messages[-1]['content']")
    assert LONG.startswith(said.rstrip()) and 0 < len(said) < len(LONG)
    assert chat.text(1).split() == said.split()
    wait_until(lambda: slow.stats().disconnects == 1)
    assert "stopped" in chat.turn(1).locator(".tsn-facts").text_content()


def test_a_stop_that_does_nothing_would_be_seen(open_chat, slow):
    """The checks above are worth something: with a dead Stop in Python none of what they wait for happens."""
    SCRIPT["Tell me"] = LONG
    chat = open_chat(slow)
    chat.notebook.python("alive = type(chat._chat).stop; type(chat._chat).stop = lambda self: None")
    chat.ask("Tell me")
    chat.turn(1).get_by_text("word2").wait_for()
    chat.act("stop")
    chat.turn(1).get_by_text("word20").wait_for()
    assert chat.turn(1).get_attribute("data-status") == "streaming"
    assert slow.stats().disconnects == 0
    chat.notebook.python("type(chat._chat).stop = alive")
    chat.box.press("Escape")
    chat.turn(1, "stopped")
    wait_until(lambda: slow.stats().disconnects == 1)


def test_escape_stops(open_chat, slow):
    SCRIPT["Tell me"] = LONG
    chat = open_chat(slow)
    chat.ask("Tell me")
    chat.turn(1).get_by_text("word2").wait_for()
    chat.box.press("Escape")
    chat.turn(1, "stopped")
    wait_until(lambda: slow.stats().disconnects == 1)


def test_stop_works_in_the_end_while_another_cell_runs(open_chat, slow):
    SCRIPT["Tell me"] = LONG
    chat = open_chat(slow)
    chat.ask("Tell me")
    chat.turn(1).get_by_text("word2").wait_for()
    chat.tab.evaluate("""() => { jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute(
        {code: 'import time; time.sleep(2)'}); }""")
    chat.act("stop")
    chat.turn(1, "stopped")
    wait_until(lambda: slow.stats().disconnects == 1)


SLEEP = """() => {
    const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    window.cell = 'runs';
    kernel.requestExecute({code: 'import time\\nfor _ in range(6000): time.sleep(0.1)'}).done.finally(() => { window.cell = 'ended' });
}"""
INTERRUPT = """async () => {
    await jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt();
    while (window.cell !== 'ended') await new Promise(then => setTimeout(then, 20));
}"""


def test_a_busy_kernel_with_threads_for_pages_hears_all_at_once(open_chat, slow):
    """JupyterLab 4.4 and ipykernel 7 have such threads: a question, a stop and a reload need not wait for the cell."""
    SCRIPT["Tell me"] = LONG
    chat = open_chat(slow)
    if not chat.notebook.value("getattr(get_ipython().kernel, '_supports_kernel_subshells', False)"):
        pytest.skip("this kernel has one thread for all")
    for said in range(2):  # what Python sends itself changes nothing
        chat.notebook.python("chat.parameters = {'temperature': 1.0}")
        chat.tab.evaluate(SLEEP)
        index = chat.ask("Tell me")
        chat.turn(index).get_by_text("word2").wait_for()
        chat.act("stop")
        chat.turn(index, "stopped")
        chat.ready()
        assert chat.tab.evaluate("window.cell") == "runs"
        chat.tab.evaluate(INTERRUPT)
        chat.notebook.wait_until(f"len(chat.messages) == {2 * said + 2}")
    wait_until(lambda: slow.stats().disconnects == 2)


def test_an_error_shows_as_text_and_can_be_tried_again(open_chat, quick):
    quick.faults = Faults(stream_error=1.0)
    SCRIPT["Hi"] = LONG
    chat = open_chat(quick)
    chat.asked("Hi")
    chat.turn(1, "error")
    assert "broke" in chat.turn(1).locator(".tsn-error").text_content()
    assert "word0" in chat.text(1)
    quick.faults = Faults()
    chat.act("regenerate", chat.turn(1))
    chat.turn(1, "done")
    assert chat.turn(1).locator(".tsn-error").count() == 0
    assert chat.text(1).endswith("word1499")


def test_a_refused_key_names_the_remedy_and_no_code(notebook):
    with Simulator(latency=0.0, keys=("tsn_test_right",)) as strict:
        notebook.run(
            "import tsn_frames as tsn\nfrom tsn_frames.engine.runtime.process import process_state\n"
            "from tsn_frames.secret import Secret\nprocess_state.key = Secret('tsn_test_wrong')\n"
            f"chat = tsn.Chat(tsn.Client({strict.base_url!r}, model='sim-small'))\nchat"
        )
        chat = ChatPage(notebook).ready()
        chat.asked("Hi")
        assert chat.turn(1, "error").locator(".tsn-error").text_content() == (
            "The service refused the API key (401: Invalid API key). "
            "Run tsn.set_key() in a cell to enter another key, then ask again."
        )
        notebook.python("process_state.key = Secret('tsn_test_right')")
        chat.act("regenerate", chat.turn(1))
        chat.turn(1, "done")
        notebook.python("process_state.key = None")


def test_regenerate_asks_the_last_question_again(open_chat, quick):
    SCRIPT["Hi"] = "first"
    chat = open_chat(quick)
    chat.asked("Hi")
    SCRIPT["Hi"] = "second"
    chat.act("regenerate", chat.turn(1))
    chat.turn(1).get_by_text("second").wait_for()
    chat.ready()
    assert chat.texts() == ["Hi", "second"]
    wait_until(lambda: len(quick.log) == 2)
    assert [dict(exchange.body)["messages"] for exchange in quick.log] == [[{"role": "user", "content": "Hi"}]] * 2


def test_an_earlier_message_is_edited_and_what_follows_is_asked_again(open_chat, quick):
    SCRIPT.update(one="1", two="2", three="3")
    chat = open_chat(quick)
    chat.asked("one")
    chat.asked("two")
    chat.act("edit", chat.turn(0))
    area = chat.root.get_by_role("textbox", name="Edit message")
    assert area.input_value() == "one"
    area.fill("three")
    area.press("Enter")
    chat.turn(1).get_by_text("3", exact=True).wait_for()
    chat.ready()
    assert chat.texts() == ["three", "3"]
    assert [m["content"] for m in chat.notebook.value("chat.messages")] == ["three", "3"]


def test_an_edit_can_be_given_up(open_chat, quick):
    chat = open_chat(quick)
    chat.asked("one")
    chat.act("edit", chat.turn(0))
    chat.root.get_by_role("textbox", name="Edit message").press("Escape")
    assert chat.root.get_by_role("textbox", name="Edit message").count() == 0
    assert chat.texts()[0] == "one"
    assert quick.stats().requests == 1


def test_up_in_the_empty_box_edits_the_last_question(open_chat, quick):
    chat = open_chat(quick)
    chat.asked("one")
    chat.asked("two")
    chat.box.press("ArrowUp")
    area = chat.root.get_by_role("textbox", name="Edit message")
    assert area.input_value() == "two"


def test_undo_takes_the_last_exchange_back_into_the_box(open_chat, quick):
    chat = open_chat(quick)
    chat.asked("one")
    chat.asked("two")
    chat.act("undo")
    chat.turn(2).wait_for(state="detached")
    assert chat.box.input_value() == "two"
    assert len(chat.notebook.value("chat.messages")) == 2


def test_clear_asks_first_in_the_page(open_chat, quick):
    chat = open_chat(quick, "system='Be brief.'")
    chat.asked("one")
    chat.act("clear")
    chat.act("clear-no")
    assert chat.root.locator("article").count() == 2
    chat.act("clear")
    chat.act("clear-yes")
    chat.turn(0).wait_for(state="detached")
    assert chat.notebook.value("chat.messages") == [{"role": "system", "content": "Be brief."}]


def test_messages_set_from_code_show(open_chat, quick):
    chat = open_chat(quick)
    chat.asked("one")
    chat.notebook.python("""chat.messages = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "**a**"}]""")
    chat.turn(1).locator("strong").get_by_text("a").wait_for()
    assert chat.texts() == ["q", "a"]
    assert chat.root.locator("[data-field='system']").input_value() == "Be brief."


def test_send_from_code_shows_and_returns_the_answer(open_chat, quick):
    SCRIPT["From code"] = "An answer"
    chat = open_chat(quick)
    assert chat.notebook.python("print(chat.send('From code'))") == "An answer"
    chat.turn(1, "done")
    assert chat.texts() == ["From code", "An answer"]


def test_tokens_cost_and_seconds_are_counted(open_chat, quick):
    SCRIPT["Hi"] = "12345678"
    chat = open_chat(quick)
    chat.asked("Hi")
    chat.asked("Hi")
    facts = chat.turn(1).locator(".tsn-facts").text_content()
    assert "sim-small" in facts and "+ 2 tokens" in facts and "cost 0.0000" in facts and facts.endswith(" s")
    assert chat.totals.text_content().startswith("4 messages · ")


def test_settings_reach_the_request(open_chat, quick):
    chat = open_chat(quick)
    chat.act("settings")
    for name, value in {
        "system": "Be brief.",
        "temperature": "0.5",
        "top_p": "0.9",
        "max_tokens": "64",
        "stop": "END\nSTOP",
    }.items():
        field = chat.root.locator(f"[data-field='{name}']")
        field.fill(value)
        field.blur()
    model = chat.root.get_by_label("Model")
    model.fill("sim-large")
    model.blur()
    chat.notebook.wait_until("chat.model == 'sim-large'")
    chat.asked("Hi")
    body = dict(quick.log[-1].body)
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body["model"], body["temperature"], body["top_p"], body["max_tokens"]) == ("sim-large", 0.5, 0.9, 64)
    assert body["stop"] == ["END", "STOP"]


def test_a_setting_that_cannot_be_is_refused_with_the_reason(open_chat, quick):
    chat = open_chat(quick)
    chat.act("settings")
    field = chat.root.locator("[data-field='temperature']")
    field.fill("9")
    field.blur()
    chat.notice.get_by_text("temperature").wait_for()
    shown = chat.notice.inner_text()
    assert shown[0].isupper() and shown.endswith("."), shown
    assert field.get_attribute("aria-invalid") == "true"
    field.fill("1")
    field.blur()
    chat.notice.wait_for(state="hidden")
    chat.notebook.wait_until("chat.parameters == {'temperature': 1.0}")


def test_the_models_of_the_server_are_offered(open_chat, quick):
    chat = open_chat(quick)
    model, options = chat.root.get_by_role("combobox", name="Model"), chat.root.get_by_role("option")
    model.focus()
    options.first.wait_for()
    assert options.all_inner_texts() == ["sim-small", "sim-large", "sim-reasoner"], "all, whatever the box has"
    assert chat.root.get_by_role("option", selected=True).all_inner_texts() == ["sim-small"]
    model.press("ArrowDown")
    model.press("ArrowDown")
    model.press("Enter")
    chat.notebook.wait_until("chat.model == 'sim-large'")
    assert options.count() == 0 and model.input_value() == "sim-large"
    model.fill("reas")
    assert options.all_inner_texts() == ["sim-reasoner"]
    options.click()
    chat.notebook.wait_until("chat.model == 'sim-reasoner'")
    chat.box.focus()
    chat.root.locator(".tsn-icon").click()
    assert options.count() == 3
    model.press("Escape")
    assert options.count() == 0 and chat.root.get_attribute("data-status") == "ready"


def test_the_list_of_models_is_seen_whole_also_in_a_short_chat_at_the_end_of_the_page(open_chat, quick):
    chat = open_chat(quick)
    chat.root.get_by_role("combobox").focus()
    for name in ("sim-small", "sim-reasoner"):
        box = chat.root.get_by_role("option", name=name)
        box.wait_for()
        hit = "one => { const b = one.getBoundingClientRect(); return one === document.elementFromPoint(b.x + b.width / 2, b.y + b.height / 2) }"
        assert box.evaluate(hit)


def test_the_list_of_models_leaves_when_the_page_changes_its_size(open_chat, quick):
    chat = open_chat(quick)
    chat.root.get_by_role("combobox").focus()
    chat.root.get_by_role("option").first.wait_for()
    size = chat.tab.viewport_size
    chat.tab.set_viewport_size({"width": 700, "height": size["height"]})
    chat.root.get_by_role("option").first.wait_for(state="hidden")
    chat.tab.set_viewport_size(size)


def test_a_button_that_does_nothing_now_does_not_answer_to_the_mouse(open_chat, quick):
    chat = open_chat(quick)
    undo = chat.root.locator("[data-act='undo']")
    before = undo.evaluate("one => getComputedStyle(one).backgroundColor")
    undo.hover(force=True)
    assert undo.is_disabled() and undo.evaluate("one => getComputedStyle(one).backgroundColor") == before


def test_code_and_messages_are_copied(open_chat, quick):
    SCRIPT["Code"] = "Look:\n\n```python\nprint('a < b')\n```\n"
    chat = open_chat(quick)
    chat.asked("Code")
    chat.act("copy-code", chat.turn(1))
    chat.copied("print('a < b')\n")
    chat.act("copy", chat.turn(1))
    chat.copied(SCRIPT["Code"])


def test_scrolling_up_lets_go_and_the_end_takes_hold_again(open_chat, slow):
    SCRIPT["Tell me"] = "\n\n".join(f"line {n}" for n in range(1000))
    chat = open_chat(slow, "messages=[{'role': 'user', 'content': 'x\\n' * 60}, {'role': 'assistant', 'content': 'y'}]")
    chat.ask("Tell me")
    chat.turn(3).get_by_text("line 3", exact=True).wait_for()
    at_end = "() => { const l = document.querySelector('.tsn-log'); return l.scrollHeight - l.scrollTop - l.clientHeight < 32 }"
    chat.tab.wait_for_function(at_end)
    chat.log.hover()
    chat.tab.mouse.wheel(0, -300)
    chat.root.locator("xpath=self::*[@data-follow='false']").wait_for()
    before = chat.tab.evaluate("document.querySelector('.tsn-log').scrollTop")
    chat.turn(3).get_by_text("line 9", exact=True).wait_for(state="attached")
    assert abs(chat.tab.evaluate("document.querySelector('.tsn-log').scrollTop") - before) < 2
    chat.act("newest")
    chat.tab.wait_for_function(at_end)
    chat.act("stop")
    chat.turn(3, "stopped")


def test_a_chat_about_a_row_gives_the_code_for_all_rows(open_chat, quick):
    chat = open_chat(quick)
    chat.notebook.run(
        "import pandas as pd\n"
        "df = pd.DataFrame({'text': ['Where is it?', 'Thanks!']})\n"
        f"chat = df.tsn.chat(1, 'Which tone? {{text}}', client=tsn.Client({quick.base_url!r}, model='sim-small'))\nchat"
    )
    chat.ready()
    assert chat.root.locator(".tsn-about").inner_text() == "row 1"
    assert chat.texts() == ["Which tone? Thanks!"]
    SCRIPT["Which tone? Thanks!"] = "kind"
    chat.act("regenerate")  # "Ask": the question has no answer yet
    chat.turn(1, "done")
    assert chat.texts() == ["Which tone? Thanks!", "kind"]
    chat.ready()
    chat.act("apply")
    code = chat.root.locator(".tsn-apply pre")
    code.wait_for()
    assert "df.tsn.complete(" in code.inner_text() and "'Which tone? {text}'" in code.inner_text()
    chat.act("copy-code", chat.root.locator(".tsn-apply"))
    chat.copied(code.text_content())
    chat.act("apply-close")
    assert not code.is_visible()


def test_a_setting_that_is_changed_while_an_answer_comes_waits_for_its_end(open_chat, slow):
    SCRIPT["Tell me"] = LONG
    chat = open_chat(slow)
    chat.act("settings")
    chat.ask("Tell me")
    field = chat.root.locator("[data-field='max_tokens']")
    field.fill("64")
    field.blur()
    assert chat.turn(1).get_attribute("data-status") == "streaming"
    chat.act("stop")
    chat.notebook.wait_until("chat.parameters == {'max_tokens': 64}")
    assert field.input_value() == "64"


# All in one task: what a reader does before the page knows the outcome, with a slow kernel.
AT_ONCE = """(root, acts) => {
  for (const [what, text] of acts) {
    const field = root.querySelector(['ask', 'draft'].includes(what) ? '[aria-label="Message"]' : `[data-field='${what}']`);
    if (what === 'click') root.querySelector(text).click();
    else field.value = text;
    if (what === 'ask') field.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}));
    else field?.dispatchEvent(new Event('change', {bubbles: true}));
  }
}"""


@pytest.mark.parametrize("before", [[], [["max_tokens", "32"]]], ids=["once", "twice"])
def test_a_setting_that_is_changed_before_the_page_hears_of_the_answer_is_kept(open_chat, slow, before):
    """Enter, and at once the setting: where the kernel was slow to say that an answer comes, the setting was refused and gone."""
    chat = open_chat(slow)
    chat.act("settings")
    chat.box.focus()
    chat.root.evaluate(AT_ONCE, [*before, ["ask", "Hi there"], ["max_tokens", "64"]])
    chat.turn(1, "done")
    chat.notebook.wait_until("chat.parameters == {'max_tokens': 64}")
    assert chat.root.locator("[data-field='max_tokens']").input_value() == "64"
    chat.notice.wait_for(state="hidden")


@pytest.mark.parametrize(("draft", "kept"), [([], "two"), ([["draft", "three"]], "two\nthree")], ids=["alone", "with a draft"])
def test_a_question_that_is_sent_before_the_page_hears_of_the_one_before_is_not_lost(open_chat, slow, draft, kept):
    """The first one's coming made the page forget the second, which was refused."""
    SCRIPT["one"] = LONG
    chat = open_chat(slow)
    chat.root.evaluate(AT_ONCE, [["ask", "one"], ["ask", "two"], *draft])
    chat.notice.filter(has_text="on its way").wait_for()
    chat.turn(1).get_by_text("word2").wait_for()
    assert chat.box.input_value() == kept
    chat.act("stop")
    chat.turn(1, "stopped")
    chat.notice.wait_for(state="hidden")
    chat.box.press("Enter")
    chat.turn(3, "done")
    assert chat.text(2) == kept


def test_an_edited_question_that_is_refused_is_not_lost(open_chat, slow):
    SCRIPT["Which way?"] = "That way."
    chat = open_chat(slow)
    chat.asked("Which way?")
    SCRIPT["Which way?"] = LONG
    chat.act("edit", chat.turn(0))
    editor = chat.root.get_by_role("textbox", name="Edit message")
    editor.fill("Which way, and why?")
    chat.root.evaluate(
        AT_ONCE, [["click", "article[data-index='1'] [data-act='regenerate']"], ["click", "[data-act='edit-send']"]]
    )
    chat.notice.filter(has_text="on its way").wait_for()
    assert chat.box.input_value() == "Which way, and why?"
    chat.act("stop")
    chat.turn(1, "stopped")


def test_the_reason_of_a_refusal_stays_until_the_reader_goes_on(open_chat, quick):
    """A later message replaced it at once, so that it could not be read."""
    chat = open_chat(quick)
    chat.notebook.python("chat._page.send('refused', text='A reason'); chat.model = 'sim-large'")
    chat.tab.wait_for_function("() => document.querySelector('.tsn-chat [data-field=model]').value === 'sim-large'")
    assert chat.notice.is_visible() and chat.notice.text_content() == "A reason"
    chat.asked("Hi")
    assert not chat.notice.is_visible()
