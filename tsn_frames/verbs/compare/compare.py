"""The verb that asks several models about the same rows and compares answers, cost and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import pandas as pd

from ...errors import ParameterError
from ...frames.prompt import Prompt, check_frame
from ...text import plural
from ..estimate.result import Estimate
from ..estimate.total_estimate import total_estimate
from ..paying_verb import Call, paying_verb
from ..run.background import BackgroundRun, OnRun, labelled_warnings
from ..run.options import DEFAULTS
from ..run.prepare import PER_ROW, prepare
from .agreement import Normalise, normaliser
from .cheapest import MARGIN, check_margin
from .comparison_run import ComparisonRun
from .inputs import (
    check_inside,
    check_labels,
    check_money,
    comparable_gold,
    gold_of,
    models_of,
    positions_of,
    rows_with_gold,
    sampled,
)
from .model_calls import LabelCall, ModelCall, PromptCall
from .options import OWN_OF_LABELS, OWN_OF_PROMPTS, ComparisonOptions, check_fit
from .result import Comparison


@paying_verb(ComparisonOptions)
def compare(
    df: pd.DataFrame,
    prompt: Prompt | None = None,
    *,
    models: Sequence[str] | Mapping[str, str | Mapping[str, Any]],
    labels: Any = None,
    gold: Any = None,
    margin: float = MARGIN,
    normalise: Normalise = "casefold",
    sample: float | None = None,
    random_state: Any = 0,
    **options: Unpack[ComparisonOptions],
) -> Call[Comparison]:
    """Ask several models about the same rows, and compare their answers, tokens, money and time.

    The models are asked one after the other, so that their seconds can be compared. Every answer is cached: a comparison
    that is run again pays only for what has no answer yet.

    Parameters
    ----------
    df : DataFrame
        The rows. It is not changed.
    prompt : str or callable
        As for :func:`complete`; with ``labels``, the column or template of texts, as for :func:`label`.
    models : list of str, or dict of str to str or dict
        The models' names. A dict gives each a label, and parameters of its own where it needs them:
        ``{"cold": {"model": "sim-small", "temperature": 0}, "large": "sim-large"}``. A model may have its own
        ``model``, ``prompt``, ``system``, ``temperature`` and so on to ``extra_body``, ``repeat`` and ``client``.
    labels : list or mapping, optional
        A closed set of labels, as for :func:`label`: the models label the texts, and with ``gold`` only the rows that have it. A label
        is right or wrong as it is, and an answer that is no label is wrong.
    gold : column label, Series or callable, optional
        The right answers. Without ``labels``, rows where it is missing or blank are asked, but not judged.
    margin : float, default 0.02
        By how much the cheapest model may be right less often than the best one, and still be named in ``.cheapest``.
    normalise : {"casefold"}, callable or None, default "casefold"
        How answers and gold are made comparable: ``text.strip().casefold()``; a function of the text; or not at all. An
        answer at which the function raises agrees with nothing.
    sample : int or float, optional
        Take a random sample, with ``gold`` of the rows that have it: an int is a number of rows, a float a share. Default: all rows.
    random_state : optional
        What ``DataFrame.sample`` takes. The default draws the same rows each time, so that they are paid for once.
    max_cost : number, optional
        The most that the whole comparison may cost. What the first models leave of it is for the next ones.
    system, messages, temperature, top_p, max_tokens, stop, frequency_penalty, presence_penalty, response_format, seed, \
extra_body, stream, missing, cache, repeat, tag, progress, client : optional
        As for :func:`complete`, for all models without their own. ``cache="only"`` compares what is cached and sends nothing.
    instructions, examples, ordered, other, explain, votes, structured : optional
        As for :func:`label`, with ``labels`` only. All but ``ordered`` and ``other`` may be a model's own.

    Returns
    -------
    Comparison
        ``.table`` has a row per model, ``.answers`` the sample and a column per model, ``.agreement`` a row per pair
        of models, ``.frames`` what :func:`complete` or :func:`label` returns for each model, ``.cheapest`` and ``.conclusion`` which
        of them to take.

    Raises
    ------
    PromptError, ParameterError, ColumnError, ConfigError
        Before anything is sent.
    RunError
        If the key was refused, the balance is empty, ``max_cost`` is used up, a run was stopped, or no model could be
        asked. A model that fails alone (there is no such model, its server is down) has its reason in the table's column
        ``error``. ``.partial`` is the comparison so far, also at Ctrl-C.

    Notes
    -----
    ``agreement`` has Wilson's interval; ``cost_per_correct`` that of :func:`tsn_frames.stats.ratio.amount_per_success`. A model is not
    worse than the best one by the margin where the upper end of Tango's 95 % interval of the paired difference is below the margin,
    which is a test at 2.5 %: T. Tango, Statistics in Medicine 17 (1998), 891-908. Each model is tested by itself.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> sim = tsn.simulate(latency=0.0)
    >>> df = pd.DataFrame({"text": ["Where is my parcel?", "Thanks!"], "topic": ["delivery", "praise"]})
    >>> found = df.tsn.compare("One of: delivery, praise. {text}", models=["sim-small", "sim-large"], gold="topic")
    >>> found.table["judged"].tolist()
    [2, 2]
    >>> found = compare(df, "text", labels=["delivery", "praise"], models=["sim-small", "sim-large"], gold="topic")
    >>> found.cheapest in ("sim-small", "sim-large")
    True
    >>> sim.close()
    """
    check_frame(df)
    labelling = labels is not None
    check_fit(options, labels=labelling)
    varied = models_of(models, OWN_OF_LABELS if labelling else OWN_OF_PROMPTS)
    check_margin(margin)
    normaliser(normalise)
    truth = None if gold is None else gold_of(df, gold)
    only_gold = truth is not None and (labelling or sample is not None)
    known = (
        rows_with_gold(df, truth, gold, examples=options.get("examples") is not None) if truth is not None and only_gold else None
    )
    if known is not None and not known.any():
        raise ParameterError(f"gold is missing or blank in all {plural(len(df), 'row')}: there is nothing to judge by")
    positions = positions_of(df, sample, random_state, known)
    rows, truth = df.iloc[positions], None if truth is None else truth.iloc[positions]
    check_labels(rows, varied, truth)
    right = None if truth is None else comparable_gold(truth, None if labelling else normalise)
    words: dict[str, Any] = {**({} if labelling else DEFAULTS), **options, "prompt": prompt}
    warned, calls = set[str](), dict[str, ModelCall]()
    for label, own in varied.items():
        given = {**words, **own}
        given |= {name: sampled(df, positions, name, given[name]) for name in (*PER_ROW, "messages", "tag") if name in given}
        with labelled_warnings(label, warned):  # all before the first one is sent: a mistake in the last one costs nothing
            if not labelling:
                calls[label] = PromptCall(rows, prepare("compare", rows, given["prompt"], given), normalise)
                continue
            calls[label] = call = LabelCall.of(rows, labels, given)
            if truth is not None and right is not None:
                check_inside(truth, right, call.labels)
    check_money(part for call in calls.values() for part in call.requests())
    notes = _notes_on_rows(len(df), len(rows), None if known is None else int(known.sum()))

    def result(progress: bool | None, on_run: OnRun | None = None) -> Comparison:
        comparison_run = ComparisonRun(df, rows, truth, right, margin, notes, on_run)
        try:
            for label, call in calls.items():
                with labelled_warnings(label, warned):
                    comparison_run.run(label, call, progress)
            comparison_run.check()
            return comparison_run.comparison()
        except BaseException as end:  # Ctrl-C, too: what was paid for is cached, and what is there can be looked at
            end.partial = comparison_run.comparison() if comparison_run.parts else None  # type: ignore[attr-defined]
            if isinstance(end, KeyboardInterrupt):
                end.add_note("compare(..., cache='only') shows the comparison so far, without sending anything")
            raise

    first = next(iter(calls.values()))
    return Call(
        lambda: result(words.get("progress")),
        lambda: BackgroundRun(first.client, len(rows) * len(calls), lambda on_run: result(False, on_run)),
        lambda: _estimate(calls),
    )


def _estimate(calls: Mapping[str, ModelCall]) -> Estimate:
    found = {label: call.estimate() for label, call in calls.items()}
    most = next(iter(calls.values())).max_cost
    return total_estimate(list(found.values()), most, f"a sum over {plural(len(found), 'model')}: .parts has each", found)


def _notes_on_rows(frame: int, asked: int, known: int | None) -> tuple[str, ...]:
    """Return which of the frame's rows were asked; ``known`` of them have gold."""
    if asked == frame:
        return ()
    if known is None:
        return (f"a sample of {asked:,} of {plural(frame, 'row')}",)
    which = "all" if asked == known else f"a sample of {asked:,} of"
    return (f"{which} {plural(known, 'row')} that have gold, of {frame:,}",)
