"""Hostile text in a real page: nothing fires, nothing remote is asked for, no key is anywhere, no key press leaks out."""

from __future__ import annotations

import pytest
from browser.harness import ChatPage
from browser.scripted import SCRIPT

FAR = "http://192.0.2.1"  # an address that no host has
HOSTILE = [
    "<script>window.fired = 1</script>",
    '<img src=x onerror="window.fired = 1">',
    f'<img src="{FAR}/a.png">',
    f"![pixel]({FAR}/b.png)",
    f"![pixel][p]\n\n[p]: {FAR}/c.png",
    '<svg onload="window.fired = 1"><circle r=1 /></svg>',
    '<details open ontoggle="window.fired = 1">x</details>',
    '<iframe srcdoc="<script>parent.fired = 1</script>"></iframe>',
    f'<iframe src="{FAR}/d"></iframe>',
    '<a href="javascript:window.fired = 1">click me</a>',
    "[click me](javascript:window.fired=1)",
    "[click me](JaVaScRiPt:window.fired=1)",
    "[click me](data:text/html,<script>window.fired=1</script>)",
    "[click me](vbscript:x)",
    "<javascript:window.fired=1>",
    f'<link rel=stylesheet href="{FAR}/e.css"><style>@import "{FAR}/f.css"; body {{display: none}}</style>',
    f'<div style="position:fixed;inset:0;background:url({FAR}/g.png)">cover</div>',
    f'<form action="{FAR}/h"><input name=q autofocus onfocus="window.fired = 1"><button>go</button></form>',
    f'<meta http-equiv=refresh content="0;url={FAR}/i"><base href="{FAR}/">',
    f'<video src="{FAR}/j" autoplay onerror="window.fired = 1"></video><audio src="{FAR}/k" autoplay></audio>',
    f'<object data="{FAR}/l"></object><embed src="{FAR}/m">',
    '<math><mtext><table><mglyph><style><img src=x onerror="window.fired = 1">',
    '<noscript><p title="</noscript><img src=x onerror=window.fired=1>">',
    '```html"><img src=x onerror=window.fired=1>\n<script>window.fired = 1</script>\n```',
    "`<img src=x onerror=window.fired=1>`",
    "| a |\n|---|\n| <img src=x onerror=window.fired=1> |",
    '<p id="tsn" name="body" class="tsn-do-clear-yes jp-mod-x">x</p>',
    '<x onclick="window.fired = 1" tabindex=1 autofocus onfocus="window.fired = 1">x</x>',
    'a" onmouseover="window.fired=1" b=\'',
    "</div></section><script>window.fired = 1</script>",
    "<!--<img src=x onerror=window.fired=1>-->",
    "<![CDATA[<script>window.fired=1</script>]]>",
    "&lt;script&gt;window.fired=1&lt;/script&gt;",
    f'<a href="https://example.com" ping="{FAR}/n" target=_self>link</a>',
    "[link](https://example.com \"' onclick='window.fired=1\")",
    f'<template><img src="{FAR}/o"></template><portal src="{FAR}/p"></portal>',
    r"$\href{javascript:window.fired=1}{click\ me}$",
    r"\(\text{<img src=x onerror=window.fired=1>}\)",
    rf"$$\style{{background:url({FAR}/q.png)}}{{x}}$$",
    r"$$\class{tsn-do-clear-yes}{x}\cssId{jp-x}{y}$$",
    "javascript://x.y/%0awindow.fired=1",
]
ALL = "\n\n".join(HOSTILE)
LOOK = """() => {
  const bad = [], chat = document.querySelector('.tsn-chat');
  const within = [...chat.querySelectorAll('.tsn-body, .tsn-error, .tsn-notice, .tsn-about, .tsn-apply, .tsn-totals, .tsn-models')];
  for (const one of within.flatMap(part => [...part.querySelectorAll('*')])) {
    if (/^(script|img|svg|iframe|object|embed|form|input|style|link|meta|base|video|audio|template|details|maction|annotation-xml)$/i.test(one.tagName)) bad.push(one.outerHTML);
    for (const {name, value} of one.attributes) {
      const ours = name === 'id' && one.matches('.tsn-models > li');
      if (!ours && /^(on|style$|id$|name$|src|ping|autofocus|action)/i.test(name)) bad.push(name + '=' + value);
      if (name === 'href' && !/^https?:/.test(value)) bad.push(value);
      if (name === 'class' && /tsn-do-(?!copy|insert-code)|jp-/.test(value)) bad.push(value);
    }
    if (one.tagName === 'A' && (one.target !== '_blank' || !one.rel.includes('noopener'))) bad.push(one.outerHTML);
  }
  return window.fired ? ['it fired', ...bad] : bad;
}"""


@pytest.fixture(params=["with setHTML", "without setHTML"])
def page(request, shared):
    """The shared notebook, in a browser with Element.setHTML and in one without."""
    shared.forget()
    newer = "true" if request.param == "with setHTML" else "false"
    shared.tab.evaluate(f"""() => {{
        window.fired = undefined;
        window.setHTML ??= Element.prototype.setHTML;
        Element.prototype.setHTML = {newer} ? window.setHTML : undefined;
    }}""")
    yield shared
    shared.tab.evaluate("() => { Element.prototype.setHTML = window.setHTML; window.fired = undefined }")
    shared.python("chat.close() if 'chat' in globals() else None")


def harmless(page, chat):
    """Nothing fired, nothing foreign is in the page, and no host but the server was asked, also when links are clicked."""
    for link in chat.root.locator(".tsn-body a:not([href^=http]), .tsn-body x").all():
        link.click(force=True)
    chat.tab.wait_for_timeout(100)  # what would fire late has had its time
    found = chat.tab.evaluate(LOOK)
    strange = [url for url in page.requested if not url.startswith((page.jupyter.address, "blob:", "data:"))]
    return found, strange, page.dialogs


CLEAN = ([], [], [])


def test_hostile_answers_stay_text(page, open_chat, quick):
    SCRIPT["Attack"] = ALL
    chat = open_chat(quick, book=page)
    chat.asked("Attack")
    assert harmless(page, chat) == CLEAN
    assert "window.fired = 1" in chat.text(1)


def test_hostile_answers_stay_text_while_they_grow(page, open_chat, slow):
    SCRIPT["Attack"] = "\n\n".join([*HOSTILE[:12], *(["and on it goes"] * 1000)])
    chat = open_chat(slow, book=page)
    chat.ask("Attack")
    chat.turn(1).get_by_text("ontoggle").wait_for()
    assert harmless(page, chat) == CLEAN
    chat.act("stop")
    chat.turn(1, "stopped")


def test_hostile_questions_prompts_and_models_stay_text(page, open_chat, quick):
    chat = open_chat(quick, f"system={ALL!r}, messages=[{{'role': 'assistant', 'content': {ALL!r}}}]", book=page)
    chat.type(ALL).box.press("Enter")
    chat.turn(2, "done")
    chat.ready()
    chat.act("edit", chat.turn(1))
    model = chat.root.get_by_label("Model")
    model.focus()
    chat.root.locator(".tsn-models[data-count='3']").wait_for(
        state="attached"
    )  # the server's list would come over the hostile one
    model.fill(HOSTILE[1])
    model.blur()
    page.wait_until("chat.model.startswith('<img')")
    page.python(f"chat._page.models = {HOSTILE!r}; chat._page.on_change()")
    chat.root.locator(f".tsn-models[data-count='{len(HOSTILE)}']").wait_for(state="attached")
    model.focus()
    assert chat.root.get_by_role("option").count() == len(HOSTILE)
    assert harmless(page, chat) == CLEAN


def test_hostile_rows_and_templates_stay_text(page, quick):
    page.run(
        "import tsn_frames as tsn, pandas as pd\n"
        f"df = pd.DataFrame({{'text': [{ALL!r}], {HOSTILE[1]!r}: [{HOSTILE[0]!r}]}})\n"
        f"chat = df.tsn.chat(0, 'Kind? {{text}}', system='{{text}}', name={HOSTILE[1]!r}, client=tsn.Client({quick.base_url!r}, model='m'))\n"
        f"chat.messages = [*chat.messages, {{'role': 'user', 'content': {ALL!r}}}]\nchat"
    )
    chat = ChatPage(page).ready()
    chat.turn(0).hover()
    chat.act("template", chat.turn(0))
    chat.act("settings")
    chat.root.get_by_text("As it is sent").click()
    chat.act("apply")
    chat.root.locator(".tsn-apply pre").wait_for()
    chat.root.get_by_label("Question for every row").select_option(index=1)
    chat.root.locator(".tsn-warning").filter(has_text="row 0").first.wait_for()
    found, strange, dialogs = harmless(page, chat)
    assert (set(found), strange, dialogs) == ({"tsn-button tsn-do-apply-close"}, [], [])


def test_hostile_errors_stay_text(page, open_chat, quick):
    chat = open_chat(quick, f"model={HOSTILE[1]!r}", book=page)
    chat.asked("Hi")
    chat.turn(1, "error")
    assert "<img src=x" in chat.turn(1).locator(".tsn-error").text_content()
    page.python(f"chat._page.send('refused', text={ALL!r})")
    chat.notice.wait_for()
    assert harmless(page, chat) == CLEAN


def test_a_sanitiser_that_lets_everything_pass_would_be_seen(page, open_chat, quick):
    """The checks above are worth something: with a pass-through in Python they find what they look for."""
    SCRIPT["Attack"] = f'<img src=x onerror="window.fired = 1"><img src="{FAR}/a.png">'
    before = """
import tsn_frames.widget.page_sync as wire
class PassThrough(wire.IncrementalMarkdown):
    def grow(self, text):
        self.blocks = [text]
        return [(0, text)]
kept, wire.IncrementalMarkdown = wire.IncrementalMarkdown, PassThrough
"""
    chat = open_chat(quick, before=before, book=page)
    chat.asked("Attack")
    modern = chat.tab.evaluate("typeof Element.prototype.setHTML === 'function'")
    if not modern:
        chat.tab.wait_for_function("() => window.fired")
    found, strange, _dialogs = harmless(page, chat)
    page.python("wire.IncrementalMarkdown = kept")
    if modern:  # the browser's own allow-list stands behind Python's; only addresses and targets of links are Python's alone
        assert "it fired" not in found and strange == []
    else:
        assert "it fired" in found and any(url.startswith(FAR) for url in strange)
    page.forget()  # that was the purpose


KEYS = [
    "d",
    "d",
    "a",
    "b",
    "m",
    "x",
    "Shift+Enter",
    "Control+Enter",
    "Alt+Enter",
    "j",
    "k",
    "Enter",
    "0",
    "0",
    "i",
    "i",
    "Control+z",
]


@pytest.mark.parametrize("place", ["box", "button", "log", "edit", "system"])
def test_no_key_press_acts_on_the_notebook(open_chat, quick, place):
    chat = open_chat(quick, "messages=[{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': 'a'}]")
    book = "() => JSON.stringify(jupyterapp.shell.currentWidget.content.model.sharedModel.cells.map(c => [c.cell_type, c.getSource()]))"
    count = "() => jupyterapp.shell.currentWidget.content.widgets[0].model.executionCount"
    if place == "system":
        chat.act("settings")
    if place == "edit":
        chat.act("edit", chat.turn(0))
    target = {
        "box": chat.box,
        "button": chat.root.locator("[data-act='undo']"),
        "log": chat.log,
        "edit": chat.root.locator(".tsn-editor .tsn-input"),
        "system": chat.root.locator("[data-field='system']"),
    }[place]
    before = chat.tab.evaluate(book), chat.tab.evaluate(count)
    target.focus()
    for key in KEYS:
        if place == "button" and key.endswith("Enter"):
            continue  # that presses the button
        chat.tab.keyboard.press(key)
    chat.ready()
    assert (chat.tab.evaluate(book), chat.tab.evaluate(count)) == before


def test_saving_still_works_from_within(open_chat, quick):
    chat = open_chat(quick)
    chat.box.focus()
    chat.tab.wait_for_function("() => jupyterapp.shell.currentWidget.context.model.dirty")
    chat.tab.keyboard.press("Control+s")
    chat.tab.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")
