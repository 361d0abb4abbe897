"""Every notebook of the repository, run whole in JupyterLab and Notebook 7: each widget is displayed as high as its content."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browser import harness
from browser.conftest import GOOD_URLS
from browser.scripted import SCRIPT

NOTEBOOKS = sorted(Path(harness.PACKAGE, "notebooks").glob("*.ipynb"))
RUN_ALL = """async () => {
  await jupyterapp.commands.execute('notebook:run-all-cells');
  const cells = jupyterapp.shell.currentWidget.content.widgets.filter(cell => cell.model.type === 'code');
  return cells.flatMap(cell => cell.model.outputs.toJSON()).filter(out => out.output_type === 'error').map(out => `${out.ename}: ${out.evalue}`);
}"""
# Scroll to each output that is a widget; return its text where it is an error, and each box of it that is too small for its text.
SMALL = """async () => {
  const found = [], book = jupyterapp.shell.currentWidget.content;
  for (const [i, cell] of book.widgets.entries()) {
    if (cell.model.type !== 'code') continue;
    await book.scrollToItem(i, 'center');
    for (const [j, out] of cell.model.outputs.toJSON().entries()) {
      if (!out.data?.['application/vnd.jupyter.widget-view+json']) continue;
      const view = cell.outputArea.widgets[j].node, end = performance.now() + 180000;
      const ready = () => view.querySelector('.tsn-chat[data-status=ready], .tsnr:is([data-status=ready], [data-status=done]), .jupyter-widgets:not(:has(.tsn-chat, .tsnr))');
      while (!ready() && performance.now() < end) await new Promise(requestAnimationFrame);
      await new Promise(requestAnimationFrame);
      await new Promise(requestAnimationFrame);
      if (!ready()) found.push(`output ${j} of cell ${i} shows: ${view.textContent}`);
      for (const part of [view, ...view.querySelectorAll('textarea, input, button, .tsn-log')]) {
        if (part !== view && !part.checkVisibility()) continue;
        const most = part.matches('textarea') ? part.scrollHeight - part.clientHeight : 0;
        const {height} = part.getBoundingClientRect();
        if (height < 18 || most > 1) found.push(`${part.tagName} ${part.className} of cell ${i} is ${height} px high, ${most} too few`);
      }
    }
  }
  return found;
}"""


@pytest.mark.parametrize("path_prefix", ["lab/tree", "notebooks"])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_runs_whole_and_each_widget_is_displayed_whole(jupyter, context, path, path_prefix):
    saved = json.loads(path.read_text(encoding="utf-8"))
    for cell in saved["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    name = f"{path_prefix.split('/')[0]}-{path.name}"
    (jupyter.root / name).write_text(json.dumps(saved), encoding="utf-8")
    book = harness.Notebook(jupyter, context, name, path_prefix=path_prefix, sources=None)
    book.forget()
    assert book.tab.evaluate(RUN_ALL) == []
    assert book.tab.evaluate(SMALL) == []
    assert book.odd(GOOD_URLS) == []
    book.close()


def test_a_second_view_of_a_chat_with_messages_has_a_whole_box_also_where_it_is_hidden_at_first(open_chat, quick):
    SCRIPT["Hi"] = "Hello"
    chat = open_chat(quick, "system='Be brief.'", before="from IPython.display import display")
    chat.asked("Hi")
    chat.notebook.run("import ipywidgets\ntabs = ipywidgets.Tab([ipywidgets.Label('first'), chat])\ndisplay(chat, tabs)")
    for place in range(2):
        view = harness.ChatPage(chat.notebook, place).ready()
        chat.tab.wait_for_function("box => box.clientHeight >= 30", arg=view.box.element_handle())
        chat.notebook.python("tabs.selected_index = 1")
