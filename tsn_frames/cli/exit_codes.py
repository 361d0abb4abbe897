"""Exit codes of the ``tsn-frames`` command, and the lines on stderr that explain them."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Any

from ..errors import RunError, TSNError
from ..text import plural
from ..verbs.run.run_handle import last_run

GO_ON = "Run the same command again to go on: only rows without an answer are sent."


class ExitCode(IntEnum):
    """How the command ended."""

    DONE = 0
    ROWS_FAILED = 1  # the output is whole, and its column of errors says why
    USAGE = 2  # nothing was sent
    ENDED_EARLY = 3  # key refused, balance empty, budget used up, server dead, or the output can't be written
    BUG = 70  # of this program, as sysexits.h has it: never taken for failed rows
    INTERRUPTED = 130
    BROKEN_PIPE = 141  # the reader of the output has gone, as a shell counts SIGPIPE


def report(text: str) -> None:
    """Write a line to stderr; where that is closed, the command goes on."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def exit_code_of(error: BaseException, *, cached: bool = True) -> ExitCode:
    """Explain an error on stderr and return the exit code for it.

    ``cached`` says whether the cache keeps the answers.
    """
    if isinstance(error, KeyboardInterrupt):
        report(f"Stopped. {kept_answers(cached=cached)}")
        return ExitCode.INTERRUPTED
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is buffered: Python would report it at its exit
        return ExitCode.BROKEN_PIPE
    if isinstance(error, TSNError):
        report(f"{type(error).__name__}: {error}")
        return ExitCode.ENDED_EARLY if isinstance(error, RunError) else ExitCode.USAGE
    if isinstance(error, (OSError, sqlite3.Error)):
        file = getattr(error, "filename", None)
        report(f"{getattr(error, 'strerror', None) or error}{f': {file}' if file else ''}. {kept_answers()}")
        return ExitCode.ENDED_EARLY if last_run() else ExitCode.USAGE
    report("".join(traceback.format_exception(error)) + f"This is a bug of tsn-frames. {kept_answers()}")
    return ExitCode.BUG


@contextmanager
def interrupted_by_termination() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP as Ctrl-C, so that what is in flight arrives and is kept.

    Where Ctrl-C is ignored, as in the background of a script, they end the process at once, as always.
    """
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    usual = [number for name in names if signal.getsignal(number := getattr(signal, name)) is signal.SIG_DFL]
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        usual = []
    for number in usual:
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        for number in usual:
            signal.signal(number, signal.SIG_DFL)


def kept_answers(*, cached: bool = True) -> str:
    """Return what is kept of the run so far, and how to go on."""
    run: Any = last_run()
    if run is None:
        return "Nothing was sent."
    counts = run.progress
    answered = f"{counts.answered:,} of {plural(counts.rows, 'row')} are answered"
    return f"{answered}, and the cache keeps them. {GO_ON}" if cached else f"{answered}; with --cache off they are not kept."
