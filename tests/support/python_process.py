"""Start real Python processes that have pandas and tsn_frames imported already, as most tests' programs begin with that."""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

SERVER = Path(__file__).with_name("fork_server.py")


@functools.cache
def connect_to_fork_server() -> socket.socket:
    """Start this process's fork server, which ends when this process does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    words = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "pass_fds": [theirs.fileno()]}
    environ = {**os.environ, "PYTHONPATH": str(SERVER.parents[2])}
    process = subprocess.Popen([sys.executable, SERVER, str(theirs.fileno())], env=environ, **words)
    theirs.close()
    atexit.register(lambda: (ours.close(), process.wait()))
    return ours


def start_python(code: str, *arguments: object, warnings: str = "default", **words: Any) -> subprocess.Popen[str]:
    """Start a program's text with arguments, as ``python -W ... -c`` does; further words are Popen's stdin, stdout, stderr, cwd."""
    command = [sys.executable, "-W", warnings, "-c", code, *map(str, arguments)]
    return (ForkedProcess if sys.platform == "linux" else subprocess.Popen)(command, text=True, **words)


class ForkedProcess(subprocess.Popen[str]):
    """A Popen whose process is a fork of the fork server: its command is ``python -W ... -c program arguments``."""

    def _execute_child(self, *given: Any) -> None:
        """Send the job with the child's ends of the pipes; of Popen's options only these, cwd and env have a meaning here."""
        cwd, env, (stdin, _, _, stdout, _, stderr) = given[5], given[6], given[10:16]
        standard = [number if pipe == -1 else pipe for number, pipe in enumerate((stdin, stdout, stderr))]
        _, _, warnings, _, code, *arguments = given[0]
        job = {"code": code, "arguments": arguments, "warnings": warnings}
        job |= {"cwd": str(cwd or Path.cwd()), "env": dict(os.environ if env is None else env)}
        self._status, status = os.pipe()
        socket.send_fds(connect_to_fork_server(), [json.dumps(job).encode()], [*standard, status])
        for descriptor in {status, *standard} - {0, 1, 2}:
            os.close(descriptor)
        self.pid, self._child_created = self._read_status(), True

    def _read_status(self) -> int:
        return int.from_bytes(os.read(self._status, 8))

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        """Return the process id and wait status at the child's end: the server's fork waits for it."""
        if wait_flags == os.WNOHANG and not select.select([self._status], [], [], 0)[0]:
            return 0, 0
        status = self._read_status()
        os.close(self._status)
        return self.pid, status

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None:
            ended, status = self._try_wait(os.WNOHANG)
            if ended:
                self._handle_exitstatus(status)
        return self.returncode


def run_python(code: str, *arguments: object, cwd: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program's text to its end in such a process, with what it printed."""
    with start_python(code, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd) as process:
        out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
