"""``complete_file``: answer a file larger than memory; a piece at a time is a frame, and becomes a part of the output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd

from ...engine.budget.spending_limits import amount
from ...engine.cache.cache import CacheMode
from ...engine.ledger.run_record import fingerprint
from ...engine.runtime.client import client_or_default
from ...errors import ParameterError, RunError
from ...frames import output_columns, per_row
from ...frames.arrow import to_frame
from ...frames.prompt import Prompt, check_frame, render
from ...text import check_choice, plural, quoted, warnings_to
from ..complete import run_of
from ..estimate.estimate import estimate_call
from ..estimate.result import Estimate, total_estimate
from ..paying_verb import Call, paying_verb
from ..run.background_run import BackgroundRun, OnRun, labelled_warnings
from ..run.plan import Errors
from ..run.prepare import PER_ROW, PreparedCall, prepare
from ..run.run_handle import Run
from ..run.verb_options import DEFAULTS, CompleteOptions
from .parquet import Source, target_of
from .part_runner import FileSummary, PartRunner

CHUNK = 100_000


@paying_verb(CompleteOptions)
def complete_file(
    source: str | Path,
    target: str | Path,
    prompt: Prompt | None = None,
    *,
    chunksize: int = CHUNK,
    **options: Unpack[CompleteOptions],
) -> Call[FileSummary]:
    """Answer every row of a Parquet file, a piece at a time, into a directory of Parquet files.

    For data larger than memory. A part appears in the directory when it is whole, so the directory can be read at any
    time. To go on after an interrupt, run the same call again: earlier answers come from the cache.

    Parameters
    ----------
    source : str or Path
        A Parquet file, or a directory of them with the same columns. Needs ``pip install 'tsn-frames[parquet]'``.
    target : str or Path
        The directory that is made; ``pd.read_parquet(target)`` reads it.
    prompt, and the options of :func:`complete` : optional
        As there. What may be a value for each row there is a callable of the frame here, which gets a piece.
        ``errors="raise"`` raises when all parts are written. With ``cache="off"`` equal rows of different parts are each
        paid for, and a call that is run again pays again.
    overwrite : bool, default False
        Whether columns of the file, and parts of another call in ``target``, may be replaced.
    max_cost : float or Decimal, optional
        The most that the whole file may cost.
    chunksize : int, default 100,000
        Rows of a part. 100,000 rows of short texts take about 200 MB of memory while they are answered.
    progress : bool, optional
        Whether to show a bar over all rows; default: in a notebook and on a terminal.

    Returns
    -------
    FileSummary
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
    words: dict[str, Any] = {**DEFAULTS, **options}
    check_choice("errors", words["errors"], Errors)
    check_choice("cache", words["cache"], CacheMode)
    client = words["client"] = client_or_default(words.get("client"))
    if not pd.api.types.is_integer(chunksize) or chunksize < 1:
        raise ParameterError(f"chunksize must be a whole number of at least 1, got {quoted(chunksize)}")
    file = Source(source, int(chunksize))
    wanted = output_columns.layout(words.get("name"), words["usage"], words["include"])
    _check_options(to_frame(file.schema.empty_table()), wanted, prompt, words)
    contents = {"prompt": prompt, **{name: words.get(name) for name in ("system", "messages", *PER_ROW)}}
    described = {**contents, "default": client.model, "at": client.keyed_url}
    into = target_of(target, file, wanted, fingerprint({word: _described(value) for word, value in described.items()}))
    most = client.budget.with_run(amount("max_cost", words.get("max_cost"))).run

    def call(df: pd.DataFrame, left: Decimal | None) -> PreparedCall:
        return prepare("complete_file", df, prompt, {**words, "max_cost": left})

    def result(progress: bool | None, on_run: OnRun = lambda _: None) -> FileSummary:
        into.open(overwrite=words["overwrite"])

        def run(df: pd.DataFrame, left: Decimal | None, beyond: int) -> Run[pd.DataFrame]:
            made: Run[pd.DataFrame] = run_of(df, call(df, left), wanted, "coerce", beyond=beyond)
            on_run(made)
            return made

        done = PartRunner(file, into, most, words["cache"] != "off", run).run(progress)
        if words["errors"] == "raise" and done.failed:
            raise RunError(f"{done.failed:,} of {plural(done.rows, 'row')} failed; all parts are in {into.path}, and the column "
                           f"{wanted.label('error')!r} says why. Run again to ask again, or errors='coerce' to go without")  # fmt: skip
        return done

    return Call(
        lambda: result(words.get("progress")),
        lambda: BackgroundRun(client, file.rows, lambda on_run: result(False, on_run)),
        lambda: _estimate(file, call, most),
    )


def _estimate(file: Source, call: Callable[[pd.DataFrame, Any], PreparedCall], most: Decimal | None) -> Estimate:
    warned, found = set[str](), []
    for at, piece in enumerate(file.pieces()):
        with labelled_warnings(f"part {at}", warned, numbers=False):
            found.append(estimate_call(call(to_frame(piece), None)))
    note = "a request that is in several of them is counted in each, and is paid for once"
    return total_estimate(found, most, f"a sum over {plural(len(found), 'part')}: {note}" if len(found) > 1 else None)


def _described(value: Any) -> str:
    """Return an option as text; a function by its code, not by its address."""
    code = getattr(value, "__code__", None)
    consts = [const for const in code.co_consts if not hasattr(const, "co_code")] if code else []
    return repr((code.co_code, code.co_names, consts)) if code else str(value)


def _check_options(df: pd.DataFrame, wanted: output_columns.Layout, prompt: Any, words: Mapping[str, Any]) -> None:
    """Check the options by the file's columns, before its first row is read."""
    for word in ("messages", "refresh", "tag", *PER_ROW):
        if isinstance(words.get(word), (pd.Series, np.ndarray)):
            raise ParameterError(
                f"{word} is a {type(words[word]).__name__}, which has a frame's rows; a file is read a piece at a time: "
                f"give one value, or a callable of the piece such as {word}=lambda df: df['{word}']"
            )
    check_frame(df)
    output_columns.check_clash(df, wanted.labels, overwrite=words["overwrite"])
    per_row.resolve(df, {word: words.get(word) for word in PER_ROW if not callable(words.get(word))})
    with warnings_to(lambda _: None):  # the first part warns
        render(df, prompt, words.get("messages"), words.get("system"), words["missing"])
