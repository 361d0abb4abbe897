"""``df.tsn`` and ``series.tsn``: the verbs as methods. No logic, no state: pandas makes a new accessor at every use."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import pandas as pd

from .text import did_you_mean
from .verbs import complete as verbs
from .verbs.chat import chat as chatting
from .verbs.compare import compare as comparing
from .verbs.estimate import estimate as estimating
from .verbs.report import report

P = ParamSpec("P")
R = TypeVar("R")


def _method(verb: Callable[Concatenate[pd.DataFrame, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Return a verb as a method, with its own signature and docstring."""
    known = inspect.signature(verb).parameters

    @functools.wraps(verb)
    def method(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        for word in kwargs:
            if word not in known:
                hint = f"{did_you_mean(word, list(known)[1:], most=40)}. Other fields of a request go into extra_body="
                raise TypeError(f"{verb.__name__}() has no parameter {word!r}; {hint}")
        return verb(self._frame(), *args, **kwargs)

    parameters = list(known.values())
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__signature__ = inspect.Signature([self, *parameters[1:]])  # type: ignore[attr-defined]
    return cast("Callable[Concatenate[Any, P], R]", method)


def _awaitable(
    verb: Callable[Concatenate[pd.DataFrame, P], Any],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, pd.DataFrame]]:
    """Return a verb as a coroutine method: the same words and the same run, without blocking the event loop."""
    method = _method(verb)

    @functools.wraps(method)
    async def coroutine(self: Any, *args: P.args, **kwargs: P.kwargs) -> pd.DataFrame:
        progress: Any = kwargs.get("progress")
        kwargs["background"] = True
        run: Any = method(self, *args, **kwargs)
        frame: pd.DataFrame = run if kwargs.get("dry_run") else await run.aresult(progress=progress)
        return frame

    return cast("Callable[Concatenate[Any, P], Coroutine[Any, Any, pd.DataFrame]]", coroutine)


def _shown(verb: Callable[Concatenate[pd.DataFrame, P], chatting.Opened]) -> Callable[Concatenate[Any, P], Any]:
    """Return a verb that opens a chat as a method that shows it; the widget's libraries are imported then."""
    method = _method(verb)

    @functools.wraps(method)
    def show(self: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        from .widget.chat import Chat

        return Chat._over(*method(self, *args, **kwargs))

    show.__doc__ = (verb.__doc__ or "").partition("    Examples\n")[0].replace("    Opened\n", "    Chat\n")
    return cast("Callable[Concatenate[Any, P], Any]", show)


@pd.api.extensions.register_dataframe_accessor("tsn")
class FrameAccessor:
    """Language models over the rows of a frame; see :func:`tsn_frames.complete`."""

    def __init__(self, df: pd.DataFrame) -> None:
        self._df = df

    def _frame(self) -> pd.DataFrame:
        return self._df

    complete = _method(verbs.complete)
    acomplete = _awaitable(verbs.complete)
    messages = _method(verbs.messages_of)
    chat = _shown(chatting.chat)
    estimate = _method(estimating.estimate)
    compare = _method(comparing.compare)
    usage = _method(report.usage)
    cost = _method(report.cost)


@pd.api.extensions.register_series_accessor("tsn")
class SeriesAccessor:
    """Language models over a Series; its name is the placeholder, ``{value}`` where it has none."""

    def __init__(self, series: pd.Series) -> None:
        self._series = series

    def _frame(self) -> pd.DataFrame:
        name = self._series.name
        return self._series.to_frame("value" if name is None or isinstance(name, tuple) else name)

    complete = _method(verbs.content_of)
    messages = _method(verbs.messages_of)
    estimate = _method(estimating.estimate)
