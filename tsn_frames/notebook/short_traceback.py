"""The traceback of an error of this package in IPython: the user's line and the message, without the package's own frames."""

from __future__ import annotations

import textwrap
import traceback
from types import TracebackType

from .code_location import CodeLocation, is_ours, is_users, typed_cell
from .ipython_shell import running_shell

WIDTH = 88
BOLD, END = "\x1b[1m", "\x1b[0m"


def short_traceback(error: BaseException) -> list[str]:
    """Return what IPython shows for an error; the whole traceback after ``%xmode Verbose`` and in every mode but the default."""
    shell = running_shell()
    tb = getattr(shell, "InteractiveTB", None)
    if tb is None:
        return traceback.format_exception(error)
    if tb.mode != "Context":
        whole: list[str] = tb.structured_traceback(type(error), error, error.__traceback__, tb_offset=1)
        return whole
    bold, end = ("", "") if str(shell.colors).lower() == "nocolor" else (BOLD, END)
    name = type(error).__name__
    title, *rest = _message_lines(name, error)
    return [*_code_lines(user_locations(error.__traceback__)), f"{bold}{name}{end}{title.removeprefix(name)}", *rest]


def user_locations(tb: TracebackType | None) -> list[CodeLocation]:
    """Return the user's line that runs, and the line that called this package where that is another one."""
    found: list[CodeLocation] = []
    for frame, line in traceback.walk_tb(tb):
        if is_ours(frame.f_code.co_filename):
            break
        if is_users(frame.f_code.co_filename):
            found.append(CodeLocation(frame.f_code.co_filename, line))
    return found if len(found) < 2 else [found[0], found[-1]]


def _code_lines(locations: list[CodeLocation]) -> list[str]:
    if not locations:
        return []
    first, *rest = locations
    cell = typed_cell()
    if typed := (rest or [first])[-1].as_typed(cell) or first.as_typed(cell):  # the call is part of a magic's line
        return [_arrow(str(typed.line), cell[typed.line - 1]), *(_arrow(f"{one}:", one.code) for one in rest if one.code)]
    lines = [_arrow(str(first.line) if first.cell else f"{first}:", first.code)]
    return lines + [_arrow(f"{one}:", one.code) for one in rest]


def _arrow(where: str, code: str) -> str:
    return f"----> {where} {textwrap.shorten(code, WIDTH - 8 - len(where), placeholder=' …')}"


def _message_lines(name: str, error: BaseException) -> list[str]:
    texts = [f"{name}: {error}" if str(error) else name, *getattr(error, "__notes__", ())]
    lines = [line for text in texts for line in text.splitlines() or [""]]
    return [part for line in lines for part in textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False) or [""]]
