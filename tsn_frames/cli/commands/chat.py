"""``chat``: a conversation in the terminal, with answers that stream."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from typing import Any

import click

from ...engine.chat.conversation import Conversation
from ...engine.chat.listener import Listener
from ...engine.chat.turn import Turn
from ...errors import RunError
from ...text import money
from ..exit_codes import report
from ..options import client_of, client_options, given, verb_options

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # a model could move the cursor or set the title of the terminal
_HELP = """Chat in the terminal; answers stream. An empty line does nothing, Ctrl-C stops an answer, Ctrl-D ends.

With standard input from a file or program, all of it is one question.

\b
Examples:
  tsn-frames chat --system 'Be short.'
  git diff | tsn-frames chat --system 'Review this change.'
"""


class Printer(Listener):
    """Writes an answer to stdout as it grows, without control characters."""

    def __init__(self) -> None:
        self._written = 0

    def on_text(self, text: str) -> None:
        """Write what is new."""
        click.echo(_CONTROL.sub("", text[self._written :]), nl=False)
        self._written = len(text)

    def on_end(self, turn: Turn) -> None:
        """Write the rest, and end the line."""
        if turn.content:
            self.on_text(turn.text)
            click.echo()
        self._written = 0


def chat_command() -> click.Command:
    """Return the command, with the options of a conversation and of the client."""

    def run(**values: Any) -> None:
        chat = Conversation(client_of(values), **given(values))
        chat.listener = Printer()
        if sys.stdin.isatty():
            _converse(chat)
        else:
            chat.send(sys.stdin.read())

    options = [one for one in verb_options(Conversation) if one.name not in ("messages", "self")]
    return click.Command(
        "chat", callback=run, params=[*options, *client_options()], help=_HELP, short_help="Chat in the terminal."
    )


def _converse(chat: Conversation) -> None:
    with suppress(ImportError):  # arrow keys and earlier questions, where there is a readline
        import readline  # noqa: F401
    report(f"Chat with {chat.model or 'no model yet: give --model'} at {chat.client.host}. Ctrl-C stops an answer, Ctrl-D ends.")
    while True:
        try:
            question = input("> ")
        except (EOFError, KeyboardInterrupt):
            report("")
            return
        if question.strip():
            _answer(chat, question)


def _answer(chat: Conversation, question: str) -> None:
    try:
        chat.send(question)
    except KeyboardInterrupt:
        report("[stopped; what has arrived is kept]")
    except RunError as error:
        report(f"{type(error).__name__}: {error}")
    else:
        turn = chat.turns[-1]
        cost = "" if turn.cost is None else f", cost {money(turn.cost)}"
        report(f"[{turn.prompt_tokens or 0:,} + {turn.completion_tokens or 0:,} tokens{cost}]")
