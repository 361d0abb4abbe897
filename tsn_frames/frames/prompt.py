"""Render a frame and a prompt to serialised messages. Pure: nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..api import around_user_text, dumps
from ..api.check_messages import check_messages, count_characters, has_late_system, has_system
from ..errors import ParameterError, PromptError, RowError
from ..secret import redact
from ..text import did_you_mean, quoted, warn
from . import values
from .missing_policy import Missing, check_missing, filled_texts, warn_missing
from .other_libraries import advice
from .template import Part, check_is_no_name, columns_of, parse

Prompt = str | Callable[[dict[Any, Any]], Any]
LONGEST = 1_000_000  # characters of one row's prompt


@dataclass
class Rendered:
    """Serialised messages: the shared prefix, each row's rest (None: not sent), and the reasons of rows that are not sent."""

    prefix: bytes
    tails: list[bytes | None]
    problems: dict[int, RowError] = field(default_factory=dict)

    def messages(self) -> list[list[dict[str, Any]] | None]:
        """Return the messages in the API's form."""
        return [None if tail is None else json.loads(self.prefix + tail) for tail in self.tails]


def render(df: pd.DataFrame, prompt: Prompt | None, messages: Any, system: str | None, missing: Missing) -> Rendered:
    """Return the messages of every row of a frame."""
    _check_arguments(prompt, messages, system)
    check_missing(missing, df)
    systems = _parsed(system, df, "system prompt") if system is not None else None
    if messages is not None:
        return _from_messages(df, messages, systems, missing)
    if callable(prompt):
        return _from_callable(df, prompt, systems, missing)
    assert isinstance(prompt, str)
    parts = _parsed(prompt, df, "prompt")
    if not columns_of([*parts, *(systems or [])]):
        warn(f"the prompt names no column, so every row sends the same text; {did_you_mean(prompt[:80], df.columns)}")
    return _from_template(df, parts, systems, missing)


def _parsed(template: str, df: pd.DataFrame, what: str) -> list[Part]:
    parts = parse(template, df.columns, what=what)
    if not columns_of(parts):
        check_is_no_name(template, df.columns, what=what)
    return parts


def _check_arguments(prompt: object, messages: object, system: object) -> None:
    if (prompt is None) == (messages is None):
        raise PromptError("give exactly one of prompt= (a template such as 'Summarise: {text}') and messages= (a column)")
    if prompt is not None and not isinstance(prompt, str) and not callable(prompt):
        got = quoted(prompt)
        if isinstance(prompt, pd.Series):
            column = "text" if prompt.name is None else prompt.name
            got = f"a Series: name its column in a template, such as '{{{column}}}'"
        raise PromptError(f"prompt must be a template or a function of a row, got {got}")
    if system is not None and not isinstance(system, str):
        raise PromptError(f"system must be a string, got {quoted(system)}")


def _from_template(df: pd.DataFrame, parts: list[Part], systems: list[Part] | None, missing: Missing) -> Rendered:
    labels = list(dict.fromkeys([*columns_of(parts), *columns_of(systems or [])]))
    filled, gaps = filled_texts(df, labels, missing)
    constant = systems is None or not columns_of(systems)
    before, after = around_user_text("".join(map(str, systems)) if systems is not None and constant else None)
    users = _fill(parts, filled, len(df))
    if constant:
        return _serialised(users, gaps, dumps, before, after)

    def dump(pair: tuple[str, str]) -> bytes:
        before, after = around_user_text(pair[0])
        return before + dumps(pair[1]) + after

    return _serialised(list(zip(_fill(systems or [], filled, len(df)), users, strict=True)), gaps, dump)


def _fill(parts: Sequence[Part], filled: Mapping[Hashable, list[str]], rows: int) -> list[str]:
    """Fill a template for every row. Data is inserted once and never parsed as a template."""
    columns = [part if isinstance(part, str) else filled[part.label] for part in parts]
    if len(columns) == 2 and isinstance(columns[0], str) and isinstance(columns[1], list):
        first = columns[0]  # the most common form: four times as fast as a join
        return [first + text for text in columns[1]]
    lists = [[column] * rows if isinstance(column, str) else column for column in columns]
    return list(map("".join, zip(*lists, strict=True))) if lists else [""] * rows


def _from_callable(
    df: pd.DataFrame, prompt: Callable[[dict[Any, Any]], Any], systems: list[Part] | None, missing: Missing
) -> Rendered:
    heads, problems = _system_messages(df, systems, missing)
    made = [problems.get(at) or _called(prompt, row, heads[at]) for at, row in enumerate(values.rows(df))]
    nothing = [at for at, one in enumerate(made) if isinstance(one, RowError) and one.code == "missing"]
    if missing == "raise" and nothing:
        first = df.index[nothing[0]]
        raise PromptError(f"the prompt function returned nothing for {len(nothing):,} rows, the first is {first!r}")
    return _rendered(made)


def _system_messages(
    df: pd.DataFrame, systems: list[Part] | None, missing: Missing
) -> tuple[list[list[dict[str, Any]]], dict[int, RowError]]:
    """Return each row's system message, an empty list without one, and the rows where it lacks a value."""
    filled, problems = filled_texts(df, columns_of(systems or []), missing)
    if systems is None:
        return [[]] * len(df), problems
    return [[{"role": "system", "content": text}] for text in _fill(systems, filled, len(df))], problems


def _rendered(made: Sequence[bytes | RowError], prefix: bytes = b"") -> Rendered:
    tails = [one if isinstance(one, bytes) else None for one in made]
    return Rendered(prefix, tails, {at: one for at, one in enumerate(made) if isinstance(one, RowError)})


def _called(prompt: Callable[[dict[Any, Any]], Any], row: dict[Hashable, Any], head: list[dict[str, Any]]) -> bytes | RowError:
    try:
        made = prompt(row)
        if values.is_missing(made) or (isinstance(made, str) and not made.strip()):
            return RowError("missing", "the prompt function returned nothing for this row")
        listed = [{"role": "user", "content": made}] if isinstance(made, str) else made
        listed = check_messages(listed, "the prompt function's messages", values.is_missing)
    except ParameterError as error:
        return RowError("bad_text", redact(str(error)))
    except Exception as error:  # noqa: BLE001 - the user's own code: its row fails, the others go on
        return RowError("prompt", redact(f"the prompt function failed: {type(error).__name__}: {error}"))
    if head and has_system(listed):
        return RowError("prompt", "the messages begin with a system message: leave system= out, or remove that message")
    return _serialised_list([*head, *listed])


def _from_messages(df: pd.DataFrame, given: Any, systems: list[Part] | None, missing: Missing) -> Rendered:
    heads, problems = _system_messages(df, systems, missing)
    lists = _message_lists(df, given)
    problems |= _gaps(df, lists, missing)
    late, made = 0, list[bytes | RowError]()
    for at, found in enumerate(lists):
        if at in problems:
            made.append(problems[at])
            continue
        where = f"messages in row {values.row_name(df.index, at)}"
        try:
            listed = check_messages(found, where, values.is_missing)
        except ParameterError as error:  # content that can't be sent; what is no list of messages raises a PromptError
            made.append(RowError("bad_text", str(error)))
            continue
        if heads[at] and has_system(listed):
            raise PromptError(f"{where} begin with a system message: leave system= out, or remove that message")
        late += has_late_system(listed)
        made.append(_serialised_list([*heads[at], *listed]))
    if late:
        warn(
            f"{late:,} of {len(df):,} message lists have a system message that isn't their first one: the service may refuse them"
        )
    return _rendered(made)


def _gaps(df: pd.DataFrame, lists: Sequence[Any], missing: Missing) -> dict[int, RowError]:
    """Return the rows without a message list; ``missing=`` can't fill them."""
    gaps = [position for position, found in enumerate(lists) if values.is_missing(found)]
    if gaps:
        warn_missing(df, {"messages": gaps}, len(gaps), missing, "A message list can't be filled in: drop or repair those rows")
    return dict.fromkeys(gaps, RowError("missing", "the message list is missing in this row"))


def _message_lists(df: pd.DataFrame, given: Any) -> list[Any]:
    if isinstance(given, pd.Series):
        return list(values.aligned(df, given, "messages").array)
    try:
        known = given in df.columns
    except TypeError:
        known = False
    if not known:
        raise PromptError(f"messages must be a column of message lists, got {quoted(given)}; {did_you_mean(given, df.columns)}")
    return list(values.column(df, given).array)


def _serialised_list(listed: list[dict[str, Any]]) -> bytes | RowError:
    try:
        data = dumps(listed)
    except TypeError as error:
        return RowError("bad_text", f"the messages can't be written as JSON: {error}")
    return too_long(length) if len(data) > LONGEST and (length := count_characters(listed)) > LONGEST else data


def _serialised(texts: Sequence[Any], gaps: dict[int, RowError], dump: Callable[[Any], bytes], prefix: bytes = b"",
                suffix: bytes = b"") -> Rendered:  # fmt: skip
    made: list[Any]
    try:
        made = [dump(text) + suffix for text in texts]
    except TypeError:  # a lone surrogate somewhere: find the rows
        made = [_serialised_text(text, dump, suffix) for text in texts]
    else:
        if not gaps and max(map(len, made), default=0) <= LONGEST:  # the usual case
            return Rendered(prefix, made)
    for at, one in enumerate(made):
        if len(one) > LONGEST and (length := len("".join(texts[at]))) > LONGEST:
            made[at] = too_long(length)
    for at, gap in gaps.items():
        if isinstance(made[at], bytes):
            made[at] = gap
    return _rendered(made, prefix)


def _serialised_text(text: Any, dump: Callable[[Any], bytes], suffix: bytes) -> bytes | RowError:
    try:
        return dump(text) + suffix
    except TypeError:
        at = next((i for i, c in enumerate("".join(text)) if "\ud800" <= c <= "\udfff"), 0)
        return RowError("bad_text", f"a lone surrogate at position {at}; repair it with .encode('utf-8', 'replace').decode()")


def too_long(length: int) -> RowError:
    """Return the error of a row whose prompt has more characters than are sent."""
    most = f"the most that is sent is {LONGEST:,} characters"
    return RowError("too_long", f"{length:,} characters, about {length // 4:,} tokens; {most}")


def check_frame(df: object) -> pd.DataFrame:
    """Return the frame if it is a DataFrame with flat columns."""
    if not isinstance(df, pd.DataFrame):
        raise ParameterError(f"a pandas DataFrame is needed, got a {type(df).__name__}{advice(df)}")
    if isinstance(df.columns, pd.MultiIndex):
        raise PromptError(
            "the columns are a MultiIndex; flatten them first: df.columns = ['_'.join(map(str, c)) for c in df.columns]"
        )
    return df
