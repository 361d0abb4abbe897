"""A chat in its hosts: themes, two views, reloads, saved notebooks, Notebook 7, and use without a mouse or a display."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from browser import harness
from browser.harness import theme
from browser.scripted import SCRIPT
from support.canary import KEY
from support.waiting import wait_until

from tsn_frames.simulator import Faults
from tsn_frames.widget.page_widget import page_source

LONG = " ".join(f"word{n}" for n in range(1500))  # goes on for a minute and a half
RICH = """# A heading

Some *text* with `code`, **bold** and a [link](https://example.com).

> a quote

```python
def f(x):  # a comment
    return "text", 1, None
```

| a | b |
|---|--:|
| 1 | 2 |

1. one
2. two
"""


# Accessibility and looks


@pytest.mark.parametrize("name", ["JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"])
def test_axe_finds_nothing_to_complain_about(open_chat, quick, axe, name):
    SCRIPT["Rich"] = RICH
    chat = open_chat(quick, "system='Be brief.'")
    theme(chat.notebook, name)
    chat.asked("Rich")
    quick.faults = Faults(error_other=1.0, other_status=400)
    chat.asked("Fail")
    chat.act("settings")
    chat.act("clear")
    chat.act("edit", chat.turn(2))
    chat.notebook.python("chat._page.send('refused', text='A reason')")
    chat.notice.wait_for()
    chat.root.get_by_role("combobox").focus()
    chat.root.get_by_role("option").first.wait_for()
    chat.tab.evaluate(axe)
    found = chat.tab.evaluate("async () => (await axe.run('.tsn-chat')).violations")
    violations = [
        f"{one['id']}: {node['html'][:120]} {node.get('failureSummary', '')[:200]}" for one in found for node in one["nodes"]
    ]
    theme(chat.notebook, "JupyterLab Light")
    assert violations == []


CHANGED = """(root, rules) => {
  const looks = () => [root, ...root.querySelectorAll('*')].map(one => {
    const style = getComputedStyle(one);
    return `${one.tagName} ${one.className}: ${[...style].map(name => `${name}: ${style.getPropertyValue(name)}`).join('; ')}`;
  });
  const before = looks();
  const added = document.head.appendChild(Object.assign(document.createElement('style'), {textContent: rules}));
  const after = looks();
  added.remove();
  return before.length > 20 ? before.filter((look, i) => look !== after[i]) : ['nothing is shown'];
}"""


def test_a_chat_and_a_review_in_one_notebook_keep_their_looks(open_chat, show_review, quick):
    chat = open_chat(quick)
    chat.asked("What is it?")
    chat.act("settings")
    chat.box.focus()
    assert chat.root.evaluate(CHANGED, page_source("review/review.css")) == []
    page = show_review().press("f", "/")
    assert page.root.evaluate(CHANGED, page_source("chat.css")) == []


def test_the_theme_of_the_host_is_followed_at_once(open_chat, quick):
    chat = open_chat(quick)
    look = "() => { const s = getComputedStyle(document.querySelector('.tsn-chat')); return [s.backgroundColor, s.color, s.colorScheme] }"
    light = chat.tab.evaluate(look)
    theme(chat.notebook, "JupyterLab Dark")
    dark = chat.tab.evaluate(look)
    theme(chat.notebook, "JupyterLab Light")
    assert chat.tab.evaluate(look) == light
    assert (light[2], dark[2]) == ("light", "dark")
    brightness = [sum(int(part) for part in color[4:-1].split(",")) for color in (light[0], light[1], dark[0], dark[1])]
    assert brightness[0] > 600 and brightness[1] < 200 and brightness[2] < 200 and brightness[3] > 600


def test_nothing_moves_for_those_who_asked_for_that(open_chat, slow):
    chat = open_chat(slow)
    chat.tab.emulate_media(reduced_motion="reduce")
    running = "() => document.querySelector('.tsn-chat').getAnimations({subtree: true}).length"
    chat.ask("Hi")
    assert chat.tab.evaluate(running) == 0
    chat.turn(1, "done")
    chat.tab.emulate_media(reduced_motion="no-preference")


def test_all_controls_are_reached_by_tab_in_the_order_of_the_page(open_chat, quick):
    SCRIPT["Code"] = "```python\n1\n```"
    chat = open_chat(quick)
    chat.asked("Code")
    chat.root.get_by_label("Model").focus()
    seen = []
    name = """() => { const e = document.activeElement;
        return e.closest('.tsn-chat') ? (e.dataset.act || e.dataset.field || e.getAttribute('aria-label') || e.tagName) : '' }"""
    for _ in range(20):
        seen.append(chat.tab.evaluate(name))
        chat.tab.keyboard.press("Tab")
        if not chat.tab.evaluate(name):
            break
    assert seen == [
        "model", "undo", "clear", "settings", "Conversation", "copy", "edit", "insert-code", "copy-code", "PRE", "copy", "regenerate", "Message", "send",
    ]  # fmt: skip


def test_news_of_the_chat_leaves_the_focus_where_it_is(open_chat, quick):
    """With the focus on Send the list of models, or a setting made in a cell, threw it back into the message."""
    chat = open_chat(quick)
    send = chat.root.locator("[data-act='send']")
    send.focus()
    chat.notebook.python("chat.model = 'sim-large'")
    chat.tab.wait_for_function("() => document.querySelector('.tsn-chat [data-field=model]').value === 'sim-large'")
    assert send.evaluate("button => button === document.activeElement")


def test_changes_are_announced_to_screen_readers(open_chat, slow):
    chat = open_chat(slow)
    live = chat.root.get_by_role("status")
    SCRIPT["Hi"] = LONG
    chat.ask("Hi")
    assert chat.turn(1).get_attribute("aria-busy") == "true"
    chat.act("stop")
    chat.turn(1, "stopped")
    assert chat.turn(1).get_attribute("aria-busy") == "false"
    live.get_by_text("The answer was stopped.").wait_for(state="attached")
    SCRIPT["Hi"] = "Hello"
    chat.act("regenerate", chat.turn(1))
    chat.turn(1, "done")
    assert chat.turn(1).get_attribute("aria-busy") == "false"
    live.get_by_text("The answer is complete.").wait_for(state="attached")
    assert chat.log.get_attribute("aria-label") == "Conversation"


def test_an_answer_that_ends_before_the_page_knows_of_its_start_is_announced_too(open_chat, quick):
    chat = open_chat(quick)
    chat.notebook.python("import threading; go = threading.Event(); chat._page.later(go.wait, 60)")
    chat.type("Hi").box.press("Enter")
    chat.notebook.wait_until("len(chat.messages) == 2")
    chat.notebook.python("go.set()")
    chat.turn(1, "done")
    chat.root.get_by_role("status").get_by_text("The answer is complete.").wait_for(state="attached")


def test_a_narrow_page_has_no_sideways_scrolling(open_chat, quick):
    SCRIPT["Rich"] = RICH + "\n" + "x" * 400 + "\n\n| " + " | ".join("column" for _ in range(30)) + " |\n" + "|---" * 30 + "|\n"
    chat = open_chat(quick)
    chat.root.evaluate("root => (root.parentElement.style.width = '260px')")
    chat.asked("Rich")
    chat.act("settings")
    too_wide = "() => [...document.querySelectorAll('.tsn-chat, .tsn-log, .tsn-settings')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert chat.tab.evaluate(too_wide) == 0


def test_a_narrow_page_leaves_its_width_to_the_question(open_chat, quick):
    chat = open_chat(quick)
    chat.root.evaluate("root => (root.parentElement.style.width = '260px')")
    chat.asked("a question of some more words than one line can have here")
    chat.asked("another one")
    assert chat.turn(0).locator(".tsn-body").bounding_box()["width"] > 190


def test_arabic_and_hebrew_begin_at_the_right_and_code_at_the_left(open_chat, quick):
    SCRIPT["שלום"] = "مرحبا بك.\n\n- بند\n\nEnglish.\n\n> اقتباس\n\n```python\n# تعليق\nx = 1\n```\n"
    chat = open_chat(quick)
    chat.asked("שלום")
    direction = "all => all.map(one => getComputedStyle(one).direction)"
    assert chat.root.locator("article .tsn-block > *").evaluate_all(direction) == ["rtl", "rtl", "ltr", "rtl", "ltr"]
    assert chat.turn(0).locator(".tsn-body").evaluate("one => getComputedStyle(one).direction") == "rtl"
    dot = chat.turn(1).locator("li")
    assert dot.evaluate("one => getComputedStyle(one.parentElement).paddingRight") != "0px"


def test_a_message_of_another_role_says_whose_it_is(open_chat, quick):
    said = "[{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': None, 'tool_calls': [{'id': '1'}]}, {'role': 'tool', 'content': '42', 'tool_call_id': '1'}]"
    chat = open_chat(quick, f"messages={said}")
    assert chat.turn(2).locator(".tsn-role").inner_text() == "Tool"
    assert chat.text(1) == "[tool_calls]"


def test_an_edit_announces_its_effect(open_chat, quick):
    chat = open_chat(quick)
    chat.asked("one")
    chat.act("edit", chat.turn(0))
    assert chat.turn(0).get_by_text("In place of this message and of all that follows it.").is_visible()


def test_a_long_system_prompt_is_seen_whole(open_chat, quick):
    chat = open_chat(quick, "system='one line\\n' * 8")
    chat.act("settings")
    hidden = "one => one.scrollHeight - one.clientHeight"
    assert chat.root.locator("[data-field='system']").evaluate(hidden) <= 1


# Views, reloads and kernels


def test_a_second_view_shows_the_same_and_stops_the_same(open_chat, slow):
    SCRIPT["Tell me"] = LONG
    first = open_chat(slow, before="from IPython.display import display")
    first.ask("Tell me")
    first.turn(1).get_by_text("word2").wait_for()
    first.notebook.run("display(chat); display(chat)")
    one, two = harness.ChatPage(first.notebook, 0), harness.ChatPage(first.notebook, 1)
    for view in (one, two):
        view.turn(1, "streaming").get_by_text("word2").wait_for()
    one.type("a draft")
    two.act("stop")
    one.turn(1, "stopped")
    two.turn(1, "stopped")
    assert one.texts() == two.texts()
    assert (one.box.input_value(), two.box.input_value()) == ("a draft", "")


def test_a_page_that_missed_something_asks_for_all(open_chat, quick):
    SCRIPT.update(one="1", two="2")
    chat = open_chat(quick)
    chat.asked("one")
    chat.notebook.python(
        "kept = chat._page._send; chat._page._send = lambda message: None; chat.send('two'); chat._page.later(setattr, chat._page, '_send', kept)"
    )
    assert chat.root.locator("article").count() == 2
    chat.notebook.python("chat.system = 'x'")
    chat.turn(3, "done")
    assert chat.texts() == ["one", "1", "two", "2"]


def test_a_reloaded_page_goes_on_with_the_answer(notebook, open_chat, slow):
    from playwright.sync_api import TimeoutError as NotShown

    SCRIPT["Tell me"] = told = " ".join([LONG] * 10)  # it outlasts the start of JupyterLab on a busy machine
    book = notebook
    chat = open_chat(slow)
    chat.ask("Tell me")
    chat.turn(1).get_by_text("word2").wait_for()
    book.command("docmanager:save")
    book.tab.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")
    again = harness.ChatPage(book)
    shown = again.root.locator("article[data-index='1'][data-status='streaming']").get_by_text("word2")
    for _ in range(4):  # now and then JupyterLab shows its outputs before it knows the kernel's widgets: a person reloads again
        book.open("")
        with suppress(NotShown):
            shown.wait_for(timeout=60_000)
            break
    book.forget()  # the host may complain of what it had asked for, or ask whether to leave, as the answer goes on
    again.turn(1, "streaming")
    before = len(again.text(1))
    again.tab.wait_for_function("n => document.querySelector('article[data-index=\"1\"]').innerText.length > n + 30", arg=before)
    again.act("stop")
    again.turn(1, "stopped")
    assert told.startswith(again.text(1))


SUBSHELL = """async () => {
  const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const {content: {subshell_id}} = await kernel.requestCreateSubshell({}).done;
  kernel.subshellId = subshell_id;
  await kernel.requestExecute({code: 'None'}).done;
  kernel.subshellId = null;
  await kernel.requestDeleteSubshell({subshell_id}).done;
}"""


def test_the_page_is_heard_after_a_thread_of_the_kernel_is_gone(open_chat, slow):
    """As after a reload: JupyterLab restores its widgets by a subshell and deletes that; what came last was by it."""
    SCRIPT["Tell me"] = LONG
    chat = open_chat(slow)
    chat.ask("Tell me")
    chat.turn(1).get_by_text("word2").wait_for()
    chat.tab.evaluate(SUBSHELL)
    before = len(chat.text(1))
    chat.tab.wait_for_function("n => document.querySelector('article[data-index=\"1\"]').innerText.length > n + 30", arg=before)
    chat.act("stop")
    chat.turn(1, "stopped")
    wait_until(lambda: slow.stats().disconnects == 1)


def test_a_dead_kernel_is_reported_and_the_text_is_not_lost(jupyter, context, shared, open_chat, quick):
    book = harness.Notebook(jupyter, context, "gone.ipynb", beside=shared)
    chat = open_chat(quick, book=book)
    chat.asked("one")
    book.tab.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    chat.type("two").box.press("Enter")
    chat.root.get_by_label("Model").focus()  # its list is asked for without waiting: the wait for the question goes on
    chat.notice.get_by_text("kernel").wait_for()
    assert chat.box.input_value() == "two"
    assert chat.texts()[0] == "one"
    book.close()
    shared.forget()  # the host may complain of what it had sent when its kernel went


def test_after_a_restart_of_the_kernel_the_page_gives_code_that_goes_on(jupyter, context, shared, open_chat, quick):
    SCRIPT["one"] = 'An "answer" of\n\\lines\\ and ☑ 😀'
    book = harness.Notebook(jupyter, context, "resumed.ipynb", beside=shared)
    chat = open_chat(quick, "system='Be brief.'", book=book)
    chat.asked("one")
    said = chat.notebook.value("chat.messages")
    book.tab.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    chat.type("two").box.press("Enter")
    chat.act("resume")
    chat.tab.wait_for_function("async () => (await navigator.clipboard.readText()).includes('tsn.Chat(messages=')")
    code = chat.tab.evaluate("navigator.clipboard.readText()")
    book.run(
        f"import tsn_frames as tsn\ntsn.set_client(tsn.Client({quick.base_url!r}, model='sim-small', api_key={KEY!r}))\n{code}"
    )
    again = harness.ChatPage(book).ready()
    assert book.value("chat.messages") == said and again.texts()[0] == "one"
    assert not again.root.locator("[data-act='resume']").is_visible()
    again.asked("two")
    book.close()
    shared.forget()  # the host may complain of what it had sent when its kernel went


def reopened(jupyter, context, book):
    """Save, close with the kernel, and open again, with a kernel that knows nothing."""
    book.command("docmanager:save")
    book.tab.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")
    book.close()
    return harness.Notebook(jupyter, context, book.name, sources=None, beside=book.beside)


ATTACK = '<img src=x onerror="window.fired = 1"> **bold** <script>window.fired = 1</script>'


def test_a_saved_notebook_can_be_read_without_its_kernel(jupyter, context, shared, open_chat, quick):
    SCRIPT["What is it?"] = ATTACK
    book = harness.Notebook(jupyter, context, "saved.ipynb", beside=shared)
    chat = open_chat(quick, book=book)
    chat.asked("What is it?")
    book.wait_until("'What is it' in str(chat._saved.bundle())")
    transcript = book.tab.locator(f"{harness.SHOWN} .tsn-saved")
    transcript.get_by_text("window.fired").first.wait_for(state="attached")
    assert not transcript.first.is_visible()  # the live view is better
    with shared.tab.expect_console_message(lambda message: message.type == "error"):  # the host does not find the widget
        again = reopened(jupyter, context, book)
    read = again.tab.locator(f"{harness.SHOWN} .tsn-saved")
    read.wait_for()
    assert "What is it?" in read.text_content() and ATTACK in read.text_content()
    assert read.locator("img, script, strong").count() == 0
    assert again.tab.evaluate("window.fired") is None
    again.close()
    shared.forget()
    saved = json.loads((jupyter.root / "saved.ipynb").read_text())
    assert all("text/markdown" not in out.get("data", {}) for cell in saved["cells"] for out in cell["outputs"])


def test_a_notebook_saved_with_widget_state_shows_the_chat_and_no_key(jupyter, context, shared, quick):
    SCRIPT["What is it?"] = ATTACK
    book = harness.Notebook(jupyter, context, "state.ipynb", beside=shared)
    book.command("@jupyter-widgets/jupyterlab-manager:saveWidgetState")
    book.python(f"import os; os.environ['TSN_API_KEY'] = {KEY!r}")
    book.run(f"import tsn_frames as tsn\nchat = tsn.Chat(tsn.Client({quick.base_url!r}, model='sim-small'))\nchat")
    chat = harness.ChatPage(book).ready()
    chat.asked("What is it?")
    assert quick.log[-1].key_sent
    assert KEY not in book.tab.evaluate("document.querySelector('.tsn-chat').outerHTML")
    book.tab.locator(f"{harness.SHOWN} .tsn-saved").get_by_text("What is it?").first.wait_for(state="attached")
    again = reopened(jupyter, context, book)
    text = (jupyter.root / "state.ipynb").read_text()
    assert "_messages" in text and "What is it?" in text and KEY not in text
    page = harness.ChatPage(again)
    page.status("offline")
    assert page.texts() == ["What is it?", ATTACK]
    assert again.tab.evaluate("window.fired") is None
    again.command("@jupyter-widgets/jupyterlab-manager:saveWidgetState")
    again.close()
    shared.forget()


def test_notebook_7_shows_sends_streams_and_stops(jupyter, context, open_chat, slow):
    SCRIPT["Tell me"] = LONG
    book = harness.Notebook(jupyter, context, "seven.ipynb", path_prefix="notebooks")
    book.forget()
    chat = open_chat(slow, book=book)
    chat.box.press_sequentially("Tell me")
    chat.box.press("Enter")
    chat.turn(1, "streaming").get_by_text("word2").wait_for()
    chat.box.press("Escape")
    chat.turn(1, "stopped")
    chat.ready()
    wait_until(lambda: slow.stats().disconnects == 1)
    assert chat.notebook.value("len(chat.messages)") == 2
    for control in (chat.root.locator("[data-act='settings']"), chat.log):  # twice d cuts a cell
        control.focus()
        chat.tab.keyboard.press("d")
        chat.tab.keyboard.press("d")
    chat.asked("Still here")
    assert book.odd(("blob:", "data:")) == []
    book.close()
