"""A chat about one row of a frame."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, Unpack

import numpy as np
import pandas as pd

from ...api.parameters import SamplingParameters
from ...engine.cache.cache import CacheMode
from ...engine.chat.conversation import Conversation
from ...engine.chat.turn import Turn, text_of
from ...engine.runtime.client import Client, client_or_default
from ...errors import ParameterError, PromptError
from ...frames import columns as frame_columns
from ...frames.prompt import check_frame, render
from ...frames.template import columns_of, parse
from ...frames.values import exact, is_missing
from ...text import did_you_mean, plural, quoted
from ...typed_options import spelled_out
from .generate_code import Rows, Template, joined

_INTRODUCTION = "The questions are about this row of a table:"
_DTYPES = {
    "role": "string", "content": "string", "model": "string", "prompt_tokens": "Int64", "completion_tokens": "Int64",
    "total_tokens": "Int64", "cost": "Float64", "seconds": "Float64", "time": "Float64", "finish_reason": "string", "state": "string",
    "error": "string",
}  # fmt: skip


class Opened(NamedTuple):
    """A chat about a row: the conversation, the row's name, and a function that generates the code for all rows."""

    conversation: Conversation
    about: str
    code: Callable[[], str]


@spelled_out(SamplingParameters)
def chat(
    df: pd.DataFrame,
    row: Hashable,
    prompt: str | None = None,
    *,
    system: str | None = None,
    name: str | None = None,
    model: str | None = None,
    cache: CacheMode = "off",
    tag: str | None = None,
    client: Client | None = None,
    **parameters: Unpack[SamplingParameters],
) -> Opened:
    """Open a chat about one row; nothing is sent yet.

    With a ``prompt`` the chat begins with the row's request, and, where the frame has the answer of a :func:`complete`
    run, with that answer. Without one the row's cells stand in the system prompt.

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
        The ``name=`` of the :func:`complete` run that has the answers.
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
    >>> print(opened.code())
    out = df.tsn.complete(
        'Which tone? {text}',
        model='m',
        # client=..., the client of this chat
    )
    """
    one = _one(check_frame(df), row)
    if prompt is not None and not (isinstance(prompt, str) and prompt.strip()):
        hint = "must be a template such as 'Summarise: {text}' here; without one the row's cells are the context"
        raise PromptError(f"prompt {hint}, got {quoted(prompt)}")
    context = _context(df)
    template = Template(prompt, system) if prompt is not None else Template(None, joined(system or _INTRODUCTION, context))
    messages = _rendered(one, template)
    conversation = Conversation(client_or_default(client), model=model, messages=messages, cache=cache, tag=tag, **parameters)
    answer = _answer(one, name, template)
    if answer:
        conversation.replace_turns([*conversation.turns, answer])
    question = next((turn.content for turn in conversation.turns if turn.role == "user"), None)
    rows = Rows(df, template, context, conversation.system, question, _filled(one, context), client is not None)
    return Opened(conversation, f"row {_shown(one.index[0])}", lambda: rows.code(conversation))


def to_frame(conversation: Conversation) -> pd.DataFrame:
    """Return the turns of a conversation as a frame."""
    columns: dict[str, list[Any]] = {field: [getattr(turn, field) for turn in conversation.turns] for field in _DTYPES}
    columns["content"] = list(map(text_of, columns["content"]))
    columns["cost"] = [None if cost is None else float(cost) for cost in columns["cost"]]
    frame = pd.DataFrame({field: pd.array(found, dtype=_DTYPES[field]) for field, found in columns.items()})  # type: ignore[call-overload]
    return frame.assign(time=pd.to_datetime(frame["time"], unit="s", utc=True).astype("datetime64[us, UTC]"))


def _one(df: pd.DataFrame, row: Hashable) -> pd.DataFrame:
    """Return the frame of one row."""
    try:
        at = df.index.get_loc(row)
    except (KeyError, TypeError, ValueError, pd.errors.InvalidIndexError):
        hint = did_you_mean(row, df.index[:1000], most=5) if len(df) else "the frame has no rows"
        raise ParameterError(
            f"the frame has no row {quoted(row)}: a row is named by its label in the index, as in df.loc; {hint}"
        ) from None
    found = df.iloc[[at] if isinstance(at, (int, np.integer)) else at]
    if len(found) != 1:
        whole = f"name one of them whole, such as {_shown(found.index[0])}, or " if found.index.nunique() == len(found) else ""
        raise ParameterError(
            f"{plural(len(found), 'row')} have the label {quoted(row)}: {whole}give each a label of its own with "
            "df.reset_index(drop=True)"
        )
    return found


def _shown(label: Hashable) -> str:
    """Return a label as text: numbers and times without their types."""
    if isinstance(label, tuple):
        return f"({', '.join(map(_shown, label))})"
    return repr(label) if isinstance(label, str) else str(label)


def _context(df: pd.DataFrame) -> str:
    """Return a template of a row's cells, one line for each column.

    Columns that no placeholder can name are left out, and so are bytes, which are no text, and the usage columns of answers.
    """
    shown = [str(label) for label in df.columns]
    binary = {str(label) for label, kind in df.head(100).apply(pd.api.types.infer_dtype).items() if kind == "bytes"}
    beside = _beside_answers(shown)
    names = [name for name in shown if shown.count(name) == 1 and name.strip() and "{" not in name and "}" not in name]
    names = [name for name in names if name not in beside | binary]
    return "\n".join(f"{name}: {{{name}}}" for name in names)


def _beside_answers(names: Sequence[str]) -> set[str]:
    """Return the columns that runs of ``complete`` have added to a frame beside the answers, by their names."""
    called = [None, *names]
    runs = [frame_columns.layout(name or None, True, frame_columns.FACTS) for name in called]
    there = [run for run in runs if {run.label("content"), run.label("error")} <= set(names)]
    return {run.label(column) for run in there for column in run.columns if column != "content"}


def _rendered(one: pd.DataFrame, template: Template) -> list[dict[str, Any]]:
    if template.prompt is not None:
        return _only(render(one, template.prompt, None, template.system, "raise"))
    return _only(render(one, lambda _: "?", None, template.system, "empty"))[:-1]


def _filled(one: pd.DataFrame, context: str) -> str:
    text: str = _only(render(one, lambda _: "?", None, context, "empty"))[0]["content"]
    return text


def _only(rendered: Any) -> list[dict[str, Any]]:
    for problem in rendered.problems.values():
        raise PromptError(problem.message)
    messages: list[dict[str, Any]] = rendered.messages()[0]
    return messages


def _answer(one: pd.DataFrame, name: str | None, template: Template) -> Turn | None:
    """Return the answer in the row's columns of a ``complete`` run as a turn; None without one."""
    wanted = frame_columns.layout(name, True, frame_columns.FACTS)
    label = wanted.label("content")
    if template.prompt is None or not {label, wanted.label("error")} <= set(one.columns):
        return None
    if label in columns_of(parse(template.prompt, one.columns)):  # a column of that name from before the run
        return None
    found = {field: exact(one[wanted.label(field)])[0] for field in wanted.columns if wanted.label(field) in one.columns}
    known = {field: value for field, value in found.items() if not is_missing(value)}
    if not isinstance(known.get("content"), str):
        return Turn("assistant", "", error=str(known["error"]), state="failed") if "error" in known else None
    return Turn(
        "assistant", known["content"], known.get("model"), known.get("prompt_tokens"), known.get("completion_tokens"),
        known.get("total_tokens"), Decimal(str(known["cost"])) if "cost" in known else None,
        time=known["answered_at"].timestamp() if "answered_at" in known else None, finish_reason=known.get("finish_reason"),
        reasoning=known.get("reasoning"), cached="cached" in known and bool(known["cached"]),
    )  # fmt: skip
