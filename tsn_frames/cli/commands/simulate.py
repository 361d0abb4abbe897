"""``simulate``: a simulated service in the foreground. It needs the standard library only."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...simulator import Faults

SUMMARY = "Run a simulated service on this machine."
_EXAMPLES = """examples:
  tsn-frames simulate --port 8000
  export TSN_BASE_URL=http://127.0.0.1:8000 TSN_MODEL=sim-small
  tsn-frames complete in.csv -p 'Summarise: {text}'
"""


def simulate(arguments: Sequence[str]) -> int:
    """Run the simulator until Ctrl-C and return the exit code."""
    options = _parser().parse_args(arguments)
    from ...simulator import Simulator  # here, so that other commands start without it

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
            say(f"Simulated service at {simulator.base_url}: its answers are made up. Ctrl-C ends it.")
            threading.Event().wait()
        say(f"\n{simulator.stats()}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "tsn-frames simulate", description=SUMMARY, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=0, help="port to listen on; 0 takes a free one (default)")
    add("--seed", type=int, default=0, help="chooses answers and faults (default: %(default)s)")
    add("--latency", type=float, default=0.05, metavar="SECONDS", help="until an answer begins (default: %(default)s)")
    add("--token-rate", type=float, metavar="N", help="tokens a second of streams (default: all at once)")
    add("--tier", choices=("free", "starter", "pro"), help="enforce the limits of a tier (default: none)")
    add("--key", action="append", metavar="KEY", help="accept this key only; can be repeated (default: any key, or none)")
    add("--balance", type=int, metavar="N", help="answers until the balance is empty (default: endless)")
    add("--fault", action="append", default=[], metavar="NAME=P", help="make a fault this likely, such as error_500=0.1")
    return parser


def _faults(options: Sequence[str]) -> Faults:
    from ...simulator import Faults

    known = [field.name for field in fields(Faults)]
    chances: dict[str, float] = {}
    for option in options:
        name, _, chance = option.partition("=")
        if name not in known or not chance.replace(".", "", 1).isdecimal():
            raise ValueError(f"--fault takes NAME=CHANCE such as error_500=0.1, got {option!r}; the names are {', '.join(known)}")
        chances[name] = float(chance)
    return Faults(**chances)  # type: ignore[arg-type]


def say(text: str) -> None:
    """Write a line to stdout at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
