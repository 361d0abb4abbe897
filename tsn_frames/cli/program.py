"""The group of commands, and how its errors become exit codes."""

from __future__ import annotations

from collections.abc import Sequence

import click

from .commands.cache import cache_group
from .commands.chat import chat_command
from .commands.doctor import doctor_command
from .commands.ledger import ledger_group, runs
from .commands.simulate import SUMMARY
from .commands.verbs import VERBS, verb_command
from .exit_codes import ExitCode, exit_code_of

_HELP = """Language models over tables: a row becomes a request, and the same request is never paid for twice.

\b
  tsn-frames label in.csv --text body --labels billing,delivery,other -o out.csv
  cat in.csv | tsn-frames complete -p 'Summarise: {text}' > out.csv
  tsn-frames estimate complete in.csv -p 'Summarise: {text}'
  tsn-frames simulate --port 8000     a service on this machine, to try it for free

Shell completion, here of bash (zsh and fish likewise):

\b
  eval "$(_TSN_FRAMES_COMPLETE=bash_source tsn-frames)"
"""


class Program(click.Group):
    """A group whose commands end with our codes of a broken pipe and of Ctrl-C, which click has others for."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command and return its exit code."""
        try:
            return super().invoke(ctx)
        except (BrokenPipeError, KeyboardInterrupt) as error:
            return exit_code_of(error)


@click.group(cls=Program, help=_HELP)
@click.version_option(package_name="tsn-frames", prog_name="tsn-frames")
def program() -> None:
    """Run a command."""


@click.group("estimate", help="Estimate what a verb would send, use and cost; nothing is sent.")
def estimate_group() -> None:
    """Run an estimate."""


for _name in VERBS:
    program.add_command(verb_command(_name))
    estimate_group.add_command(verb_command(_name, only_estimate=True))
for _command in (estimate_group, chat_command(), cache_group, ledger_group, runs, doctor_command()):
    program.add_command(_command)
for _name, _summary in (("simulate", SUMMARY), ("demo", "Answer a table twice; the second run sends nothing.")):
    program.add_command(click.Command(_name, help=_summary))  # for --help and completion: main() runs these, also without click


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code."""
    try:
        return program.main(list(arguments), prog_name="tsn-frames", standalone_mode=False) or ExitCode.DONE
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except click.Abort:  # what click makes of Ctrl-C at a question
        return exit_code_of(KeyboardInterrupt())
    except Exception as error:  # noqa: BLE001 - a bug has an exit code, too
        return exit_code_of(error)
