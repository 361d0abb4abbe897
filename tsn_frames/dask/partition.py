"""One partition: the call that a task carries, and the task itself."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd
from dask.base import normalize_token, tokenize

from .. import __version__
from ..engine.budget.spending_limits import amount
from ..engine.runtime.client import Client, client_or_default
from ..errors import ConfigError, ParameterError, RunError
from ..text import warnings_to
from ..verbs.paying_verb import plan_of, start
from ..verbs.run.run_handle import Run
from .coordination.channels import Channel, cancellation, channel_of_task
from .coordination.graph_budget import GraphBudget
from .coordination.leased_limits import leased_limits
from .worker_config import changed, on_this_worker

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
    refuse_whole_columns(options)
    client = client_or_default(options.get("client"))
    own = {name: value for name, value in options.items() if name not in ("client", "progress", "max_cost")}
    most = client.budget.with_run(amount("max_cost", options.get("max_cost"))).run
    if most is not None:
        currency = client.prices.currency if client.prices else None
        client = changed(client, budget=replace(client.budget, run=None, shared=GraphBudget(uuid.uuid4().hex, most, currency)))
    return PartitionCall(verb, args, own, client, partitions)


def refuse_whole_columns(options: Mapping[str, Any]) -> None:
    """Raise where an option has a value for each row of the whole frame."""
    for name, value in options.items():
        if isinstance(value, pd.Series) or hasattr(value, "__dask_graph__"):
            raise ParameterError(
                f"{name} is a {type(value).__name__}, whose rows can't be matched to those of a partition: "
                f'make it a column, and give a function of the partition, such as {name}=lambda df: df["{name}"]'
            )


def unsent_frame(call: PartitionCall, df: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the columns that the verb adds, and nothing in them; nothing is sent."""
    made: pd.DataFrame = plan_of(call.verb, df, *call.args, **call.options, client=call.client).unsent()
    made.attrs = dict(df.attrs)  # without the id of a run that never starts
    return made


def run_partition(df: pd.DataFrame, call: PartitionCall, partition_info: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return a partition with the verb's columns."""
    check_version(call.version)
    if df.empty:
        return unsent_frame(call, df)
    number = partition_info["number"] if partition_info else 0
    try:
        return _result(df, call, f"{tokenize(call)} {number}")
    except RunError as error:
        error.partial = None  # a long error loses its type on its way to the scheduler; what is answered is cached
        error.add_note(
            f"in partition {number + 1:,} of {call.partitions:,}; every answer so far is cached: compute again to go on"
        )
        raise


def _result(df: pd.DataFrame, call: PartitionCall, name: str) -> pd.DataFrame:
    client = on_this_worker(call.client)
    channel, shared = channel_of_task(client.cache.folder), client.budget.shared
    if isinstance(shared, GraphBudget):
        client = changed(client, budget=replace(client.budget, shared=replace(shared, channel=channel)))
    with _limits(client, channel):
        run = start(call.verb, df, *call.args, **call.options, client=client)
        wanted = _wait(run, channel, name)
        with nullcontext() if wanted else warnings_to(lambda _: None):
            made: pd.DataFrame = run.result(progress=False)
    return made


def _wait(run: Run[Any], channel: Channel, name: str) -> bool:
    """Wait for a run, and report its counts meanwhile; stop it if its task is cancelled. Return whether its result is wanted."""
    known, over, wanted, cancelled = uuid.uuid4().hex, False, True, cancellation()
    while not over:
        over = run.wait(POLL, progress=False)
        if not over and cancelled():
            wanted = False
            run.stop()
        with suppress(Exception):  # no bar is worth a run; and one that could not begin has no summary
            channel.ask({"kind": "count", "name": name, "counts": {"run": known, "summary": asdict(run.summary)}})
    return wanted


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
