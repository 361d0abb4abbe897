"""``complete``: a frame in, a frame with answers out."""

from __future__ import annotations

from functools import partial
from typing import Any, Unpack

import pandas as pd

from .._gc_pause import gc_paused
from ..engine.ledger.run_id_attrs import add_run_ids
from ..engine.run.executor import RunExecutor
from ..frames import output_columns
from ..frames import prompt as frame_prompt
from ..frames.missing_policy import SKIP_BY_DEFAULT, Missing
from ..frames.other_libraries import FrameT
from ..frames.prompt import Prompt
from .estimate.estimate import estimate_call
from .paying_verb import Call, paying_verb
from .run.plan import Errors
from .run.prepare import PreparedCall, check_columns, prepare
from .run.run_handle import Run
from .run.verb_options import DEFAULTS, CompleteOptions, SeriesOptions


@paying_verb(CompleteOptions)
def complete(df: FrameT, prompt: Prompt | None = None, **options: Unpack[CompleteOptions]) -> Call[FrameT]:
    """Answer every row of a frame with a chat completion.

    Equal requests are sent once, every answer is on disk before it is counted, and a repeated call pays only for rows
    without an answer.

    Parameters
    ----------
    df : DataFrame
        The rows. It is not changed. A frame of Polars or a table of Arrow gives one of its kind.
    prompt : str or callable
        A template with ``{column}`` placeholders, or a function of one row (a dict) that returns a text, a message list
        or None. Exactly one of ``prompt`` and ``messages`` is given.
    system : str, optional
        A template for the system message.
    messages : column label or Series, optional
        Message lists as the API has them.
    model, temperature, top_p, max_tokens, stop, frequency_penalty, presence_penalty, response_format, seed : optional
        The API's parameters; what isn't given isn't sent. One value for all rows, or one for each: a Series, or what
        ``DataFrame.assign`` takes.
    extra_body : dict, optional
        Other fields of the request, such as ``{"logprobs": True}``. One for all rows, or one for each.
    stream : bool, default False
        Whether answers are sent as event streams, for gateways that cut connections which are silent for a minute. The
        frame, the cache and the key are the same.
    name : str, optional
        ``name="summary"`` calls the columns ``summary``, ``summary_finish_reason`` and so on.
    usage : bool, default True
        Whether to add ``finish_reason, prompt_tokens, completion_tokens, total_tokens, cost, cached``.
    include : sequence of str
        More facts of the answer: ``model``, ``answered_at``, ``request_key``, ``reasoning``, ``logprobs``,
        ``refusal``, ``tool_calls``, ``cached_tokens``, ``cost_source``.
    overwrite : bool, default False
        Whether existing columns may be replaced.
    errors : {"coerce", "raise"}
        A failed row has NA and its reason in ``error``; ``"raise"`` ends with a ``RunError`` after all rows are tried.
    missing : {"skip", "empty", "raise"} or dict of column to text
        What happens to rows where a column of the prompt is missing or blank. Without it they are skipped with a warning.
    cache : {"use", "refresh", "off", "only"}
        Read and write; write only; neither; read only, a row without a cached answer gets the error ``not_cached``.
    refresh : boolean Series or callable, optional
        Rows to ask again although their answers are cached, such as ``refresh=out["error"].notna()``.
    repeat : int, or one for each row, default 0
        Part of the cache key and never sent: other numbers give independent answers to equal requests.
    max_cost : number, optional
        The most that this call may cost, in the currency of the prices. Needs a price of the model and ``max_tokens``: the
        most that a request can cost is held before it is sent, so the bill never passes it.
    tag : str or Series, optional
        The tag of the spending in the ledger.
    progress : bool, optional
        Whether to show a bar; default: in a notebook and on a terminal.
    client : Client, optional
        Default: the client of :func:`set_client`, else one made from the ``TSN_*`` environment variables.

    Returns
    -------
    DataFrame
        A new frame with the same rows, order and index, and the columns ``content`` (string), ``finish_reason``
        (string), ``prompt_tokens``, ``completion_tokens``, ``total_tokens`` (Int64), ``cost`` (Float64, what this run
        paid, in the currency of the prices), ``cached`` (boolean), ``error`` (string).

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
    >>> sim, df = tsn.simulate(latency=0.0), pd.DataFrame({"text": ["Where is my parcel?", "Where is my parcel?"]})
    >>> out = df.tsn.complete("One of: billing, delivery. {text}")
    >>> sim.stats().requests
    1
    >>> out.columns[:3].tolist(), out["cached"].tolist()
    (['text', 'content', 'finish_reason'], [False, False])
    >>> sim.close()
    """
    words, frame = {**DEFAULTS, **options}, frame_prompt.check_frame(df)
    wanted = check_columns(frame, words)
    call = prepare("complete", frame, prompt, words)
    return Call.of_run(lambda: run_of(frame, call, wanted, words["errors"]), lambda: estimate_call(call), words.get("progress"))


@paying_verb(SeriesOptions)
def content_of(df: pd.DataFrame, prompt: Prompt | None = None, **options: Unpack[SeriesOptions]) -> Call[pd.Series]:
    """Answer every value of a Series and return the answers, for ``df["x"] = ...`` and ``df.assign``.

    The parameters are those of :func:`complete`; the Series' name is the placeholder, ``{value}`` where it has none.

    Returns
    -------
    Series of string
        The content of each answer, NA where there is none, with the same index.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> sim, df = tsn.simulate(latency=0.0), pd.DataFrame({"text": ["Where is it?", "Thanks!"]})
    >>> df["tone"] = df["text"].tsn.complete("Which tone? {text}")
    >>> df["tone"].notna().tolist()
    [True, True]
    >>> sim.close()
    """
    words = {**DEFAULTS, **options, "name": "content", "usage": False, "overwrite": True}
    wanted = check_columns(df, words)
    call = prepare("complete", df, prompt, words)
    run = partial(run_of, df, call, wanted, words["errors"], result=lambda frame: frame["content"])
    return Call.of_run(run, lambda: estimate_call(call), words.get("progress"))


def run_of(df: pd.DataFrame, call: PreparedCall, wanted: output_columns.Layout, errors: Errors, **words: Any) -> Run[Any]:
    """Return the run of a prepared call; it is not started. ``words`` are those of :class:`Run`."""
    client, made, work = call

    def frame(engine: RunExecutor) -> pd.DataFrame:
        with gc_paused():
            columns = output_columns.build(
                engine.answers, made.requests, made.inverse, made.problems, wanted, prices=client.prices
            )
            out = output_columns.assign(df, columns)
            add_run_ids(out, [engine.id])
            return out

    return Run(RunExecutor(client, work), made, frame, errors, wanted.label("error"), **words)


def messages_of(
    df: pd.DataFrame,
    prompt: Prompt | None = None,
    *,
    system: str | None = None,
    messages: Any = None,
    missing: Missing = SKIP_BY_DEFAULT,
) -> pd.Series:
    """Return the messages that would be sent for every row; nothing is sent.

    Returns
    -------
    Series of object
        Message lists; None for a row that would not be sent. Same index.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> pd.DataFrame({"text": ["Thanks!"]}).tsn.messages("Which tone? {text}")[0]
    [{'role': 'user', 'content': 'Which tone? Thanks!'}]
    """
    rendered = frame_prompt.render(frame_prompt.check_frame(df), prompt, messages, system, missing)
    return pd.Series(rendered.messages(), index=df.index, name="messages", dtype=object)
