"""Takes the pictures of the docs: ``python tests/browser/pictures.py [chat | review]``. The answers in them are written here."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
COUNT = """Group by the column and take the size. With `as_index=False` you get a frame back, which is easy to plot:

```python
counts = (
    df.groupby("topic", as_index=False)
      .size()
      .sort_values("size", ascending=False)  # the most frequent first
)
counts.plot.barh(x="topic", y="size", legend=False)
```

1. `value_counts()` is shorter, and gives a **Series**.
2. Missing topics are *left out*; `dropna=False` keeps them.
"""
SHARE = """Divide by the sum:

```python
counts["share"] = 100 * counts["size"] / counts["size"].sum()
```

| topic | size | share |
|:--|--:|--:|
| delivery | 61 | 38 % |
| billing | 54 | 34 % |
| other | 45 | 28 % |
"""
ERROR = r"""The standard error of a share \(p\) among \(n\) rows is

\[
\mathrm{SE}(p) = \sqrt{\frac{p\,(1 - p)}{n}}
\]

With $p = 0.38$ and $n = 160$:

$$
\begin{aligned}
\mathrm{SE} &= \sqrt{\frac{0.38 \cdot 0.62}{160}} \approx 0.038 \\
p \pm 1.96\,\mathrm{SE} &= [0.30,\ 0.46]
\end{aligned}
$$

To halve it you need four times the rows: at \$0.002 a row, $1.28 and not $0.32.
"""
REPLY = """Hello Ms Okafor,

I am sorry that the kettle leaks. A new one goes out to you **today**, and the label for the return is in this mail.

Kind regards,
the Nova team"""
ROWS = """df = pd.DataFrame({"customer": ["Ms Okafor", "Mr Lindt"], "text": ["The kettle leaks.", "Where is my parcel?"]})
df.tsn.chat(0, "Write a kind reply to {customer}: {text}", name="reply")"""
CHAT = """import tsn_frames as tsn

tsn.Chat(system="You help an analyst with pandas.")"""
QUESTIONS = {
    "How do I count the messages of each topic, and plot them?": COUNT,
    "And in percent?": SHARE,
    "How exact is the share of delivery?": ERROR,
    "Write a kind reply to Ms Okafor: The kettle leaks.": REPLY,
}


def whole(chat):
    """Let the chat be as high as its messages."""
    chat.log.evaluate("log => (log.style.maxHeight = 'none')")


def cell(book, name):
    """Take the picture of the cell and its output, as wide as a reader has it."""
    book.tab.wait_for_timeout(300)
    book.tab.locator(".jp-Notebook-cell").first.screenshot(path=IMAGES / name)
    size = (IMAGES / name).stat().st_size
    print(f"{name}: {size:,} bytes")
    assert size < 150_000


REVIEW = """df = tsn.sample_messages().query("channel == 'email' and topic != ''")
TOPICS = {"delivery": "where a parcel is", "returns": "sending goods back", "billing": "refunds",
          "account": None, "product question": None, "complaint": None, "praise": None}
df.tsn.review("text", TOPICS, other="other")"""
AUDIT = """out = df.assign(said=df["topic"], said_agreement=0.6)
out.tsn.review("text", TOPICS, other="other", show="said")"""


def chat_pictures(book, page):
    book.run(CHAT)
    chat = page(book).ready()
    for question in list(QUESTIONS)[:2]:
        chat.asked(question)
    chat.box.evaluate("box => box.blur()")
    whole(chat)
    cell(book, "chat.png")
    book.run(CHAT)
    chat = page(book).ready()
    chat.asked("How exact is the share of delivery?")
    chat.box.evaluate("box => box.blur()")
    cell(book, "chat-maths.png")
    book.run(CHAT)
    chat = page(book).ready()
    for question in list(QUESTIONS)[:2]:
        chat.asked(question)
    chat.act("settings")
    chat.root.locator("[data-field='temperature']").fill("0.2")
    whole(chat)
    cell(book, "chat-settings.png")
    dark(book)
    book.run(ROWS)
    row = page(book).ready()
    row.act("regenerate")
    row.turn(1, "done")
    row.ready()
    row.act("apply")
    row.box.evaluate("box => box.blur()")
    row.turn(0).hover()
    cell(book, "chat-row.png")


def review_pictures(book):
    for source, keys, name in ((REVIEW, "16f", "review.png"), (AUDIT, "  2 ", "review-audit.png")):
        book.run(source)
        book.tab.locator(".tsnr[data-status='ready'] .tsnr-text").click()
        for key in keys:
            book.tab.keyboard.press(key)
        book.tab.locator(".tsnr[data-unsaved='0']").wait_for()
        cell(book, name)
        dark(book)


RUN = """df = tsn.sample_messages().query("text.str.strip() != ''")
run = df.tsn.start("Which topic is it? {text}")
run"""
MISTAKE = """df.tsn.complete("Which topic is it? {txt}")"""


def cell_pictures(book):
    book.run(RUN)
    book.tab.get_by_text("left").first.wait_for()
    cell(book, "run.png")
    book.python("run.stop(); run.wait(progress=False)")
    book.tab.evaluate(
        "source => { jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.source = source }", MISTAKE
    )
    book.command("notebook:run-cell")
    book.tab.get_by_text("PromptError").first.wait_for()
    cell(book, "error.png")


def dark(book):
    book.command("apputils:change-theme", theme="JupyterLab Dark")
    book.tab.locator("body[data-jp-theme-light='false']").wait_for(state="attached")


def main(which):
    sys.path.insert(0, str(ROOT / "tests"))
    from browser import harness, scripted
    from playwright.sync_api import sync_playwright
    from support.simulators import set_latency

    from tsn_frames.simulator import Simulator

    scripted.SCRIPT.update(QUESTIONS)
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as play,
        Simulator(models=("deepseek-chat",), answer=scripted.answer) as sim,
    ):
        jupyter = harness.Jupyter(
            folder, TSN_CACHE_DIR=f"{folder}/cache", TSN_LEDGER=f"{folder}/ledger.db", TSN_REVIEWS=f"{folder}/reviews"
        ).start()
        browser = play.chromium.launch(executable_path=harness.CHROMIUM, args=harness.SWITCHES)
        context = browser.new_context(viewport={"width": 1080, "height": 1100})
        book = harness.Notebook(jupyter, context, "chat.ipynb")
        book.command("application:toggle-left-area")
        book.python(
            "import pandas as pd, tsn_frames as tsn\n"
            f"tsn.set_client(tsn.Client({sim.base_url!r}, model='deepseek-chat', "
            "prices=tsn.Prices({'deepseek-chat': (0.27, 1.10)}, currency='USD')))"
        )
        if which in ("", "cells"):
            set_latency(sim, 1.0)
            cell_pictures(book)
            set_latency(sim, 0.05)
        if which in ("", "chat"):
            chat_pictures(book, harness.ChatPage)
            book.command("apputils:change-theme", theme="JupyterLab Light")
            book.tab.locator("body[data-jp-theme-light='true']").wait_for(state="attached")
        if which in ("", "review"):
            review_pictures(book)
        book.close()
        browser.close()
        jupyter.close()


if __name__ == "__main__":
    main(*sys.argv[1:] or [""])
