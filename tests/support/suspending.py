"""Suspend a process as a laptop that is closed does."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import psutil
from support.waiting import wait_until


def suspend(process: subprocess.Popen[str], *files: Path) -> None:
    """Stop a process at a moment in which it holds none of these SQLite files' write locks, which would block all others."""

    def stopped() -> bool:
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        if any(map(_is_locked, files)):
            process.send_signal(signal.SIGCONT)
            return False
        return True

    wait_until(stopped)


def _is_locked(file: Path) -> bool:
    with closing(sqlite3.connect(file, timeout=0.2, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return True
    return False
