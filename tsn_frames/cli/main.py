"""The entry point of ``tsn-frames`` and ``python -m tsn_frames``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .exit_codes import ExitCode, exit_code_of, report


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``demo`` and ``simulate`` need no click."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["simulate"]:
        from .commands.simulate import simulate

        return simulate(given[1:])
    if given[:1] == ["demo"]:
        from .demo import main as demo

        return demo()
    try:
        from .program import run
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        report("tsn-frames needs click: pip install 'tsn-frames[cli]'")
        return ExitCode.USAGE
    except KeyboardInterrupt:
        return exit_code_of(KeyboardInterrupt())
    return run(given)
