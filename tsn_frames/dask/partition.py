"""One partition: the call that a task carries, and the task itself."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from dask.base import normalize_token

from .. import __version__
from ..engine.runtime.client import Client, client_or_default
from ..errors import ConfigError, ParameterError, RunError
from ..verbs.paying_verb import plan_of, start, unsent

POLL = 0.5  # seconds between two reports of a partition's counts


@dataclass(frozen=True)
class PartitionCall:
    """A verb with its arguments, for every partition of a frame; its pickle carries no key.

    Parameters
    ----------
    verb : callable
        The verb of a pandas frame.
    args, options : tuple and mapping
        What the verb takes after the frame, without ``client`` and ``progress``.
    client : Client
        The client, settled where the graph is made.
    partitions : int
        How many partitions the frame has.
    version : str
        The version of the package where the graph was made.
    """

    verb: Callable[..., Any]
    args: tuple[Any, ...]
    options: Mapping[str, Any]
    client: Client
    partitions: int
    version: str = __version__

    def __dask_tokenize__(self) -> Any:
        stored = pickle.dumps(self.client)  # without its key
        return normalize_token((self.verb.__name__, self.args, dict(self.options), stored, self.version))


def partition_call(verb: Callable[..., Any], args: tuple[Any, ...], options: Mapping[str, Any], partitions: int) -> PartitionCall:
    """Return the call for every partition.

    Raises
    ------
    ParameterError
        If an option has a value for each row of the whole frame.
    """
    for name, value in options.items():
        if isinstance(value, pd.Series) or hasattr(value, "__dask_graph__"):
            raise ParameterError(
                f"{name} is a {type(value).__name__}, whose rows can't be matched to those of a partition: "
                f'make it a column, and give a function of the partition, such as {name}=lambda df: df["{name}"]'
            )
    client = client_or_default(options.get("client"))
    own = {name: value for name, value in options.items() if name not in ("client", "progress")}
    return PartitionCall(verb, args, own, client, partitions)


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
    run = start(call.verb, df, *call.args, **call.options, client=call.client)
    while not run.wait(POLL, progress=False):
        pass
    made: pd.DataFrame = run.result(progress=False)
    return made


def check_version(version: str) -> None:
    """Raise where the graph was made by another version of the package: its requests may have other keys."""
    if version != __version__:
        raise ConfigError(
            f"the graph was made by tsn_frames {version}, and this worker has {__version__}: install the same version on both"
        )
