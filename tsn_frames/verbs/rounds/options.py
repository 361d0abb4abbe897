"""The options of the verbs of several rounds, and their checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from ...api.parameters import PerRow
from ...errors import ParameterError
from ...frames.output_columns import check_clash
from ...text import check_choice, check_flag, did_you_mean, quoted
from ..run.plan import Errors
from ..run.verb_options import DEFAULTS, AddedColumns, ErrorOptions, RunOptions

Explain = Literal["reason", "quote"]
Structured = Literal["auto", "json_schema", "json_object", "text"]
ROUND_DEFAULTS: Mapping[str, Any] = {"structured": "auto", **DEFAULTS}
USAGE = ("prompt_tokens", "completion_tokens", "total_tokens", "cost", "cached")


class RoundOptions(AddedColumns, ErrorOptions, RunOptions, total=False):
    """The options that all verbs of several rounds share: those of ``complete``, but for what the verb sets itself."""

    structured: Structured
    model: str | PerRow | None
    temperature: float | PerRow | None
    max_tokens: int | PerRow | None
    seed: int | PerRow | None
    extra_body: Mapping[str, Any] | PerRow | None


def check_options(options: Mapping[str, Any], explains: tuple[str, ...]) -> None:
    """Check the options that are not passed to ``complete``."""
    instructions, explain = options.get("instructions"), options.get("explain")
    if instructions is not None and (not isinstance(instructions, str) or not instructions.strip()):
        raise ParameterError(f"instructions must be a string, got {quoted(instructions)}")
    if explain is not None and explain not in explains:
        raise ParameterError(f"explain must be None or {' or '.join(map(repr, explains))}, got {quoted(explain)}")
    check_choice("structured", options["structured"], Structured)
    check_choice("errors", options["errors"], Errors)
    for name in ("usage", "overwrite"):
        check_flag(name, options[name])
    for unknown in set(included(options)) - {"raw"}:
        raise ParameterError(f"include has {quoted(unknown)}; {did_you_mean(unknown, ['raw'])}")


def included(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the extra columns that a call asks for, each once."""
    given = options["include"]
    if given is not None and not isinstance(given, (str, list, tuple, set, frozenset)):
        raise ParameterError(f"include must be a list such as ['raw'], got {quoted(given)}")
    return (given,) if isinstance(given, str) else tuple(dict.fromkeys(given or ()))


def check_new_columns(df: pd.DataFrame, names: Sequence[str], *, overwrite: bool) -> None:
    """Refuse columns that would have one name, or that the frame has already."""
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise ParameterError(
            f"two of the columns to add would be called {twice!r}: rename the label or field, or give another name="
        )
    check_clash(df, names, overwrite=overwrite)
