"""A chat about one row of a frame."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from decimal import Decimal
from typing import Any, NamedTuple, Unpack

import numpy as np
import pandas as pd

from ...api.parameters import SamplingParameters, plain
from ...engine.cache.cache import CacheMode
from ...engine.chat.conversation import Conversation
from ...engine.chat.explanations import explain_text
from ...engine.chat.turn import Turn, text_of
from ...engine.runtime.client import Client, client_or_default
from ...errors import PromptError
from ...frames import output_columns
from ...frames.missing_policy import Missing
from ...frames.prompt import check_frame
from ...frames.template import check_is_no_name
from ...frames.values import exact, is_missing
from ...keyword_options import spelled_out
from ...text import quoted
from .generate_code import AllRows, CodeGenerator
from .row import context_template, find_row
from .row_template_filler import Templates

_INTRODUCTION = "The questions are about this row of a table:"
_DTYPES = {
    "role": "string", "content": "string", "model": "string", "prompt_tokens": "Int64", "completion_tokens": "Int64",
    "total_tokens": "Int64", "cost": "Float64", "seconds": "Float64", "time": "Float64", "finish_reason": "string", "state": "string",
    "error": "string", "reasoning": "string",
}  # fmt: skip


AllRowsOf = Callable[[int | None], AllRows]


class Opened(NamedTuple):
    """A chat about a row: the conversation, the row's name, and a function that generates the code for all rows."""

    conversation: Conversation
    about: str
    all_rows: AllRowsOf


@spelled_out(SamplingParameters)
def chat(
    df: pd.DataFrame,
    row: Hashable,
    prompt: str | None = None,
    *,
    system: str | None = None,
    name: str | None = None,
    missing: Missing | None = None,
    model: str | None = None,
    cache: CacheMode = "off",
    tag: str | None = None,
    client: Client | None = None,
    **parameters: Unpack[SamplingParameters],
) -> Opened:
    """Open a chat about one row; nothing is sent yet.

    With a ``prompt`` the chat begins with the row's request, and, where the frame has the answer of a :func:`complete`
    run, with that answer. Without one the row's cells are part of the system prompt. Every question is a template that the row
    fills, so that it can be asked of all rows.

    Parameters
    ----------
    df : DataFrame
        The rows.
    row : label
        The row's label in the index, as ``df.loc`` takes it; ``df.index[3]`` is the label of the row at position 3.
    prompt : str, optional
        A template with ``{column}`` placeholders, as :func:`complete` takes it.
    system : str, optional
        A template for the system prompt.
    name : str, optional
        The ``name=`` of the :func:`complete` run that has the answers, or shall have them.
    missing : {"skip", "empty", "raise"} or dict, optional
        As for :func:`complete`. By default a placeholder whose cell is blank is an error here, but an empty text where no
        ``prompt`` is given. "skip" is an error, too: there is no other row.
    model, temperature, top_p, max_tokens, stop, frequency_penalty, presence_penalty, response_format, seed, \
extra_body : optional
        The API's parameters; what isn't given isn't sent.
    cache, tag, client : optional
        As for :class:`Chat`.

    Returns
    -------
    Opened

    Raises
    ------
    ParameterError, PromptError, ConfigError
        If there is no such row, or the prompt can't be made of it.

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({"text": ["Where is it?", "Thanks!"]}, index=["a", "b"])
    >>> opened = chat(df, "a", "Which tone? {text}", client=Client(model="m"))
    >>> opened.conversation.messages
    [{'role': 'user', 'content': 'Which tone? Where is it?'}]
    >>> print(opened.all_rows(None).code)
    ask = dict(
        prompt='Which tone? {text}',
        model='m',
        # client=..., the client of this chat
    )
    print(df.tsn.estimate(**ask))  # what it will cost; sends nothing
    out = df.tsn.complete(**ask)
    """
    one = find_row(check_frame(df), row)
    if prompt is not None and not (isinstance(prompt, str) and prompt.strip()):
        hint = "must be a template such as 'Summarise: {text}' here; without one the row's cells are the context"
        raise PromptError(f"prompt {hint}, got {quoted(prompt)}")
    if system is not None and not isinstance(system, str):
        raise PromptError(f"system must be a string, got {quoted(system)}")
    if prompt is None:
        missing = "empty" if missing is None else missing
    templates = Templates(df, one, context_template(df) if prompt is None else "", "raise" if missing is None else missing)
    if prompt is None:
        system = "\n\n".join(filter(None, [system or _INTRODUCTION, templates.context]))
    for template, what in ((prompt, "prompt"), (system, "system prompt")):
        if template is not None and not templates.columns(template):
            check_is_no_name(template, df.columns, what=what)
    conversation = Conversation(client_or_default(client), model=model, messages=(), cache=cache, tag=tag, **parameters)
    conversation.templates = templates
    conversation.system_template = system
    if prompt is not None:
        question = Turn("user", plain("the prompt", templates.fill(prompt, "prompt")), template=prompt)
        conversation.replace_turns(filter(None, [question, _answer(one, name, templates.columns(prompt))]))
    generator = CodeGenerator(conversation, df, templates, name, missing, client is not None)
    return Opened(conversation, templates.about, generator.generate)


def to_frame(conversation: Conversation, *, removed: bool = False) -> pd.DataFrame:
    """Return the turns of a conversation as a frame; with ``removed`` also those that were asked and are no longer shown."""
    turns, shown = conversation.turns, {id(turn) for turn in conversation.turns}
    if removed:
        asked = conversation.asked
        turns = (*(turn for turn in turns if all(turn is not one for one in asked)), *asked)
    columns: dict[str, list[Any]] = {field: [getattr(turn, field) for turn in turns] for field in _DTYPES}
    columns["content"] = list(map(text_of, columns["content"]))
    columns["cost"] = [None if cost is None else float(cost) for cost in columns["cost"]]
    frame = pd.DataFrame({field: pd.array(found, dtype=_DTYPES[field]) for field, found in columns.items()})  # type: ignore[call-overload]
    frame = frame.assign(time=output_columns.utc_stamps(frame["time"].to_numpy(dtype="float64", na_value=np.nan)))
    return frame.assign(shown=pd.array([id(turn) in shown for turn in turns], dtype="boolean")) if removed else frame


def _answer(one: pd.DataFrame, name: str | None, named: list[Hashable]) -> Turn | None:
    """Return the answer in the row's columns of a ``complete`` run as a turn; None without one."""
    wanted = output_columns.layout(name, True, output_columns.FACTS)
    label = wanted.label("content")
    if not {label, wanted.label("error")} <= set(one.columns) or label in named:  # that column is from before the run
        return None
    found = {field: exact(one[wanted.label(field)])[0] for field in wanted.columns if wanted.label(field) in one.columns}
    known = {field: value for field, value in found.items() if not is_missing(value)}
    if not isinstance(known.get("content"), str):
        error = str(known.get("error", ""))
        return Turn("assistant", "", error=error, state="failed", explanation=explain_text(error)) if error else None
    return Turn(
        "assistant", known["content"], known.get("model"), known.get("prompt_tokens"), known.get("completion_tokens"),
        known.get("total_tokens"), Decimal(str(known["cost"])) if "cost" in known else None,
        time=known["answered_at"].timestamp() if "answered_at" in known else None, finish_reason=known.get("finish_reason"),
        reasoning=known.get("reasoning"), cached="cached" in known and bool(known["cached"]),
    )  # fmt: skip
