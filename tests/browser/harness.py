"""A real JupyterLab (and Notebook 7, which the same server serves) in a headless Chromium, for one test run."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from support.ports import free_port

PACKAGE = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SWITCHES = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
GONE = "Error: widget model not found"  # what the host says of an output whose widget a test has closed; no chat is shown then
WAIT = 180_000  # milliseconds: generous, since what is waited for is a state and never a time


class Jupyter:
    """An isolated Jupyter server: its own settings and runtime files, nothing of the user's."""

    def __init__(self, folder, **environment):
        self.folder, self.root = Path(folder), Path(folder) / "root"
        self.port, self.token = 0, secrets.token_hex(16)
        for name in ("root", "settings", "workspaces", "config", "runtime", "ipython", "data"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.setting("@jupyterlab/apputils-extension", "notification", fetchNews="false")
        self.setting("@jupyterlab/docmanager-extension", "plugin", autosave=False)
        self._environment = environment
        self.process = None

    def setting(self, extension, plugin, **values):
        path = self.folder / "settings" / extension / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def start(self, tries=3):
        self.port = free_port()
        env = {
            **os.environ,
            "JUPYTERLAB_SETTINGS_DIR": str(self.folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.folder / "workspaces"),
            "JUPYTER_CONFIG_DIR": str(self.folder / "config"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
            "JUPYTER_DATA_DIR": str(self.folder / "data"),
            "IPYTHONDIR": str(self.folder / "ipython"),
            "JUPYTER_PLATFORM_DIRS": "1",
            "PYTHONPATH": str(PACKAGE),
            **self._environment,
        }
        options = [
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
            f"--port={self.port}",
            "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.root}",
            "--LabApp.expose_app_in_browser=True",
            "--JupyterNotebookApp.expose_app_in_browser=True",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ]
        with (self.folder / "jupyter.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyter", "lab", *options], env=env, stdout=log, stderr=log, cwd=self.folder
            )
        if self._answers():
            return self
        assert tries > 1, (self.folder / "jupyter.log").read_text()
        return self.start(tries - 1)

    def _answers(self):
        """Wait until it answers; return whether it does, as it ends where its port is taken."""
        for _ in range(3000):
            try:
                urllib.request.urlopen(f"{self.address}/api/status?token={self.token}", timeout=2).close()
                return True
            except (urllib.error.URLError, OSError):
                if self.process.poll() is not None:
                    return False
                time.sleep(0.1)
        raise AssertionError(f"Jupyter does not answer: {(self.folder / 'jupyter.log').read_text()}")

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(60)

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    def write(self, name, *sources):
        """Store a notebook with these code cells."""
        cells = [
            {"cell_type": "code", "id": f"c{n}", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
            for n, source in enumerate(sources or ("",))
        ]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        book = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
        (self.root / name).write_text(json.dumps(book))

    def url(self, name, path_prefix="lab/tree", query="reset&"):
        return f"{self.address}/{path_prefix}/{name}?{query}token={self.token}"


RUN = """async (source) => {
  const panel = jupyterapp.shell.currentWidget, book = panel.content, model = book.model.sharedModel;
  model.deleteCellRange(0, model.cells.length);
  model.insertCell(0, {cell_type: 'code', source, metadata: {trusted: true}});
  book.activeCellIndex = 0;
  await jupyterapp.commands.execute('notebook:run-cell');
  const outputs = book.widgets[0].model.outputs.toJSON();
  return outputs.filter(o => o.output_type === 'error').map(o => o.ename + ': ' + o.evalue);
}"""
EXECUTE = """async (code) => {
  const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const future = kernel.requestExecute({code, store_history: false, allow_stdin: false});
  let text = '';
  future.onIOPub = (message) => {
    if (message.header.msg_type === 'stream') text += message.content.text;
    if (message.header.msg_type === 'error') text += '\\u0000' + message.content.traceback.join('\\n');
  };
  await future.done;
  return text;
}"""
OPEN = "async path => { await jupyterapp.commands.execute('docmanager:open', {path, factory: 'Notebook'}) }"  # its result is the whole page
CLOSE = """async () => {
  const panel = jupyterapp.shell.currentWidget;
  await panel.sessionContext.shutdown();
  panel.context.model.dirty = false;
  panel.close();
}"""
IDLE = "(globalThis.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle')"


class Notebook:
    """One notebook, and what a person does there: in its own tab, or beside another one in the same JupyterLab."""

    def __init__(self, jupyter, context, name, *, path_prefix="lab/tree", sources=(), beside=None):
        self.jupyter, self.name, self.path_prefix, self.beside = jupyter, name, path_prefix, beside
        if sources is not None:
            jupyter.write(name, *sources)
        self.requested, self.complaints, self.dialogs, self.received = [], [], [], []
        self.tab = beside.tab if beside else context.new_page()
        if beside:
            self.tab.evaluate(OPEN, name)
            self.tab.wait_for_function(f"() => jupyterapp.shell.currentWidget?.context?.path === '{name}' && {IDLE}")
        else:
            self.tab.set_default_timeout(WAIT)
            self._watch()
            self.open()

    def _watch(self):
        tab = self.tab
        tab.on("request", lambda request: self.requested.append(request.url))
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        tab.on("dialog", self._dialog)
        tab.on("websocket", self._socket)

    def _dialog(self, dialog):
        self.dialogs.append(dialog.message)
        dialog.accept()

    def _socket(self, socket):
        socket.on("framereceived", lambda frame: self.received.append(len(frame)))

    def open(self, query="reset&"):
        self.tab.goto(self.jupyter.url(self.name, self.path_prefix, query))
        self.tab.wait_for_function(IDLE)

    def forget(self):
        """Forget what was seen; what the host itself complains about at its start is not ours."""
        self.tab.evaluate("() => new Promise(then => setTimeout(then))")  # what is being said is heard first
        for seen in (self.requested, self.complaints, self.dialogs, self.received):
            seen.clear()

    def odd(self, good):
        """What must not happen: dialogs, errors, and requests to anybody but the server."""
        strangers = [url for url in self.requested if not url.startswith((self.jupyter.address, *good))]
        complaints = [text for text in self.complaints if not text.startswith(GONE)]
        return [*self.dialogs, *complaints, *strangers]

    def run(self, source):
        """Replace all cells by one and run it, as a person would."""
        errors = self.tab.evaluate(RUN, source)
        assert not errors, errors

    def python(self, code):
        """Run code in the kernel beside the notebook, and give what it prints."""
        text = self.tab.evaluate(EXECUTE, code)
        assert "\0" not in text, text
        return text.strip()

    def value(self, expression):
        """The value of a Python expression that JSON can say."""
        return json.loads(self.python(f"import json as _json; print(_json.dumps({expression}))"))

    def wait_until(self, expression, timeout=WAIT / 1000):
        """Wait until a Python expression is true; for what no page shows."""
        end = time.monotonic() + timeout
        while not self.value(f"bool({expression})"):
            assert time.monotonic() < end, f"still not: {expression}"
            time.sleep(0.05)

    def command(self, name, **arguments):
        self.tab.evaluate("async ([name, args]) => { await jupyterapp.commands.execute(name, args) }", [name, arguments])

    def close(self):
        """Close it with its kernel."""
        self.tab.evaluate(CLOSE)
        if self.beside is None:
            self.tab.close(run_before_unload=False)
        else:
            self.tab.wait_for_function("name => jupyterapp.shell.currentWidget?.context?.path === name", arg=self.beside.name)


def _either(statuses):
    return " or ".join(f"@data-status={name!r}" for name in statuses)


SHOWN = ".jp-NotebookPanel:not(.lm-mod-hidden)"


class ChatPage:
    """One view of a chat, as a reader uses it."""

    def __init__(self, notebook, place=0):
        self.notebook, self.tab = notebook, notebook.tab
        self.root = notebook.tab.locator(f"{SHOWN} .tsn-chat").nth(place)
        self.box = self.root.get_by_role("textbox", name="Message", exact=True)
        self.log = self.root.get_by_role("log")
        self.notice = self.root.locator(".tsn-notice")
        self.totals = self.root.locator(".tsn-totals")

    def status(self, *wanted):
        """Wait until the page says that it is in one of these states."""
        self.root.locator(f"xpath=self::*[{_either(wanted)}]").wait_for()

    def ready(self):
        self.status("ready")
        return self

    def turn(self, index, *statuses):
        """One message; wait until it has one of these states."""
        found = self.root.locator(f"article[data-index='{index}']")
        if statuses:
            found.locator(f"xpath=self::*[{_either(statuses)}]").wait_for()
        return found

    def text(self, index):
        return self.turn(index).locator(".tsn-body").text_content().strip()

    def texts(self):
        return [text.strip() for text in self.root.locator("article .tsn-body").all_text_contents()]

    def type(self, text):
        self.box.fill(text)
        return self

    def ask(self, text):
        """Type, press Enter, and wait until the answer is on its way or there."""
        shown = self.root.locator("article")
        index = (int(shown.last.get_attribute("data-index")) if shown.count() else -1) + 2
        self.type(text)
        self.box.press("Enter")
        self.turn(index).wait_for()
        return index

    def asked(self, text):
        """Ask and wait for the whole answer."""
        index = self.ask(text)
        self.turn(index, "done", "stopped", "error")
        self.ready()
        return index

    def copied(self, text):
        """Wait until this is in the clipboard."""
        self.tab.wait_for_function("async text => (await navigator.clipboard.readText()) === text", arg=text)

    def act(self, name, within=None):
        """Press a button by what it does."""
        (within or self.root).locator(f"[data-act='{name}']").first.click()


def theme(notebook, name):
    notebook.command("apputils:change-theme", theme=name)
    notebook.tab.locator(f"body[data-jp-theme-name='{name}']").wait_for(state="attached")
    # The host takes the old style sheet away once the new one is there; a second change before that trips it up.
    mark = name.lower().removeprefix("jupyterlab ").replace(" ", "-")
    notebook.tab.wait_for_function(
        "mark => { const s = [...document.querySelectorAll('link[href*=\"/themes/\"]')]; return s.length === 1 && !document.getElementById('jupyterlab-splash') && s[0].href.includes(`theme-${mark}-ext`) }",
        arg=mark,
    )
