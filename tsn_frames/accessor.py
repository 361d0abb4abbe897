"""``df.tsn`` and ``series.tsn``: the verbs as methods. No logic, no state: pandas makes a new accessor at every use."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, Unpack, cast

import pandas as pd

from .errors import UnknownNameError, named_interrupts
from .frames.prompt import Prompt
from .keyword_options import check_call, with_self
from .notebook.readable_signatures import ReadableType, readable
from .notebook.table_html import table_html
from .text import plural, quoted
from .verbs import complete as verbs
from .verbs import paying_verb
from .verbs.chat import row_chat as chatting
from .verbs.compare import compare as comparing
from .verbs.estimate import estimate as estimating
from .verbs.evaluate import corrected_outcomes, corrected_shares, evaluate, gold_sample
from .verbs.extract import extract as extracting
from .verbs.label import label as labelling
from .verbs.report import report
from .verbs.review import review as reviewing
from .verbs.review.session import ReviewSession
from .verbs.run.run_handle import Run
from .verbs.run.verb_options import CompleteOptions

if TYPE_CHECKING:
    from .widget.chat import Chat
    from .widget.review.review import Review

P = ParamSpec("P")
R = TypeVar("R")
W = TypeVar("W")
MOST_COLUMNS = 8  # in a repr
F = TypeVar("F", bound=Callable[..., Any])


def _method(verb: Callable[Concatenate[pd.DataFrame, P], R], name: str | None = None) -> Callable[Concatenate[Any, P], R]:
    """Return a verb as a method, with its own signature and docstring; of a paying verb with its plan.

    ``name`` is what errors call it, where the method has another name than the verb.
    """

    @functools.wraps(verb)
    def method(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        check_call(method, (self, *args), kwargs)
        with named_interrupts("stopped"):
            return verb(self._df, *args, **kwargs)

    method.__name__ = method.__qualname__ = name or verb.__name__
    signature = inspect.signature(readable(verb))
    method.__signature__ = with_self(signature)  # type: ignore[attr-defined]
    plan = getattr(verb, "plan", None)
    if plan is not None:
        method.plan = lambda self, *args, **kwargs: plan(self._df, *args, **kwargs)  # type: ignore[attr-defined]
    return cast("Callable[Concatenate[Any, P], R]", method)


def _shown(
    verb: Callable[Concatenate[pd.DataFrame, P], R], widget: Callable[[R], W], example: str
) -> Callable[Concatenate[Any, P], W]:
    """Return a verb as a method that returns its widget, with an example; the widget's libraries are imported then."""
    method = _method(verb)

    @functools.wraps(method)
    def show(self: Any, *args: P.args, **kwargs: P.kwargs) -> W:
        return widget(method(self, *args, **kwargs))

    made, session = (inspect.signature(one).return_annotation for one in (widget, verb))
    show.__signature__ = inspect.signature(method).replace(return_annotation=ReadableType(made))  # type: ignore[attr-defined]
    text = (inspect.getdoc(verb) or "").partition("Examples\n---")[0].replace(f"\n{session}\n", f"\n{made}\n")
    show.__doc__ = f"{text}Examples\n--------\n>>> {example}  # doctest: +SKIP\n"
    return cast("Callable[Concatenate[Any, P], W]", show)


def _chat(opened: chatting.Opened) -> Chat:
    from .widget.chat import Chat

    return Chat._over(*opened)


def _review(session: ReviewSession) -> Review:
    from .widget.review.review import Review

    return Review(session)


def _like_complete(returns: str) -> Callable[[F], F]:
    """Return a decorator for a method with the signature and the parameters of ``complete``, and its own result."""
    signature, text = inspect.signature(verbs.complete), inspect.getdoc(verbs.complete) or ""
    parameters = text.partition("\nprompt : ")[2].partition("Returns\n")[0]

    def decorate(method: F) -> F:
        method.__signature__ = with_self(signature).replace(return_annotation=ReadableType(returns))  # type: ignore[attr-defined]
        first, _, rest = (inspect.getdoc(method) or "").partition("\n\n")
        method.__doc__ = f"{first}\n\nParameters\n----------\nprompt : {parameters}{rest}"
        return method

    return decorate


class _Elsewhere:
    """A name that is not here: its error says what to use, and Tab does not show it.

    It is no ``__getattr__``: Tab of IPython completes nothing of an object that has one.
    """

    def __init__(self, message: str) -> None:
        self._message = message

    def __get__(self, accessor: object, owner: type) -> _Elsewhere:
        if accessor is None:
            return self
        raise UnknownNameError(self._message)


class _Accessor:
    """What both namespaces show of themselves."""

    _name: str
    _example: str

    def __init__(self, given: pd.DataFrame | pd.Series) -> None:
        self._given = given

    @property
    def _df(self) -> pd.DataFrame:
        given = self._given
        if isinstance(given, pd.DataFrame):
            return given
        return given.to_frame("value" if given.name is None or isinstance(given.name, tuple) else given.name)

    if not TYPE_CHECKING:
        rehearse = _Elsewhere(
            "df.tsn.rehearse is tsn.simulate(): a service on this machine that answers for free until its .close()"
        )

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not isinstance(getattr(type(self), name, None), _Elsewhere)]

    def __repr__(self) -> str:
        return f"<{self._name}: {plural(len(self._df), 'row')}, {self._columns()}; for example {self._example}>"

    def _repr_html_(self) -> str:
        methods = ", ".join(name for name in dir(self) if not name.startswith("_"))
        rows = [("rows", f"{len(self._df):,}"), ("columns", self._columns()), ("methods", methods), ("example", self._example)]
        return table_html(self._name, rows)

    def _columns(self) -> str:
        names = [quoted(name, most=30) for name in self._df.columns[:MOST_COLUMNS]]
        left = len(self._df.columns) - len(names)
        return ", ".join([*names, *([f"{left:,} more"] if left else [])]) or "no column"


class FrameAccessor(_Accessor):
    """Language models over the rows of a frame; see :func:`tsn_frames.complete`.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> sim, df = tsn.simulate(latency=0.0), pd.DataFrame({"text": ["Where is it?", "Thanks!"]})
    >>> out = df.tsn.complete("Which tone? {text}")
    >>> labelled = df.tsn.label("text", ["question", "praise"])
    >>> sim.close()
    """

    _name, _example = "df.tsn", 'df.tsn.complete("Summarise: {text}")'

    complete = _method(verbs.complete)
    messages = _method(verbs.messages_of, "messages")
    chat = _shown(chatting.chat, _chat, 'df.tsn.chat(0, "Is the customer angry? {text}")')
    estimate = _method(estimating.estimate)
    compare = _method(comparing.compare)
    label = _method(labelling.label)
    extract = _method(extracting.extract)
    usage = _method(report.usage)
    cost = _method(report.cost)
    gold_sample = _method(gold_sample.gold_sample)
    evaluate = _method(evaluate.evaluate)
    shares = _method(corrected_shares.shares)
    corrected = _method(corrected_outcomes.corrected)
    review = _shown(reviewing.review, _review, 'df.tsn.review("text", ["billing", "delivery", "other"])')

    @_like_complete("Run")
    def start(self, prompt: Prompt | None = None, **options: Unpack[CompleteOptions]) -> Run[pd.DataFrame]:
        """Start ``complete`` in the background: short for ``tsn.start(df.tsn.complete, ...)``.

        Returns
        -------
        Run
            ``.frame`` is the frame so far, ``.progress`` the counts, ``.result()`` waits for the finished frame.

        Examples
        --------
        >>> import pandas as pd, tsn_frames as tsn
        >>> sim, df = tsn.simulate(latency=0.0), pd.DataFrame({"text": ["Where is it?", "Thanks!"]})
        >>> run = df.tsn.start("Which tone? {text}")
        >>> run.result()["content"].notna().tolist()
        [True, True]
        >>> sim.close()
        """
        return paying_verb.start(self.complete, prompt, **options)

    @_like_complete("DataFrame")
    async def acomplete(self, prompt: Prompt | None = None, **options: Unpack[CompleteOptions]) -> pd.DataFrame:
        """Await ``complete``: the same run, without blocking the caller's event loop.

        Returns
        -------
        DataFrame
            What ``complete`` returns.

        Examples
        --------
        >>> out = await df.tsn.acomplete("Which tone? {text}")  # doctest: +SKIP
        """
        return await self.start(prompt, **options).aresult(progress=options.get("progress"))


class SeriesAccessor(_Accessor):
    """Language models over a Series; its name is the placeholder, ``{value}`` where it has none."""

    _name, _example = "series.tsn", 'df["summary"] = df["text"].tsn.complete("Summarise: {text}")'

    complete = _method(verbs.content_of, "complete")
    messages = _method(verbs.messages_of, "messages")
    estimate = _method(estimating.estimate_values)


if not TYPE_CHECKING:
    for _name in vars(FrameAccessor).keys() - vars(SeriesAccessor).keys():
        setattr(SeriesAccessor, _name, _Elsewhere(f"series.tsn has no {_name!r}: call it on the frame, df.tsn.{_name}(...)"))
