"""``complete``, ``label``, ``extract``, and ``estimate`` of each: a table in, a table with answers out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import click
import pandas as pd

from ...errors import ConfigError, ParameterError, RunError
from ...text import did_you_mean, warnings_to
from ...verbs.complete import complete
from ...verbs.extract.extract import extract
from ...verbs.files.complete_file import CHUNK, complete_file
from ...verbs.label.label import label
from ...verbs.paying_verb import estimate
from ...verbs.run.run_handle import last_run
from ...verbs.run.summary import Summary
from ..exit_codes import GO_ON, ExitCode, exit_code_of, interrupted_by_termination, kept_answers, report
from ..labels_and_fields import fields_of, labels_of
from ..options import TEXT, client_of, client_options, given, verb_options
from ..tables.file_formats import STANDARD, Format, TableFormat
from ..tables.read_table import read_table
from ..tables.write_table import check_target, write_table
from .verb_help import EPILOG, SUMMARIES, estimate_help, verb_help

VERBS: Mapping[str, Callable[..., Any]] = {"complete": complete, "label": label, "extract": extract}
_FORM = ("given", "encoding", "escape", "delimiter")  # the options of a TableFormat, in its order
_SEED = 0  # of --sample: the same rows in every run, so that they come from the cache
_OWN = {
    "complete": [click.Option(["-p", "--prompt"], type=TEXT, help="The prompt, with {column} placeholders, or @FILE.")],
    "label": [
        click.Option(["--text"], required=True, type=TEXT, help="The column of the texts, or a template such as '{title} {body}'."),
        click.Option(["--labels"], required=True, help="Labels with commas between, or @FILE: a label a line, a CSV table of "
                     "labels and descriptions, or JSON."),
    ],
    "extract": [
        click.Option(["--text"], required=True, type=TEXT, help="The column of the texts, or a template such as '{title} {body}'."),
        click.Option(["--schema"], required=True, help="The fields: a file with a JSON Schema, or FILE.py:CLASS with a dataclass, "
                     "TypedDict or pydantic model."),
    ],
}  # fmt: skip
_INPUT = [
    click.Option(["--format", "given"], type=click.Choice(get_args(Format)), help="Of standard input and output, and of files whose suffix doesn't say; default csv."),
    click.Option(["--delimiter"], metavar="CHARACTER", help="Between the cells of CSV that is read and written; default: a comma."),
    click.Option(["--encoding"], default="utf-8", show_default=True, help="Of CSV and JSON lines that are read."),
    click.Option(["--escape/--no-escape"], default=True, help="Whether an apostrophe keeps spreadsheets from running cells such as =1+1 as formulas; it is removed when CSV is read. Default: yes."),
    click.Option(["--rows"], type=click.IntRange(0), help="Only the first rows."),
    click.Option(["--sample"], type=click.IntRange(0), help="Only so many rows, drawn at random, the same ones every time."),
]  # fmt: skip
_OUTPUT = [
    click.Option(["-o", "--output"], default=STANDARD, metavar="FILE", help="Where the table goes; default: standard output. A file appears when it is whole. A folder, for Parquet larger than memory, gets parts."),
    click.Option(["--partial/--no-partial"], default=False, help="Whether the table so far is written when the run ends early or is interrupted. Default: no; the cache keeps all answers."),
    click.Option(["--chunksize"], type=click.IntRange(1), default=CHUNK, show_default=True, help="Rows of a part, where the output is a folder."),
    click.Option(["-q", "--quiet"], is_flag=True, help="No progress and no summary on stderr."),
]  # fmt: skip


def verb_command(name: str, *, only_estimate: bool = False) -> click.Command:
    """Return the command of a verb: its own options, those of the client, and those of input and output."""

    def run(**values: Any) -> int:
        form = TableFormat(*(values.pop(word) for word in _FORM))
        with warnings_to(lambda text: report(f"note: {text}")):
            return _estimate(name, values, form) if only_estimate else _run(name, values, form)

    source = click.Argument(["source"], default=STANDARD, metavar="[FILE]")
    own = [source, *_OWN[name], *verb_options(VERBS[name]), *client_options(), *_INPUT]
    params: list[click.Parameter] = own if only_estimate else [*own, *_OUTPUT]
    text = estimate_help(name) if only_estimate else verb_help(name)
    return click.Command(name, callback=run, params=params, help=text, epilog=EPILOG, short_help=SUMMARIES[name])


def _run(name: str, values: dict[str, Any], form: TableFormat) -> int:
    target, partial, quiet, chunksize = (values.pop(word) for word in ("output", "partial", "quiet", "chunksize"))
    progress = False if quiet else None
    if name == "complete" and target != STANDARD and (target.endswith(("/", "\\")) or Path(target).is_dir()):
        return _run_in_parts(target, values, chunksize, progress, quiet=quiet)
    check_target(target, form)
    arguments, options = _call(name, values, form)
    try:
        with interrupted_by_termination():
            out = VERBS[name](*arguments, **options, progress=progress)
    except (RunError, KeyboardInterrupt) as end:
        code = exit_code_of(end, cached=options.get("cache") != "off")
        if partial and (frame := _frame_so_far(end)) is not None:
            _write(frame, target, form)
        return code
    if not _write(out, target, form):
        return ExitCode.ENDED_EARLY
    run: Any = last_run()
    return _summary(run.summary, quiet=quiet)


def _run_in_parts(target: str, values: dict[str, Any], chunksize: int, progress: bool | None, *, quiet: bool) -> int:
    source, rows, sample = (values.pop(word) for word in ("source", "rows", "sample"))
    if rows is not None or sample is not None:
        raise ParameterError("--rows and --sample are for an output in one file, not for a folder of parts")
    if Path(source).suffix.lower() != ".parquet" and not Path(source).is_dir():
        raise ParameterError(f"a folder of parts is made of Parquet, got {source}: give --output the name of a file")
    options = {**_options(values), "progress": progress, "chunksize": chunksize}
    try:
        with interrupted_by_termination():
            summary = complete_file(source, target, options.pop("prompt", None), **options)
    except KeyboardInterrupt:
        report(f"Stopped. The parts in {target} are whole, and the cache keeps the answers of the next one. {GO_ON}")
        return ExitCode.INTERRUPTED
    return _summary(summary, quiet=quiet)


def _summary(summary: Summary, *, quiet: bool) -> int:
    """Show the summary, unless the bar has shown it, and return the exit code."""
    if not quiet and not sys.stderr.isatty():
        report(str(summary))
    return ExitCode.ROWS_FAILED if summary.failed else ExitCode.DONE


def _write(df: pd.DataFrame, target: str, form: TableFormat) -> bool:
    """Write the output and return whether that was possible; its answers were paid for, and are in the cache."""
    try:
        write_table(df, target, form)
    except (ValueError, TypeError, NotImplementedError) as error:  # a format that can't hold these values
        report(f"{target} can't be written: {' '.join(str(error).split())}. Another format may hold it. {kept_answers()}")
        return False
    return True


def _estimate(name: str, values: dict[str, Any], form: TableFormat) -> int:
    arguments, options = _call(name, values, form)
    click.echo(str(estimate(VERBS[name], *arguments, **options)))
    return ExitCode.DONE


def _call(name: str, values: dict[str, Any], form: TableFormat) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments and options of a verb."""
    df = _rows(values, form)
    options = _options(values)
    if name == "complete":
        if "prompt" not in options and "messages" not in options:
            raise ParameterError("give --prompt, such as -p 'Summarise: {text}', or --messages with a column of message lists")
        return [df, options.pop("prompt", None)], options
    text = options.pop("text")
    if text not in df.columns and "{" not in text:
        raise ParameterError(
            f"--text names a column {text!r} that the table doesn't have; {did_you_mean(text, df.columns)}{_other_delimiter(df)}"
        )
    return [df, text, labels_of(options.pop("labels")) if name == "label" else fields_of(options.pop("schema"))], options


def _other_delimiter(df: pd.DataFrame) -> str:
    """Return a hint where a table has one column whose name looks like several."""
    found = next((mark for mark in ";\t|" if mark in str(df.columns[0])), None) if df.shape[1] == 1 else None
    return "" if found is None else f". Give --delimiter {found!r} if that is what stands between its cells"


def _rows(values: dict[str, Any], form: TableFormat) -> pd.DataFrame:
    source, rows, sample = (values.pop(word) for word in ("source", "rows", "sample"))
    df = read_table(source, form)
    df = df if rows is None else df.head(rows)
    return df if sample is None or sample >= len(df) else df.sample(sample, random_state=_SEED).sort_index()


def _options(values: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the verb that were given, with the client of the others."""
    client = client_of(values)
    options = given(values)
    if "model" not in options and client.model is None:
        raise ConfigError("no model is given: give --model, or set the environment variable TSN_MODEL")
    if "examples" in options:
        options["examples"] = read_table(options["examples"])
    if "stop" in options:
        options["stop"] = list(options["stop"])
    return {**options, "client": client}


def _frame_so_far(end: BaseException) -> pd.DataFrame | None:
    run: Any = last_run()
    frame = getattr(end, "partial", None)
    return frame if frame is not None or run is None else run.frame
