"""The verb: a frame in, a frame with answers out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd

from .._gc import gc_paused
from ..engine.cache.mode import CacheMode
from ..engine.run.executor import RunExecutor
from ..engine.runtime.client import Client, client_or_default
from ..frames import columns as frame_columns
from ..frames import prompt as frame_prompt
from ..frames.missing import Missing
from ..frames.prompt import Prompt
from ..text import check_choice, warn
from .estimate.estimate import estimate_call
from .estimate.result import Estimate
from .run.plan import Errors
from .run.prepare import PreparedCall, prepare
from .run.run import Run, start


def complete(
    df: pd.DataFrame,
    prompt: Prompt | None = None,
    *,
    system: str | None = None,
    messages: Any = None,
    model: Any = None,
    temperature: Any = None,
    top_p: Any = None,
    max_tokens: Any = None,
    stop: Any = None,
    frequency_penalty: Any = None,
    presence_penalty: Any = None,
    extra_body: Any = None,
    name: str | None = None,
    usage: bool = True,
    include: Sequence[str] = (),
    overwrite: bool = False,
    errors: Errors = "coerce",
    missing: Missing = "skip",
    cache: CacheMode = "use",
    refresh: Any = None,
    repeat: Any = 0,
    max_cost: float | Decimal | None = None,
    tag: Any = None,
    dry_run: bool = False,
    background: bool = False,
    progress: bool | None = None,
    client: Client | None = None,
) -> Any:
    """Answer every row of a frame with a chat completion.

    Equal requests are sent once, every answer is on disk before it is counted, and a call that is run again pays only
    for what has no answer yet.

    Parameters
    ----------
    df : DataFrame
        The rows. It is not changed.
    prompt : str or callable
        A template with ``{column}`` placeholders, or a function of one row (a dict) that returns a text, a message list
        or None. Exactly one of ``prompt`` and ``messages`` is given.
    system : str, optional
        A template for the system message.
    messages : column label or Series, optional
        Message lists as the API has them.
    model, temperature, top_p, max_tokens, stop, frequency_penalty, presence_penalty : optional
        The API's parameters; what isn't given isn't sent. One value for all rows, or one a row: a Series, or what
        ``DataFrame.assign`` takes.
    extra_body : dict, optional
        Other fields of the request, such as ``{"seed": 7}``. One for all rows, or one a row.
    name : str, optional
        ``name="summary"`` calls the columns ``summary``, ``summary_finish_reason`` and so on.
    usage : bool, default True
        Whether to add ``finish_reason, prompt_tokens, completion_tokens, total_tokens, cost, cached``.
    include : sequence of str
        More facts of the answer: ``model``, ``answered_at``, ``request_key``, ``reasoning``, ``logprobs``,
        ``cached_tokens``, ``cost_source``.
    overwrite : bool, default False
        Whether columns that are there may be replaced.
    errors : {"coerce", "raise"}
        A failed row has NA and its reason in ``error``; ``"raise"`` ends with a ``RunError`` after all rows are tried.
    missing : {"skip", "empty", "raise"} or dict of column to text
        What happens to rows where a column of the prompt is missing or blank.
    cache : {"use", "refresh", "off", "only"}
        Read and write; write only; neither; read only, a row without a cached answer gets the error ``not_cached``.
    refresh : boolean Series or callable, optional
        Rows that are asked again though their answers are cached, such as ``refresh=out["error"].notna()``.
    repeat : int or one a row, default 0
        Part of the cache's key and never sent: other numbers give independent answers to equal requests.
    max_cost : number, optional
        The most that this call may cost, in the currency of the prices. Needs a price of the model and ``max_tokens``: the
        most that a request can cost is held before it is sent, so the bill never passes it.
    tag : str or Series, optional
        What the ledger notes beside the spending.
    dry_run : bool, default False
        Send nothing and return an :class:`Estimate` of what the call would send, use and cost.
    background : bool, default False
        Return a :class:`Run` at once.
    progress : bool, optional
        Whether to show a bar; default: in a notebook and on a terminal.
    client : Client, optional
        Default: the one of :func:`set_client`, else one made of the ``TSN_*`` environment variables.

    Returns
    -------
    DataFrame, Run or Estimate
        A new frame with the same rows, order and index, and the columns ``content`` (string), ``finish_reason``
        (string), ``prompt_tokens``, ``completion_tokens``, ``total_tokens`` (Int64), ``cost`` (Float64, what this run
        paid, in the currency of the prices), ``cached`` (boolean), ``error`` (string). A Run with ``background=True``, an
        Estimate with ``dry_run=True``.

    Raises
    ------
    PromptError, ParameterError, ColumnError, ConfigError
        Before anything is sent.
    RunError
        If the run ended early (key refused, balance empty, ``max_cost`` or the client's budget used up, no such model,
        waits too long, server dead), or rows failed and ``errors="raise"``. ``.partial`` is the frame so far.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> from tsn_frames.simulator import Simulator
    >>> df = pd.DataFrame({"text": ["Where is my parcel?", "Where is my parcel?"]})
    >>> with Simulator(latency=0.0) as sim:
    ...     client = tsn.Client(sim.base_url, model="sim-small")
    ...     out = complete(df, "One of: billing, delivery. {text}", client=client, cache="off")
    ...     sim.stats().requests
    1
    >>> out["cached"].tolist()
    [False, False]
    """
    frame_prompt.check_frame(df)
    check_choice("errors", errors, Errors)
    wanted = frame_columns.layout(name, usage, include)
    frame_columns.check_clash(df, wanted, overwrite)
    call = prepare("complete", df, client_or_default(client), {
        "model": model, "temperature": temperature, "top_p": top_p, "max_tokens": max_tokens, "stop": stop,
        "frequency_penalty": frequency_penalty, "presence_penalty": presence_penalty, "extra_body": extra_body, "repeat": repeat,
    }, {
        "prompt": prompt, "system": system, "messages": messages, "missing": missing, "cache": cache, "refresh": refresh,
        "tag": tag, "max_cost": max_cost,
    })  # fmt: skip
    if dry_run:
        return estimate_call(call)
    run = run_of(df, call, wanted, errors)
    return start(run) if background else run.result(progress=progress)


def run_of(df: pd.DataFrame, call: PreparedCall, wanted: frame_columns.Layout, errors: Errors, *, beyond: int = 0,
           tell: Callable[[str], object] = warn) -> Run:  # fmt: skip
    """Return the run of what a call asks for; who waits for it begins it. ``beyond`` rows of the same file follow in others."""
    client, made, work = call

    def frame(engine: RunExecutor) -> pd.DataFrame:
        with gc_paused():
            return frame_columns.add(
                df,
                wanted,
                frame_columns.build(engine.answers, made.requests, made.inverse, made.problems, wanted, prices=client.prices),
            )

    return Run(RunExecutor(client, work), made, frame, errors, wanted.label("error"), beyond=beyond, tell=tell)


def content_of(
    df: pd.DataFrame,
    prompt: Prompt | None = None,
    *,
    system: str | None = None,
    model: Any = None,
    temperature: Any = None,
    top_p: Any = None,
    max_tokens: Any = None,
    stop: Any = None,
    frequency_penalty: Any = None,
    presence_penalty: Any = None,
    extra_body: Any = None,
    errors: Errors = "coerce",
    missing: Missing = "skip",
    cache: CacheMode = "use",
    refresh: Any = None,
    repeat: Any = 0,
    max_cost: float | Decimal | None = None,
    tag: Any = None,
    dry_run: bool = False,
    progress: bool | None = None,
    client: Client | None = None,
) -> Any:
    """Answer every value of a Series and return the answers, for ``df["x"] = ...`` and ``df.assign``.

    The words are those of :func:`complete`; the Series' name is the placeholder, ``{value}`` where it has none.

    Returns
    -------
    Series of string
        The content of each answer, NA where there is none, with the same index. An Estimate with ``dry_run=True``.
    """
    answered = complete(
        df, prompt, system=system, model=model, temperature=temperature, top_p=top_p, max_tokens=max_tokens, stop=stop,
        frequency_penalty=frequency_penalty, presence_penalty=presence_penalty, extra_body=extra_body, name="content",
        usage=False, overwrite=True, errors=errors, missing=missing, cache=cache, refresh=refresh, repeat=repeat,
        max_cost=max_cost, tag=tag, dry_run=dry_run, progress=progress, client=client,
    )  # fmt: skip
    return answered if isinstance(answered, Estimate) else answered["content"]


def messages_of(
    df: pd.DataFrame, prompt: Prompt | None = None, *, system: str | None = None, messages: Any = None, missing: Missing = "skip"
) -> pd.Series:
    """Return the messages that would be sent for every row: free.

    Returns
    -------
    Series of object
        Message lists; None for a row that would not be sent. Same index.
    """
    rendered = frame_prompt.render(frame_prompt.check_frame(df), prompt, messages, system, missing)
    return pd.Series(rendered.messages(), index=df.index, name="messages", dtype=object)
