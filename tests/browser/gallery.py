"""Take a picture of everything that a cell shows, to look at: ``python tests/browser/gallery.py FOLDER [lab | notebook] [scene ...]``.

Each scene is taken in light and dark, wide and narrow, and the four are put into one file.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[2]
WIDTHS = {"wide": 1080, "narrow": 620}
HOSTS = {"lab": "lab/tree", "notebook": "notebooks"}
SETUP = """
import pandas as pd, tsn_frames as tsn
from IPython.display import display
client = tsn.Client({quick!r}, model="sim-small", prices=tsn.Prices({{"sim-small": (0.27, 1.10)}}, currency="USD"))
slow = tsn.Client({slow!r}, model="sim-reasoner", prices={{"sim-reasoner": (0.27, 1.10)}}, limits=tsn.Limits(1))
refused = tsn.Client({refused!r}, model="sim-small", api_key="wrong")
quicker = tsn.Client({slow!r}, model="sim-reasoner", prices={{"sim-reasoner": (0.27, 1.10)}})
tsn.set_client(client)
df = pd.DataFrame({{"customer": ["Ms Okafor", "Mr Lindt"] * 20, "text": ["The kettle leaks.", "Where is my parcel?"] * 20, "gold": ["angry", "calm"] * 20}})
df["text"] = [f"{{text}} ({{n}})" if n else text for n, text in enumerate(df["text"])]
gaps = df.assign(text=df["text"].where(df.index % 5 > 0))
"""
RICH = r"""The mean of $n$ values is \(\bar{x} = \frac{1}{n}\sum_{i=1}^n x_i\), for $5 to $10 a time[^1]:

\[
\begin{aligned}
\sigma^2 &= \frac{1}{n}\sum_{i=1}^n (x_i - \bar{x})^2 \\
z &= \lim_{x \to 0} \frac{\sin x}{x}, \qquad A = \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}
\end{aligned}
\]

- [x] Use H~2~O and x^2^
- [ ] Read https://example.com/a_b.

> A quote of a sentence.

| """ + " | ".join(f"column {n}" for n in range(16)) + " |\n" + "|---" * 16 + "|\n| " + " | ".join("value" for n in range(16)) + " |\n\n```python\ncounts = df.groupby('topic', as_index=False).size()  # a comment\n```\n\n[^1]: In dollars.\n"  # fmt: skip


def row_chat(scene):
    page = scene.chat("df.tsn.chat(0, 'Is {customer} angry? {text}', name='angry', missing='skip')")
    page.act("regenerate")
    page.turn(1, "done")
    page.ready()
    page.act("edit", page.turn(0))
    scene.take("1-row-edit")
    area = page.root.get_by_role("textbox", name="Edit message")
    area.fill("Is {customer} cross? {text}")
    area.press("Enter")
    page.turn(0).get_by_text("cross").wait_for()
    page.turn(1, "done")
    page.ready()
    page.act("apply")
    page.root.locator(".tsn-apply pre").wait_for()
    page.turn(0).hover()
    scene.take("1-row-apply")


def row_warnings(scene):
    page = scene.chat("df.tsn.chat(0, 'Is it angry: The kettle leaks. And {gold}?')")
    page.act("regenerate")
    page.turn(1, "done")
    page.ready()
    page.asked("Why?")
    page.act("apply")
    page.root.locator(".tsn-apply pre").wait_for()
    scene.take("1-row-warnings")
    page.type("Is {txt} kind?").box.press("Enter")
    page.notice.wait_for()
    scene.take("1-row-refused")


def second_view(scene):
    page = scene.chat("chat = tsn.Chat(system='Be brief.')\nchat")
    page.asked("Hello?")
    page = scene.chat("display(chat)")
    scene.take("2-second-view")


def money(scene):
    page = scene.chat("tsn.Chat()")
    page.asked("Hello?")
    page.act("regenerate", page.turn(1))
    page.totals.filter(has_text="this chat").wait_for()
    page.act("clear")
    scene.take("3-money")
    page.act("clear-yes")
    page.turn(0).wait_for(state="detached")
    scene.take("3-money-cleared")


def maths(scene):
    page = scene.chat("tsn.Chat()")
    page.asked("Rich")
    page.log.evaluate("log => (log.style.maxHeight = 'none')")
    scene.take("4-maths")


def thoughts(scene):
    page = scene.chat("tsn.Chat(slow)")
    page.ask("Think")
    page.turn(1).locator(".tsn-clock").get_by_text("waiting").wait_for()
    scene.take("5-waiting", variants=False)
    page.turn(1).locator("summary").get_by_text("Thinking").wait_for()
    scene.take("5-thinking", variants=False)
    page.turn(1).locator("summary").get_by_text("Thought for").wait_for(timeout=180_000)
    page.turn(1).locator("summary").click()
    page.act("stop")
    page.turn(1, "stopped")
    scene.take("5-thought")


def models(scene):
    page = scene.chat("tsn.Chat()")
    page.asked("Rich")
    page.root.get_by_role("combobox").focus()
    page.root.get_by_role("option").first.wait_for()
    scene.take("5-models", page=True)
    page.act("settings")
    scene.take("5-settings", page=True)


def insert(scene):
    page = scene.chat("tsn.Chat()")
    page.asked("Code")
    page.act("insert-code", page.turn(1))
    scene.take("5-insert", page=True)


def restart(scene):
    page = scene.chat("chat = tsn.Chat()\nchat")
    page.asked("Hello?")
    page.asked("Why?")
    scene.book.tab.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    page.type("And now?").box.press("Enter")
    page.root.locator("[data-act='resume']").wait_for()
    scene.take("5-restart")
    scene.setup()


def refused(scene):
    page = scene.chat("tsn.Chat(refused)")
    page.asked("Hello?")
    scene.take("6-refused-key")


def summary(scene):
    scene.run("out = df.tsn.complete('Sum: {text}')\nagain = gaps.tsn.complete('Sum: {text}', missing='skip')", "rows answered")
    scene.take("7-summary")
    scene.run(
        "for n in range(3):\n    gaps.tsn.complete(f'{n}: {{text}}', max_tokens=1)\nout = df.tsn.complete('Sum {customer}', max_tokens=1, progress=False)",
        "warnings",
    )
    scene.take("7-warnings")


def errors(scene):
    for name, source in {
        "column": "df.tsn.complete('Sum: {txt}')",
        "parameter": "df.tsn.complete('Sum: {text}', temprature=0.2)",
        "budget": "df.tsn.complete('Budget: {text}', max_cost=0.00001)",
        "key": "out = df.tsn.complete('Sum: {text}', client=refused)",
        "file": "tsn.read_results('there-is-none.parquet')",
    }.items():
        scene.run(source, "Error")
        scene.take(f"8-{name}")
    scene.run("out = df.tsn.complete('Int: {text}', client=slow)", "of 40 rows", wait=False)
    scene.book.command("notebook:interrupt-kernel")
    scene.book.tab.get_by_text("Interrupt").first.wait_for()
    scene.take("8-interrupt")


def background(scene):
    scene.run("run = df.tsn.start('Bg: {text}', client=slow, max_tokens=20)\nrun", "starting")
    scene.take("9-starting", variants=False)
    scene.book.tab.locator(".jp-OutputArea").get_by_text("left").first.wait_for()
    scene.take("9-running")
    scene.book.tab.get_by_role("button", name="Stop").first.click()
    scene.book.tab.get_by_text("stopped").first.wait_for()
    scene.take("9-stopped")
    scene.run("run", "stopped")
    scene.take("9-run-again")
    from browser.harness import IDLE

    source = "tsn.compare(df, 'Is it angry? {text}', models=['sim-reasoner', 'sim-small'], sample=6, client=quicker)"
    source = source if scene.book.value("hasattr(tsn, 'compare')") else source.replace("tsn.compare(df, ", "df.tsn.compare(")
    scene.run(source, "rows", wait=False)
    scene.take("9-compare", variants=False)
    scene.book.tab.wait_for_function(f"() => {IDLE}")
    scene.take("10-comparison")


def reprs(scene):
    scene.run("out = df.tsn.complete('Sum: {text}', progress=False)\nrun = df.tsn.start('Sum: {text}')\nrun.wait(progress=False)")
    scene.run("display(run, run.summary, df.tsn.estimate('Est: {text}'), out.tsn.cost())")
    scene.take("10-run-summary-estimate-report")
    scene.run("display(client, df.tsn, sim.stats())")
    scene.take("10-client-accessor-stats")
    scene.run("print(client)\nprint(df.tsn)\nprint(run)\nprint(sim.stats())\nprint(dir(tsn))")
    scene.take("10-text")


def completion(scene):
    tab = scene.book.tab
    for name, text, key in (("10-tab", "df.tsn.", "Tab"), ("10-tab-tsn", "tsn.", "Tab"), ("10-shift-tab", "df.tsn.complete(", "Shift+Tab"), ("10-shift-tab-chat", "tsn.Chat(", "Shift+Tab")):  # fmt: skip
        scene.run("1")
        tab.locator(".jp-Cell .cm-content").first.click()
        tab.keyboard.press("Control+A")
        tab.keyboard.type(text)
        popup = tab.locator(".jp-Completer:not(.lm-mod-hidden), .jp-Tooltip").first
        for _ in range(10):
            if popup.is_visible():
                break
            tab.keyboard.press(key)  # the host gives up where the kernel is slow
            tab.wait_for_timeout(3000)
        scene.take(name, page=True)
        tab.keyboard.press("Escape")


class Scene:
    """One notebook, and the folder of its pictures."""

    def __init__(self, book, folder, urls):
        from browser.harness import ChatPage, theme

        self.book, self.folder, self.urls, self._page, self._theme = book, folder, urls, ChatPage, theme

    def setup(self):
        self.book.tab.wait_for_function("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'")
        self.book.python(f"import tsn_frames as tsn\nsim = tsn.simulate(latency=0.0)\n{SETUP.format(**self.urls)}")

    def chat(self, source):
        self.book.run(source)
        return self._page(self.book).ready()

    def run(self, source, text="", wait=True):
        from browser.harness import RUN

        if wait:
            self.book.tab.evaluate(RUN, source)
        else:
            self.book.tab.evaluate(f"source => {{ ({RUN})(source); }}", source)
        if text:
            self.book.tab.locator(".jp-OutputArea").get_by_text(text).first.wait_for()

    def take(self, name, *, variants=True, page=False):
        from PIL import Image

        shots = []
        for theme in ("Light", "Dark") if variants else ("Light",):
            if variants:
                self._theme(self.book, f"JupyterLab {theme}")
            for width in WIDTHS.values() if variants else (1080,):
                self.book.tab.set_viewport_size({"width": width, "height": 900})
                self.book.tab.wait_for_timeout(400)
                path = self.folder / f"{name}-{theme}-{width}.png"
                what = self.book.tab if page else self.book.tab.locator(".jp-Notebook-cell").first
                what.screenshot(path=path)
                shots.append(Image.open(path).convert("RGB"))
        self.book.tab.set_viewport_size({"width": 1080, "height": 900})
        if variants:
            self._theme(self.book, "JupyterLab Light")
        rows = [shots[n : n + 2] for n in range(0, len(shots), 2)]
        wide = max(sum(one.width for one in row) for row in rows)
        whole = Image.new("RGB", (wide, sum(max(one.height for one in row) for row in rows)), "#f0f")
        top = 0
        for row in rows:
            left = 0
            for one in row:
                whole.paste(one, (left, top))
                left += one.width
            top += max(one.height for one in row)
        whole.save(self.folder / f"{name}.png")
        for path in self.folder.glob(f"{name}-*-*.png"):
            path.unlink()


SCENES = (row_chat, row_warnings, second_view, money, maths, thoughts, models, insert, restart, refused, summary, errors, background, reprs, completion)  # fmt: skip


def main(folder, *wanted):
    sys.path.insert(0, str(ROOT / "tests"))
    from browser import harness, scripted
    from playwright.sync_api import Error, sync_playwright

    from tsn_frames.simulator import Faults, Simulator

    scripted.SCRIPT.update(
        {"Rich": RICH, "Code": "Look:\n\n```python\nx = 1 < 2\nprint(x)\n```\n", "Think": "The answer. " * 400}
    )
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory())
        quick = stack.enter_context(Simulator(latency=0.0, answer=scripted.answer))
        slow = stack.enter_context(
            Simulator(latency=4.0, token_rate=20.0, models=("sim-reasoner", "sim-small"), answer=scripted.answer)
        )
        refusing = stack.enter_context(Simulator(faults=Faults(error_other=1.0, other_status=401)))
        urls = {"quick": quick.base_url, "slow": slow.base_url, "refused": refusing.base_url}
        jupyter = harness.Jupyter(temporary, TSN_CACHE_DIR=f"{temporary}/cache", TSN_LEDGER=f"{temporary}/ledger.db").start()
        stack.callback(jupyter.close)
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=harness.CHROMIUM, args=harness.SWITCHES, ignore_default_args=["--hide-scrollbars"]
        )
        for host in [name for name in HOSTS if name in wanted] or HOSTS:
            out = Path(folder) / host
            out.mkdir(parents=True, exist_ok=True)
            context = browser.new_context(viewport={"width": 1080, "height": 900})
            book = harness.Notebook(jupyter, context, f"{host}.ipynb", path_prefix=HOSTS[host])
            if host == "lab":
                book.command("application:toggle-left-area")
            scene = Scene(book, out, urls)
            scene.setup()
            for one in [one for one in SCENES if one.__name__ in wanted] or SCENES:
                try:
                    one(scene)
                    print(host, one.__name__, "taken", flush=True)
                except (Error, AssertionError):
                    traceback.print_exc()
                    book.tab.screenshot(path=out / f"failed-{one.__name__}.png")
            context.close()
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
