"""The verb over a file that is larger than memory: a piece of it at a time is a frame, and becomes a part of the output."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...engine.budget.budget import amount
from ...engine.cache.mode import CacheMode
from ...engine.ledger.run_record import fingerprint
from ...engine.runtime.client import Client, client_or_default
from ...errors import ParameterError, RunError, TSNWarning
from ...frames import columns as frame_columns
from ...frames import per_row
from ...frames.missing import Missing
from ...frames.prompt import Prompt, check_frame, render
from ...text import check_choice, plural, quoted
from ..complete import run_of
from ..estimate.estimate import estimate_call
from ..estimate.result import Estimate
from ..run.plan import Errors
from ..run.prepare import PreparedCall, prepare
from ..run.run import Run
from .estimate_total import total_estimate
from .parquet import Source, target_of
from .parts import PartRunner, deduplicate_warnings

CHUNK = 100_000


def complete_file(
    source: str | Path,
    target: str | Path,
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
    chunksize: int = CHUNK,
    dry_run: bool = False,
    progress: bool | None = None,
    client: Client | None = None,
) -> Any:
    """Answer every row of a Parquet file, a piece at a time, into a directory of Parquet files.

    For data larger than memory. A part is moved into the directory when it is whole, so the directory can be read at
    every moment. To go on after an interrupt, run the same call again: what was answered comes from the cache.

    Parameters
    ----------
    source : str or Path
        A Parquet file, or a directory of them with the same columns. Needs ``pip install 'tsn-frames[parquet]'``.
    target : str or Path
        The directory that is made; ``pd.read_parquet(target)`` reads it.
    prompt, system, messages, model, temperature, top_p, max_tokens, stop, frequency_penalty, presence_penalty, extra_body, \
name, usage, include, errors, missing, cache, refresh, repeat, tag, client : optional
        As :func:`complete` has them. What is one value a row there is a callable of the frame here, which gets a piece.
        ``errors="raise"`` raises when all parts are written. With ``cache="off"`` equal rows of different parts are each
        paid for, and a call that is run again pays again.
    overwrite : bool, default False
        Whether columns of the file, and parts of another call in ``target``, may be replaced.
    max_cost : float or Decimal, optional
        The most that the whole file may cost.
    chunksize : int, default 100,000
        Rows of a part. 100,000 rows of short texts take about 200 MB of memory while they are answered.
    dry_run : bool, default False
        Send and write nothing, and return an :class:`Estimate`: the sum of those of all parts.
    progress : bool, optional
        Whether to show a bar over all rows; default: in a notebook and on a terminal.

    Returns
    -------
    FileSummary or Estimate
        Counts, tokens, cost and seconds of all parts, ``parts`` and ``path``. The columns are those of :func:`complete`;
        ``logprobs`` is JSON text. :func:`last_run` has the last part.

    Raises
    ------
    PromptError, ParameterError, ColumnError, ConfigError
        Before anything is sent.
    RunError
        As :func:`complete` does, and where a part's run was stopped; the parts that are whole are kept, and ``.partial`` is the
        frame of the one that isn't.

    Examples
    --------
    >>> import pandas as pd, tempfile, tsn_frames as tsn
    >>> from tsn_frames.simulator import Simulator
    >>> folder = tempfile.mkdtemp()
    >>> pd.DataFrame({"text": ["Where is my parcel?", "I was charged twice"] * 5}).to_parquet(f"{folder}/in.parquet")
    >>> with Simulator(latency=0.0) as sim:
    ...     client = tsn.Client(sim.base_url, model="sim-small", cache=folder, ledger=f"{folder}/ledger.db")
    ...     done = complete_file(f"{folder}/in.parquet", f"{folder}/out", "Topic? {text}", client=client, chunksize=4)
    >>> done.parts, done.rows, done.requests
    (3, 10, 2)
    >>> int(pd.read_parquet(f"{folder}/out")["content"].notna().sum())
    10
    """
    check_choice("errors", errors, Errors)
    check_choice("cache", cache, CacheMode)
    client = client_or_default(client)
    words: dict[str, Any] = {
        "model": model, "temperature": temperature, "top_p": top_p, "max_tokens": max_tokens, "stop": stop,
        "frequency_penalty": frequency_penalty, "presence_penalty": presence_penalty, "extra_body": extra_body, "repeat": repeat,
    }  # fmt: skip
    file = Source(source, _chunk(chunksize))
    _check_values({**words, "messages": messages, "refresh": refresh, "tag": tag})
    wanted = frame_columns.layout(name, usage, include)
    _check_frame(file.empty(), wanted, overwrite, words, (prompt, messages, system, missing))
    what = {"prompt": prompt, "system": system, "messages": messages}
    said = {**words, **what, "default": client.model, "at": client.keyed_url}
    into = target_of(target, file, wanted, fingerprint({word: _said(value) for word, value in said.items()}))
    most = client.budget.with_run(amount("max_cost", max_cost)).run
    others = {**what, "missing": missing, "cache": cache, "refresh": refresh, "tag": tag}

    def call(df: pd.DataFrame, left: Decimal | None) -> PreparedCall:
        return prepare("complete_file", df, client, words, {**others, "max_cost": left})

    if dry_run:
        told = set[str]()
        return total_estimate([_foretold(at, df, call, told) for at, df in enumerate(file.pieces())], most)
    into.open(file.parts, overwrite=overwrite)

    def ask(df: pd.DataFrame, left: Decimal | None, beyond: int, tell: Callable[[str], None]) -> Run:
        return run_of(df, call(df, left), wanted, "coerce", beyond=beyond, tell=tell)

    done = PartRunner(file, into, most, cache != "off", ask).run(progress)
    if errors == "raise" and done.failed:
        raise RunError(f"{done.failed:,} of {plural(done.rows, 'row')} failed; all parts are in {into.path}, and the column "
                       f"{wanted.label('error')!r} says why. Run again to ask again, or errors='coerce' to go without")  # fmt: skip
    return done


def _foretold(at: int, piece: Any, call: Callable[[pd.DataFrame, Any], PreparedCall], told: set[str]) -> Estimate:
    with deduplicate_warnings(f"part {at}", told):
        return estimate_call(call(piece.to_pandas(), None))


def _chunk(size: object) -> int:
    if not pd.api.types.is_integer(size) or size < 1:
        raise ParameterError(f"chunksize must be a whole number of at least 1, got {quoted(size)}")
    return int(size)


def _said(value: Any) -> str:
    """Return what a word of the call says; of a function what it does, not where it stands."""
    code = getattr(value, "__code__", None)
    consts = [const for const in code.co_consts if not hasattr(const, "co_code")] if code else []
    return repr((code.co_code, code.co_names, consts)) if code else str(value)


def _check_values(words: Mapping[str, Any]) -> None:
    for word, value in words.items():
        if isinstance(value, (pd.Series, np.ndarray)):
            raise ParameterError(
                f"{word} is a {type(value).__name__}, which has a frame's rows; a file is read a piece at a time: "
                f"give one value, or a callable of the piece such as {word}=lambda df: df['{word}']"
            )


def _check_frame(df: pd.DataFrame, wanted: frame_columns.Layout, overwrite: bool, words: Mapping[str, Any],
                 prompt: tuple[Any, Any, Any, Any]) -> None:  # fmt: skip
    """Find what is wrong with the words by the file's columns, before its first row is read."""
    check_frame(df)
    frame_columns.check_clash(df, wanted, overwrite)
    per_row.resolve(df, {word: value for word, value in words.items() if not callable(value)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TSNWarning)  # the first part tells it
        render(df, *prompt)
