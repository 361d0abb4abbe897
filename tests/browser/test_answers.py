"""What an answer looks like and how it is copied: formulas, tables, tasks, footnotes."""

from __future__ import annotations

import re

import pytest
from browser import harness, scripted
from browser.scripted import SCRIPT

from tsn_frames.simulator import Simulator
from tsn_frames.widget.page_widget import page_source

RICH = r"""The mean of $n$ values is \(\bar{x} = \frac{1}{n}\sum_{i=1}^n x_i\), for $5 to $10 a time[^1]:

\[
\begin{aligned}
\sigma^2 &= \frac{1}{n}\sum_{i=1}^n (x_i - \bar{x})^2 \\
- z &= \lim_{x \to 0} \frac{\sin x}{x}, \qquad A = \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}
\end{aligned}
\]

$$\boxed{f(x) = \begin{cases} 1 & x > 0 \\ 0 & \text{else} \end{cases}}$$

- [x] Use H~2~O and x^2^
- [ ] Read https://example.com/a_b.

$$\unknown{x}$$

| """ + " | ".join(f"column {n}" for n in range(30)) + " |\n" + "|---" * 30 + "|\n| " + " | ".join("value" for n in range(30)) + " |\n\n[^1]: In dollars.\n"  # fmt: skip


@pytest.fixture
def rich(open_chat, quick):
    SCRIPT["Rich"] = RICH
    chat = open_chat(quick)
    chat.asked("Rich")
    return chat


def test_formulas_are_drawn_and_what_can_not_be_read_is_its_source(rich):
    body = rich.turn(1).locator(".tsn-body")
    assert body.locator("math").count() == 4
    drawn = "all => all.map(one => [one instanceof MathMLElement, one.getBoundingClientRect().height > 5, one.getBoundingClientRect().width > 5])"
    for name, most in (("math", 4), ("mfrac", 3), ("mtd", 10), ("munder", 1), ("menclose", 1)):
        assert body.locator(name).count() >= most, name
        assert all(map(all, body.locator(f"{name}:not(:empty)").evaluate_all(drawn))), name
    shown = body.inner_text()
    assert "for $5 to $10 a time1" in shown.replace("\n", "") and r"$$\unknown{x}$$" in shown
    assert r"\bar" not in shown and body.locator("annotation").first.is_hidden()
    left, right = (
        box["x"]
        for box in (one.bounding_box() for one in body.locator("mtable mtable, mtable").first.locator("mo:text('=')").all()[:3:2])
    )
    assert abs(left - right) < 3, "the equals signs of two lines stand below each other"
    ends = "all => all.map(cell => { const r = document.createRange(); r.selectNodeContents(cell); return r.getBoundingClientRect().right })"
    first, second = body.locator("mtd[columnalign=right]").evaluate_all(ends)
    assert abs(first - second) < 3, "what stands before them ends there"


def test_a_copied_formula_is_its_source(rich):
    paragraph = rich.turn(1).locator(".tsn-block p").first
    paragraph.evaluate("p => getSelection().selectAllChildren(p)")
    rich.tab.keyboard.press("Control+c")
    rich.copied("The mean of $n$ values is $\\bar{x} = \\frac{1}{n}\\sum_{i=1}^n x_i$, for $5 to $10 a time1:")
    rich.turn(1).locator("math[display=block]").nth(1).evaluate(
        "math => { const s = getSelection(); s.selectAllChildren(math.querySelector('mtd')) }"
    )
    rich.tab.keyboard.press("Control+c")
    rich.copied("$$\\boxed{f(x) = \\begin{cases} 1 & x > 0 \\\\ 0 & \\text{else} \\end{cases}}$$")


def test_a_wide_table_scrolls_in_its_own_frame_also_by_keyboard(rich):
    frame = rich.turn(1).get_by_role("group", name="Table")
    sizes = "one => [one.scrollWidth > one.clientWidth + 100, one.offsetHeight > one.clientHeight, one.scrollLeft]"
    assert frame.evaluate(sizes) == [True, True, 0]
    assert rich.log.evaluate("one => one.scrollWidth <= one.clientWidth + 1")
    frame.focus()
    rich.tab.keyboard.press("ArrowRight")
    rich.tab.wait_for_function("() => document.querySelector('.tsn-chat .tsn-table').scrollLeft > 0")


def test_tasks_footnotes_scripts_and_bare_links_are_shown(rich):
    body = rich.turn(1).locator(".tsn-body")
    assert [text.strip() for text in body.locator("li").all_inner_texts()] == [
        "☑ Use H2O and x2",
        "☐ Read https://example.com/a_b.",
    ]
    assert body.locator("sub, sup").all_inner_texts() == ["1", "2", "2", "1"]
    assert body.get_by_role("link").evaluate_all("all => all.map(a => [a.href, a.target, a.rel])") == [
        ["https://example.com/a_b", "_blank", "noopener noreferrer"]
    ]


@pytest.fixture(scope="module")
def reasoner():
    """A reasoning model that takes its time: seconds until its first token, and again for its thoughts, as a slow page has to see both."""
    with Simulator(latency=6.0, token_rate=3.0, answer=scripted.answer, models=("sim-reasoner",)) as made:
        yield made


def test_thoughts_are_folded_and_a_clock_runs_until_the_answer_begins(open_chat, reasoner):
    SCRIPT["Think"] = "The answer. " * 400
    chat = open_chat(reasoner, "model='sim-reasoner'")
    chat.ask("Think")
    turn = chat.turn(1)
    turn.locator(".tsn-clock").get_by_text(re.compile(r"waiting [1-9]\d* s")).wait_for()
    thoughts, summary = turn.locator("details"), turn.locator("summary")
    summary.get_by_text(re.compile(r"^Thinking [1-9]\d* s$")).wait_for()
    assert turn.locator(".tsn-clock").is_hidden() and not thoughts.locator("div").is_visible()
    summary.get_by_text(re.compile(r"^Thought for [1-9]\d* s$")).wait_for()
    chat.turn(1, "streaming").get_by_text("The answer.").wait_for()
    summary.focus()
    chat.tab.keyboard.press("Enter")
    thoughts.locator("div").wait_for()
    chat.act("stop")
    chat.turn(1, "stopped")
    assert summary.text_content().startswith("Thought for") and turn.locator(".tsn-clock").count() == 0
    assert thoughts.locator("div").text_content() == chat.notebook.value("chat.to_frame()['reasoning'][1]")
    assert thoughts.locator("div").is_visible(), "what a reader opened stays open"


CELLS = "() => jupyterapp.shell.currentWidget.content.model.sharedModel.cells.map(cell => cell.getSource())"


@pytest.mark.parametrize("path_prefix", ["lab/tree", "notebooks"])
def test_code_is_inserted_into_a_cell_below_the_chat(jupyter, context, open_chat, quick, path_prefix):
    SCRIPT["Code"] = "Look:\n\n```python\nx = 1 < 2\nprint(x)\n```\n"
    book = harness.Notebook(jupyter, context, f"insert-{path_prefix[:3]}.ipynb", path_prefix=path_prefix)
    chat = open_chat(quick, book=book)
    book.tab.evaluate(
        "() => jupyterapp.shell.currentWidget.content.model.sharedModel.insertCell(1, {cell_type: 'code', source: 'last'})"
    )
    chat.asked("Code")
    first = book.tab.evaluate(CELLS)[0]
    chat.act("insert-code", chat.turn(1))
    assert book.tab.evaluate(CELLS) == [first, "x = 1 < 2\nprint(x)", "last"]
    chat.root.get_by_role("status").get_by_text("Inserted.").wait_for(state="attached")
    assert book.value("'x' in globals()") is False, "it is not run"
    book.close()


OTHER_HOST = """async (source) => {
  const {default: {render}} = await import(URL.createObjectURL(new Blob([source], {type: 'text/javascript'})));
  const el = document.body.appendChild(document.createElement('div'));
  let receive;
  const model = {get: () => undefined, send: () => {}, on: (_, then) => (receive = then), off: () => {}};
  const close = render({model, el});
  const turn = {index: 0, role: 'assistant', text: 'x', template: null, blocks: ['<pre><code>x = 1</code></pre>'], status: 'done', error: '', facts: ''};
  const state = {busy: false, settings: {}, models: [], totals: '', filled_system: null, about: '', example: '', count: 1};
  receive({type: 'snapshot', seq: 1, turns: [turn], state});
  const seen = ['insert-code', 'copy-code'].map(name => el.querySelector(`[data-act=${name}]`).checkVisibility());
  close();
  el.remove();
  return seen;
}"""


def test_a_host_that_keeps_the_notebook_to_itself_offers_to_copy_only(notebook):
    assert notebook.tab.evaluate(OTHER_HOST, page_source("chat.js")) == [False, True]


CODE = """```python
@wraps  # a comment
class Name(Base):
    def function(self, x: int = 1) -> str:
        return f"text {x!r}" + len('') if None else 0.5  # another
```

```html
<!-- a comment --><a href="x">text</a>
```
"""
CONTRAST = """all => {
  const context = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const light = color => {
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  return all.map(one => {
    const pair = [light(getComputedStyle(one).color), light(getComputedStyle(one.closest('.tsn-chat')).backgroundColor)];
    return [`${one.className} ${one.textContent}`, Math.max(...pair) / Math.min(...pair)];
  });
}"""


@pytest.mark.parametrize("name", ["JupyterLab Light", "JupyterLab Dark"])
def test_each_colour_of_code_can_be_read(open_chat, quick, name):
    SCRIPT["Colours"] = CODE
    chat = open_chat(quick)
    harness.theme(chat.notebook, name)
    chat.asked("Colours")
    found = chat.turn(1).locator("pre span[class]").evaluate_all(CONTRAST)
    harness.theme(chat.notebook, "JupyterLab Light")
    assert len(found) > 30
    assert [one for one, contrast in found if contrast < 4.5] == []


def test_all_scroll_bars_of_a_chat_are_thin(rich):
    parts = rich.root.locator(".tsn-log, .tsn-table, .tsn-models, textarea, math[display=block]")
    assert set(parts.evaluate_all("all => all.map(one => getComputedStyle(one).scrollbarWidth)")) == {"thin"}
    SCRIPT["Code"] = f"```python\n{'x' * 400}\n```"
    rich.asked("Code")
    assert rich.turn(3).locator("pre").evaluate("one => getComputedStyle(one).scrollbarWidth") == "thin"
