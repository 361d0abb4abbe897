"""Paying verbs: each checks its arguments and returns a :class:`Call`, which is waited for, started or estimated."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Never, ParamSpec, TypeVar, cast

from ..errors import ArgumentError, ConfigError, named_interrupts
from ..frames.other_libraries import Back, in_pandas
from ..keyword_options import check_call, spelled_out
from ..notebook.readable_signatures import ReadableType
from ..text import warnings_to
from .estimate.result import Estimate
from .run.dask_meta_detection import NO_META, is_inferring_meta
from .run.run_handle import Run, converted
from .run.verb_options import DEFAULTS

P = ParamSpec("P")
R = TypeVar("R")


def _no_meta() -> Never:
    raise ConfigError(NO_META)


@dataclass(frozen=True)
class Call(Generic[R]):
    """A call of a paying verb with its arguments checked; nothing is sent yet."""

    result: Callable[[], R]  # sends the requests and waits for the answers
    start: Callable[[], Run[R]]  # sends them in the background
    estimate: Callable[[], Estimate]  # sends nothing
    unsent: Callable[[], R] = _no_meta  # returns the result as it is before anything is sent: its columns and their dtypes

    @classmethod
    def of_run(cls, run: Callable[[], Run[R]], estimate: Callable[[], Estimate], progress: bool | None) -> Call[R]:
        """Return the call of a verb that makes one run; ``run`` returns it before it is started."""
        return cls(lambda: run().result(progress=progress), lambda: run()._start(), estimate, lambda: run().unsent())

    def converted(self, convert: Back) -> Call[Any]:
        """Return the call with its frame converted, also the frame of an error."""

        def start() -> Run[Any]:
            run = self.start()
            run._convert = convert
            return run

        return Call(lambda: converted(self.result, convert), start, self.estimate, lambda: converted(self.unsent, convert))


def paying_verb(options: Any, defaults: Mapping[str, Any] = DEFAULTS) -> Callable[[Callable[P, Call[R]]], Callable[P, R]]:
    """Return a decorator that makes a paying verb of a function that returns a :class:`Call`, with a ``TypedDict`` as its options."""

    def decorate(plan: Callable[P, Call[R]]) -> Callable[P, R]:
        @functools.wraps(plan)
        def verb(*args: P.args, **kwargs: P.kwargs) -> R:
            if is_inferring_meta():
                with warnings_to(lambda _: None):  # they would be about made-up rows
                    return plan_of(verb, *args, **kwargs).unsent()
            with named_interrupts("stopped: every answer so far is kept; run the cell again to go on from there"):
                return plan_of(verb, *args, **kwargs).result()

        spelled_out(options, defaults)(verb)
        signature: inspect.Signature = verb.__signature__  # type: ignore[attr-defined]
        returned = str(signature.return_annotation).removeprefix("Call[").removesuffix("]")
        verb.__signature__ = signature.replace(return_annotation=ReadableType(returned))  # type: ignore[attr-defined]
        verb.plan = plan  # type: ignore[attr-defined]
        return verb

    return decorate


def plan_of(verb: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
    """Return the call of a paying verb: a function of the package, or a method of ``df.tsn`` or ``series.tsn``."""
    plan = getattr(verb, "plan", None)
    if plan is None or not callable(verb):
        shown = f"the function {verb.__name__}" if inspect.isroutine(verb) else f"a {type(verb).__name__}"
        called = "; the verb itself is meant, without its call" if not callable(verb) else ""
        raise ArgumentError(
            f"{shown} is not a verb that sends requests{called}: give one and then its arguments, such as "
            "tsn.start(df.tsn.complete, 'Summarise: {text}')"
        )
    owner = getattr(verb, "__self__", None)
    check_call(verb, args, kwargs)
    with named_interrupts("stopped: nothing was sent"):
        given = in_pandas((*([] if owner is None else [owner]), *args), kwargs)
        call = cast("Call[R]", plan(*given.args, **given.kwargs))
    return call if given.back is None else call.converted(given.back)


def start(verb: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Run[R]:
    """Start a verb that sends requests in the background and return its run at once.

    Parameters
    ----------
    verb : callable
        ``df.tsn.complete``, ``df.tsn.compare``, ``tsn.complete_file``, ...
    *args, **kwargs
        What the verb takes.

    Returns
    -------
    Run
        ``.result()`` is what the verb would return.

    Raises
    ------
    TypeError
        If it is not a verb that sends requests, or has no such parameter. What the verb itself raises before it sends is raised here.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> sim = tsn.simulate(latency=0.0)
    >>> run = tsn.start(pd.DataFrame({"text": ["Hi"]}).tsn.complete, "Answer politely: {text}")
    >>> run.result().columns.tolist()[:2]
    ['text', 'content']
    >>> sim.close()
    """
    call = plan_of(verb, *args, **kwargs)
    if is_inferring_meta():
        _no_meta()
    return call.start()


def estimate(verb: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> Estimate:
    """Estimate what a call of a verb would send, use and cost. Nothing is sent.

    Parameters
    ----------
    verb, *args, **kwargs
        As for :func:`start`, and so are the errors.

    Returns
    -------
    Estimate
        Rows, requests, tokens, money and minutes.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> sim = tsn.simulate(latency=0.0)
    >>> found = tsn.estimate(pd.DataFrame({"text": ["Hi", "Hi"]}).tsn.complete, "Answer politely: {text}", max_tokens=10)
    >>> found.rows, found.to_send, sim.stats().requests
    (2, 1, 0)
    >>> sim.close()
    """
    return plan_of(verb, *args, **kwargs).estimate()
