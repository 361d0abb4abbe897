"""One partition: the call that a task carries, and the task itself."""

from __future__ import annotations

import copy
import pickle
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from dask.base import normalize_token

from .. import __version__
from ..engine.budget.spending_limits import Budget, amount
from ..engine.runtime.client import Client, client_or_default
from ..errors import ConfigError, ParameterError, RunError
from ..verbs.paying_verb import plan_of, start, unsent
from .channels import Channel, channel_of_task
from .graph_budget import GraphBudget
from .leased_limits import leased_limits

POLL = 0.5  # seconds between two reports of a partition's counts


@dataclass(frozen=True)
class PartitionCall:
    """A verb with its arguments, for every partition of a frame; its pickle carries no key."""

    verb: Callable[..., Any]  # of a pandas frame
    args: tuple[Any, ...]  # what it takes after the frame
    options: Mapping[str, Any]  # without client, progress and max_cost
    client: Client  # settled where the graph is made; max_cost is in its budget
    partitions: int  # of the whole frame
    version: str = __version__  # of the package where the graph is made

    def __dask_tokenize__(self) -> Any:
        stored = pickle.dumps(self.client)  # without its key
        return normalize_token((self.verb.__name__, self.args, dict(self.options), stored, self.version))


def partition_call(verb: Callable[..., Any], args: tuple[Any, ...], options: Mapping[str, Any], partitions: int) -> PartitionCall:
    """Return the call for every partition."""
    for name, value in options.items():
        if isinstance(value, pd.Series) or hasattr(value, "__dask_graph__"):
            raise ParameterError(
                f"{name} is a {type(value).__name__}, whose rows can't be matched to those of a partition: "
                f'make it a column, and give a function of the partition, such as {name}=lambda df: df["{name}"]'
            )
    client = client_or_default(options.get("client"))
    own = {name: value for name, value in options.items() if name not in ("client", "progress", "max_cost")}
    most = client.budget.with_run(amount("max_cost", options.get("max_cost"))).run
    if most is not None:
        currency = client.prices.currency if client.prices else None
        client = _with_budget(client, replace(client.budget, run=None, shared=GraphBudget(uuid.uuid4().hex, most, currency)))
    return PartitionCall(verb, args, own, client, partitions)


def _with_budget(client: Client, budget: Budget) -> Client:
    """Return a client with another budget, and everything else as it is, its credentials included."""
    made = copy.copy(client)
    object.__setattr__(made, "budget", budget)
    return made


def unsent_frame(call: PartitionCall, df: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the columns that the verb adds, and nothing in them; nothing is sent."""
    made: pd.DataFrame = unsent(plan_of(call.verb, df, *call.args, **call.options, client=call.client))
    made.attrs = dict(df.attrs)  # without the id of a run that never starts
    return made


def run_partition(df: pd.DataFrame, call: PartitionCall, partition_info: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return a partition with the verb's columns."""
    check_version(call.version)
    if df.empty:
        return unsent_frame(call, df)
    try:
        return _result(df, call)
    except RunError as error:
        error.partial = None  # a long error loses its type on its way to the scheduler; what is answered is cached
        number = f"{partition_info['number'] + 1:,} of " if partition_info else ""
        error.add_note(
            f"in partition {number}{call.partitions:,}; every answer so far is cached: compute again to go on from there"
        )
        raise


def _result(df: pd.DataFrame, call: PartitionCall) -> pd.DataFrame:
    channel = channel_of_task(call.client.cache.folder)
    client, shared = call.client, call.client.budget.shared
    if isinstance(shared, GraphBudget):
        client = _with_budget(client, replace(client.budget, shared=shared.through(channel)))
    with _limits(client, channel):
        run = start(call.verb, df, *call.args, **call.options, client=client)
        while not run.wait(POLL, progress=False):
            pass
        made: pd.DataFrame = run.result(progress=False)
    return made


def _limits(client: Client, channel: Channel) -> AbstractContextManager[None]:
    """Return this process's share of the account's limits; where there is no key, the verb says so if it has to send something."""
    try:
        client.key()
    except ConfigError:
        return nullcontext()
    return leased_limits(client, channel) if channel.shares_limits else nullcontext()


def check_version(version: str) -> None:
    """Raise where the graph was made by another version of the package: its requests may have other keys."""
    if version != __version__:
        raise ConfigError(
            f"the graph was made by tsn_frames {version}, and this worker has {__version__}: install the same version on both"
        )
