"""A real IPython kernel, as a notebook has it: runs cells and returns what stands below them."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

from jupyter_client.manager import KernelManager

SECONDS = 60.0
ROOT = Path(__file__).parents[2]
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Cell(list):
    """The outputs of one cell: streams, displays with their last state, an error."""

    def of(self, *kinds):
        return [output for output in self if output["type"] in kinds]

    def stream(self, name):
        return "".join(output["text"] for output in self.of("stream") if output["name"] == name)

    @property
    def error(self):
        """The lines of the traceback without their colours; empty without an error."""
        return [ANSI.sub("", line) for output in self.of("error") for text in output["traceback"] for line in text.splitlines()]

    def shown(self, kind="text/plain"):
        return [output["data"].get(kind, "") for output in self.of("display_data", "execute_result")]


class Kernel:
    """A kernel with settings of its own."""

    def __init__(self, folder, **environment):
        (Path(folder) / "ipython").mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "IPYTHONDIR": str(Path(folder) / "ipython"), "JUPYTER_PLATFORM_DIRS": "1", "PYTHONPATH": str(ROOT)}
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(env={**env, **environment}, cwd=str(folder), stderr=subprocess.DEVNULL)
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=SECONDS)
        self._displays = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def start(self, code):
        """Start a cell; :meth:`end` waits for it."""
        self._cell, self._outputs = self._client.execute(code), Cell()

    def run(self, code):
        self.start(code)
        return self.end()

    def interrupt(self):
        self._manager.interrupt_kernel()

    def wait_until(self, pattern):
        """Read the outputs of the running cell until a pattern is found in them."""
        ends = time.monotonic() + SECONDS
        while not re.search(pattern, repr(self._outputs)):
            assert time.monotonic() < ends, f"still not {pattern!r}: {self._outputs}"
            assert not self._next(), f"the cell ended without {pattern!r}: {self._outputs}"

    def end(self):
        while not self._next():
            pass
        self._client.get_shell_msg(timeout=SECONDS)
        return self._outputs

    def _next(self):
        """Take one message, and return whether the cell is over."""
        message = self._client.get_iopub_msg(timeout=SECONDS)
        kind, content = message["msg_type"], message["content"]
        name = content.get("transient", {}).get("display_id")
        if kind == "update_display_data":
            self._displays[name]["data"] = content["data"]
        elif message["parent_header"].get("msg_id") != self._cell:
            return False
        elif kind in ("stream", "display_data", "execute_result", "error"):
            output = {"type": kind, **content}
            self._outputs.append(output)
            if name:
                self._displays[name] = output
        return kind == "status" and content["execution_state"] == "idle"
