"""``ddf.tsn``: the verbs of a pandas frame as lazy methods of a Dask frame."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from dask.dataframe.extensions import register_dataframe_accessor

from ..keyword_options import check_call, with_self
from ..verbs.complete import complete
from ..verbs.estimate.estimate import estimate
from ..verbs.extract.extract import extract
from ..verbs.label.label import label
from .estimates import lazy_estimate
from .partition import partition_call, run_partition, unsent_frame


def _frame(ddf: Any, verb: Callable[..., Any], args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    """Return the lazy frame of a verb."""
    call = partition_call(verb, args, options, ddf.npartitions)
    return ddf.map_partitions(run_partition, call, meta=unsent_frame(call, ddf._meta))


def _method(verb: Callable[..., Any], lazy: Callable[..., Any] = _frame) -> Callable[..., Any]:
    """Return a verb as a lazy method, with its own signature and docstring."""

    @functools.wraps(verb)
    def method(self: DaskAccessor, *args: Any, **options: Any) -> Any:
        check_call(method, (self, *args), options)
        return lazy(self._ddf, verb, args, options)

    method.__signature__ = with_self(inspect.signature(verb))  # type: ignore[attr-defined]
    return method


@register_dataframe_accessor("tsn")  # type: ignore[no-untyped-call]  # Dask has no types
class DaskAccessor:
    """Language models over the rows of a Dask frame, a partition at a time; see :func:`tsn_frames.complete`.

    Parameters
    ----------
    ddf : dask.dataframe.DataFrame
        The rows.

    Examples
    --------
    >>> import dask.dataframe as dd, pandas as pd, tsn_frames as tsn, tsn_frames.dask
    >>> sim = tsn.simulate(latency=0.0)
    >>> ddf = dd.from_pandas(pd.DataFrame({"text": ["Where is it?", "Thanks!"]}), npartitions=2)
    >>> out = ddf.tsn.label("text", ["question", "praise"])
    >>> out.dtypes["label"].categories.tolist(), sim.stats().requests
    (['question', 'praise'], 0)
    >>> out.compute(scheduler="threads")["label"].notna().tolist()
    [True, True]
    >>> sim.close()
    """

    def __init__(self, ddf: Any) -> None:
        self._ddf = ddf

    def __repr__(self) -> str:
        return f"<ddf.tsn: {self._ddf.npartitions:,} partitions; for example ddf.tsn.complete('Summarise: {{text}}')>"

    complete = _method(complete)
    label = _method(label)
    extract = _method(extract)
    estimate = _method(estimate, lambda ddf, _, args, options: lazy_estimate(ddf, args, options))
