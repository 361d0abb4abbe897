"""The command line: `simulate` starts a simulated service, `demo` shows the library's main job."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .simulator import Faults


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tsn_frames", description="Language models over frames.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, summary: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        child: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
        child.set_defaults(run=run)
        return child

    add = command("simulate", "run a local simulation of the service; its answers are made up", _simulate).add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=0, help="port to listen on; 0 takes a free one (default)")
    add("--seed", type=int, default=0, help="chooses answers and faults (default: %(default)s)")
    add("--latency", type=float, default=0.05, metavar="SECONDS", help="until an answer begins (default: %(default)s)")
    add("--token-rate", type=float, metavar="N", help="tokens a second of streams (default: all at once)")
    add("--tier", choices=("free", "starter", "pro"), help="enforce the limits of a tier (default: none)")
    add("--key", action="append", metavar="KEY", help="accept this key only; can be repeated (default: any key, or none)")
    add("--balance", type=int, metavar="N", help="answers until the balance is empty (default: endless)")
    add("--fault", action="append", default=[], metavar="NAME=P", help="make a fault this likely, such as error_500=0.1")
    command("demo", "answer a CSV row by row, twice, and show that the second run sends nothing", _demo)
    options = parser.parse_args(arguments)
    status: int = options.run(options)
    return status


def _simulate(options: argparse.Namespace) -> int:
    from .simulator import Simulator  # here, so that other commands start without it

    try:
        simulator = Simulator(
            options.seed, options.latency, host=options.host, port=options.port, token_rate=options.token_rate, tier=options.tier,
            keys=options.key, balance=options.balance, faults=_faults(options.fault),
        ).start()  # fmt: skip
    except (ValueError, TypeError, OSError, OverflowError) as error:
        sys.stderr.write(f"simulate: {error}\n")
        return 2
    with simulator:
        with contextlib.suppress(KeyboardInterrupt):  # a reader may press Ctrl-C at once
            _say(f"Simulated service at {simulator.base_url}: its answers are made up. Ctrl-C ends it.")
            threading.Event().wait()
        _say(f"\n{simulator.stats()}")
    return 0


def _demo(_options: argparse.Namespace) -> int:
    from .demo import main as demo

    return demo()


def _faults(options: Sequence[str]) -> Faults:
    from .simulator import Faults

    known = [field.name for field in fields(Faults)]
    chances: dict[str, float] = {}
    for option in options:
        name, _, chance = option.partition("=")
        if name not in known or not chance.replace(".", "", 1).isdecimal():
            raise ValueError(f"--fault takes NAME=CHANCE such as error_500=0.1, got {option!r}; the names are {', '.join(known)}")
        chances[name] = float(chance)
    return Faults(**chances)  # type: ignore[arg-type]


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
