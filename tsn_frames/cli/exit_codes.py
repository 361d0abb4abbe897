"""Exit codes of the ``tsn-frames`` command, and the lines on stderr that explain them."""

from __future__ import annotations

import os
import sys
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
    INTERRUPTED = 130
    BROKEN_PIPE = 141  # the reader of the output has gone, as a shell counts SIGPIPE


def say(text: str) -> None:
    """Write a line to stderr; where that is closed, the command goes on."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass


def exit_code_of(error: BaseException) -> ExitCode:
    """Explain an error on stderr and return the exit code for it; an error of the program itself is raised again."""
    if isinstance(error, KeyboardInterrupt):
        say(f"\nStopped. {kept()}")
        return ExitCode.INTERRUPTED
    if isinstance(error, BrokenPipeError):
        discard_stdout()
        return ExitCode.BROKEN_PIPE
    if isinstance(error, RunError):
        say(f"{type(error).__name__}: {error}")
        return ExitCode.ENDED_EARLY
    if isinstance(error, TSNError):
        say(f"{type(error).__name__}: {error}")
        return ExitCode.USAGE
    if isinstance(error, OSError):
        say(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}. {kept()}")
        return ExitCode.ENDED_EARLY if last_run() else ExitCode.USAGE
    raise error


def kept() -> str:
    """Return what is kept of the run so far, and how to go on."""
    run: Any = last_run()
    if run is None:
        return "Nothing was sent."
    counts = run.progress
    return f"{counts.answered:,} of {plural(counts.rows, 'row')} are answered, and the cache keeps them. {GO_ON}"


def discard_stdout() -> None:
    """Send what is still buffered for stdout nowhere, so that Python says nothing of it at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
