"""The estimate of a whole graph: the sum of those of its partitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from dask.delayed import delayed

from ..engine.budget.spending_limits import amount
from ..engine.runtime.client import client_or_default
from ..errors import ParameterError
from ..verbs.estimate.estimate import estimate
from ..verbs.estimate.result import Estimate, total_estimate
from .partition import PartitionCall, check_version, refuse_whole_columns
from .worker_config import on_this_worker

EACH = "equal requests in different partitions count in each, and are sent once"


def lazy_estimate(ddf: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    """Return the estimate of a frame as a ``Delayed``."""
    if options.get("pilot") is not None:
        raise ParameterError(
            "pilot= would be sent for every partition: estimate a part of the frame with it, "
            "such as ddf.get_partition(0).compute().tsn.estimate(..., pilot=50)"
        )
    refuse_whole_columns(options)
    client = client_or_default(options.get("client"))
    most = client.budget.with_run(amount("max_cost", options.get("max_cost"))).run
    own = {name: value for name, value in options.items() if name not in ("client", "progress")}
    call = PartitionCall(estimate, args, own, client, ddf.npartitions)
    estimate(ddf._meta, *args, **own, client=client)  # raises what is wrong with the arguments
    parts = [delayed(_estimate, pure=False)(part, call) for part in ddf.to_delayed()]
    return delayed(total_estimate, pure=False)(parts, most, EACH if len(parts) > 1 else None)


def _estimate(df: pd.DataFrame, call: PartitionCall) -> Estimate:
    check_version(call.version)
    return estimate(df, *call.args, **call.options, client=on_this_worker(call.client))
