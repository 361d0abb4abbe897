"""``extract``: a frame in, a frame with typed columns of what each text says out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Unpack, cast

import numpy as np
import pandas as pd

from ...frames.other_libraries import FrameT
from ...frames.prompt import check_frame
from ...text import check_name
from ..paying_verb import Call, paying_verb
from ..rounds.options import ROUND_DEFAULTS, USAGE, RoundOptions, check_new_columns, check_options, included
from ..rounds.requests import RoundRequests
from ..rounds.rounds import Rounds
from ..rounds.rounds_run import RoundsCall, call_of
from ..rounds.row_texts import quoted_flags, texts_of
from .extract_task import Extraction, ExtractTask, examples_of
from .field import Field
from .fields import Fields


class ExtractOptions(RoundOptions, total=False):
    """The options of ``extract``: its own, and those of all verbs of several rounds."""

    instructions: str | None
    examples: pd.DataFrame | None
    explain: Literal["quote"] | None
    name: str | None


@paying_verb(ExtractOptions, ROUND_DEFAULTS)
def extract(df: FrameT, text: Any, fields: Any, **options: Unpack[ExtractOptions]) -> Call[FrameT]:
    """Extract what each text says into typed columns.

    A value that does not fit its type is asked for again once, with what is wrong with it. After that the field is NA and named in
    ``error``; the other fields stay.

    Parameters
    ----------
    df : DataFrame
        The rows. It is not changed. A frame of Polars or a table of Arrow gives one of its kind.
    text : column label or str
        A column, or a template such as ``"{title} {body}"``.
    fields : mapping of name to type, or class
        ``{"party": Literal["Con", "Lab"], "amount": float, "day": datetime.date}``, where every field may be null; or a dataclass,
        TypedDict, msgspec Struct or pydantic model, where a field may be null if its type says so, and whose own checks of
        several fields are run.
    instructions : str, optional
        What to extract, in your own words.
    examples : DataFrame, optional
        Rows with the columns of ``text`` and a column for each field, shown to the model first.
    explain : {"quote"}, optional
        Also ask for the words of the text that each field is taken from: ``<field>_quote``, and ``<field>_quoted``, whether they
        stand in the text.
    structured : {"auto", "json_schema", "json_object", "text"}
        How the answer's form is asked for, as for :func:`label`.
    model, temperature, max_tokens, seed, extra_body, stream : optional
        As for :func:`complete`. The default temperature is 0.
    name : str, optional
        A prefix of all columns: ``name="deal"`` adds ``deal_amount``, ``deal_error`` and so on.
    usage : bool, default True
        Whether to add tokens, cost and ``cached`` over all requests of a row.
    include : sequence of str
        ``"raw"`` adds the text of the answer.
    overwrite, errors, missing, cache, refresh, max_cost, tag, progress, client : optional
        As for :func:`complete`; ``max_cost`` holds over all repairs.

    Returns
    -------
    DataFrame
        A new frame with the same rows, order and index, and a column for each field: string, Int64, Float64, boolean, datetime64,
        Categorical for Literal and Enum, object for lists and nested types; then usage and ``error`` (string).

    Raises
    ------
    ParameterError, PromptError, ColumnError, ConfigError
        Before anything is sent.
    RunError
        If a run ended early, or fields failed and ``errors="raise"``. ``.partial`` is the frame so far.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> sim = tsn.simulate(latency=0.0)
    >>> df = pd.DataFrame({"text": ["Two tickets for 40 euros", "Hello"]})
    >>> out = df.tsn.extract("text", {"count": int, "price": float}, usage=False)
    >>> out.dtypes.astype(str).to_dict()["count"], out.dtypes.astype(str).to_dict()["price"]
    ('Int64', 'Float64')
    >>> sim.close()
    """
    frame = check_frame(df)
    words: dict[str, Any] = {**ROUND_DEFAULTS, **options}
    check_options(words, ("quote",))
    name, known, quotes = words.get("name"), Fields.of(fields), words.get("explain") == "quote"
    if name is not None:
        check_name(name)
    prefix = "" if name is None else f"{name}_"
    wanted = [one for field in known.fields for one in (field.name, *(_quote_names(field.name) if quotes else ()))]
    wanted += [*(USAGE if words["usage"] else ()), *included(words), "error"]
    added = [prefix + one for one in wanted]
    check_new_columns(frame, added, overwrite=words["overwrite"])
    names = {field.name: prefix + field.name for field in known.fields}
    task = ExtractTask(known, words.get("instructions"), quotes, examples_of(words.get("examples"), text, names, known))
    requests = RoundRequests("extract", frame, task, texts_of(frame, text, words["missing"]), words)
    rounds = Rounds(requests, 1, 1, lambda cast: not cast)
    columns = partial(extract_columns, rounds, task, dict(zip(wanted, added, strict=True)))
    stale = _stale(frame, names.values(), added)
    return cast("Call[FrameT]", call_of(RoundsCall(rounds, columns, f"{prefix}error", "fields without a value", stale)))


def _stale(df: pd.DataFrame, fields: Iterable[str], added: Sequence[str]) -> list[str]:
    """Return the quotes of an earlier extraction of the same fields, where this call asks for none."""
    pairs = [_quote_names(field) for field in fields if field in df.columns]
    return [one for pair in pairs if set(pair) <= set(df.columns) for one in pair if one not in added]


def _quote_names(field: str) -> tuple[str, str]:
    return f"{field}_quote", f"{field}_quoted"


def extract_columns(rounds: Rounds[Extraction], task: ExtractTask, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the columns of an extraction; ``names`` has what each is called."""
    votes = [next(iter(rounds.ballots.get(at, ())), None) for at in range(len(rounds.df))]
    readings = [Extraction() if vote is None else vote.reading for vote in votes]
    columns: dict[str, Any] = {
        "raw": pd.array([None if vote is None else vote.content for vote in votes], dtype="string"),
        "error": pd.array([rounds.error_of(at) for at in range(len(votes))], dtype="string"),
        **rounds.totals.columns(),
    }
    for field in task.fields.fields:
        columns[field.name] = _column(field, [reading.found.get(field.name) for reading in readings])
        if task.quotes:
            quotes = [reading.quotes.get(field.name) for reading in readings]
            words, checked = _quote_names(field.name)
            columns[words], columns[checked] = pd.array(quotes, dtype="string"), quoted_flags(quotes, rounds.texts.texts)
    return {label: columns[name] for name, label in names.items()}


def _column(field: Field, values: list[Any]) -> Any:
    if field.dtype == "category":
        return pd.Categorical(values, categories=list(field.categories))
    if field.dtype == "object":
        return np.fromiter(values, dtype=object, count=len(values))
    if field.dtype.startswith(("datetime64", "timedelta64")):
        return pd.array(np.array(values, dtype=field.dtype))
    return pd.array(values, dtype=field.dtype)  # type: ignore[call-overload]
