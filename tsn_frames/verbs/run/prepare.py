"""Validate a call's arguments and build its requests; shared by all verbs that send or estimate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from ..._gc_pause import gc_paused
from ...api.parameters import NAMES
from ...engine.budget.spending_limits import amount
from ...engine.cache.cache import CacheMode
from ...engine.run.spec import RunSpec
from ...engine.runtime.client import Client, client_or_default
from ...errors import ParameterError
from ...frames import output_columns, per_row
from ...frames import prompt as frame_prompt
from ...text import check_choice, check_flag
from .fingerprint import about
from .plan import Errors, Plan, fresh_requests, plan, tags

PER_ROW = (*NAMES, "repeat")  # options that may have a value for each row


class PreparedCall(NamedTuple):
    """A call's distinct requests, and the run that sends them."""

    client: Client
    made: Plan
    work: RunSpec


def prepare(verb: str, df: pd.DataFrame, prompt: Any, options: Mapping[str, Any]) -> PreparedCall:
    """Return the requests of a call. Nothing is sent."""
    messages, system = options.get("messages"), options.get("system")
    return prepare_messages(
        verb, df, lambda: frame_prompt.render(df, prompt, messages, system, options["missing"]), options, prompt=prompt
    )


def prepare_messages(
    verb: str, df: pd.DataFrame, render: Callable[[], frame_prompt.Rendered], options: Mapping[str, Any], *, prompt: Any = None
) -> PreparedCall:
    """Return the requests of a call whose messages a function renders, after the other options are checked."""
    frame_prompt.check_frame(df)
    client, refresh = client_or_default(options.get("client")), options.get("refresh")
    check_choice("cache", options["cache"], CacheMode)
    mode = client.cache.mode(options["cache"])
    if refresh is not None and mode != "use":
        raise ParameterError(f"refresh= names rows to ask again, which goes with cache='use' only, not with {mode!r}")
    messages, system = options.get("messages"), options.get("system")
    check_flag("stream", options["stream"])
    constant, varying = per_row.resolve(df, {name: options.get(name) for name in PER_ROW})
    with gc_paused():
        made = plan(client, render(), constant, varying)
        card = about(verb, client, df, made, prompt=prompt, messages=messages, system=system, constant=constant, varying=varying)
    first_tags, other_tags = tags(df, options.get("tag"), made)
    work = RunSpec(made.requests, made.copies, fresh_requests(df, refresh, made), first_tags, mode, other_tags, card,
                   amount("max_cost", options.get("max_cost")), stream=options["stream"])  # fmt: skip
    return PreparedCall(client, made, work)


def check_columns(df: pd.DataFrame, options: Mapping[str, Any]) -> output_columns.Layout:
    """Return the columns that a call adds to a frame."""
    frame_prompt.check_frame(df)
    check_choice("errors", options["errors"], Errors)
    wanted = output_columns.layout(options.get("name"), options["usage"], options["include"])
    output_columns.check_clash(df, wanted.labels, overwrite=options["overwrite"])
    return wanted
