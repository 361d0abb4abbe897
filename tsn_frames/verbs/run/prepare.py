"""What a call asks for, from the words that it was given: the same for those who send it and those who only reckon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from ..._gc import gc_paused
from ...engine.budget.budget import amount
from ...engine.cache.mode import CacheMode
from ...engine.run.spec import RunSpec
from ...engine.runtime.client import Client
from ...errors import ParameterError
from ...frames import per_row
from ...frames import prompt as frame_prompt
from ...text import check_choice
from .fingerprint import about
from .plan import Plan, fresh_requests, plan, tags


class PreparedCall(NamedTuple):
    """A call's distinct requests, and what is to be done with them."""

    client: Client
    made: Plan
    work: RunSpec


def prepare(verb: str, df: pd.DataFrame, client: Client, parameters: Mapping[str, Any], words: Mapping[str, Any]) -> PreparedCall:
    """Return what a call asks for: pure and free, and whatever is wrong with it is told here.

    Parameters
    ----------
    verb : str
        What the user called.
    df : DataFrame
        The rows.
    client : Client
        Where it would be sent.
    parameters : mapping
        The API's parameters and ``repeat``, as they were given.
    words : mapping
        ``prompt, system, messages, missing, cache, refresh, tag, max_cost``, as they were given.

    Raises
    ------
    PromptError, ParameterError, ConfigError
        If it can't be sent.
    """
    frame_prompt.check_frame(df)
    check_choice("cache", words["cache"], CacheMode)
    if words["refresh"] is not None and words["cache"] != "use":
        mode = words["cache"]
        raise ParameterError(f"refresh= names rows to ask again, which goes with cache='use' only, not with {mode!r}")
    prompt, messages, system = words["prompt"], words["messages"], words["system"]
    constant, varying = per_row.resolve(df, parameters)
    with gc_paused():
        made = plan(client, frame_prompt.render(df, prompt, messages, system, words["missing"]), constant, varying)
        card = about(verb, client, df, made, prompt=prompt, messages=messages, system=system, constant=constant, varying=varying)
    first_tags, other_tags = tags(df, words["tag"], made)
    work = RunSpec(made.requests, made.copies, fresh_requests(df, words["refresh"], made), first_tags, words["cache"], other_tags,
                card, amount("max_cost", words["max_cost"]))  # fmt: skip
    return PreparedCall(client, made, work)
