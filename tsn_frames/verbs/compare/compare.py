"""The verb that asks several models about the same rows and compares answers, cost and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Unpack

import pandas as pd

from ...engine.budget.spending_limits import amount
from ...frames import per_row
from ...frames.prompt import Prompt, check_frame
from ...text import plural
from ..estimate.result import Estimate, total_estimate
from ..paying_verb import Call, paying_verb
from ..run.background_run import BackgroundRun, OnRun, labelled_warnings
from ..run.prepare import PER_ROW, prepare
from ..run.verb_options import DEFAULTS
from .answer_equality import Normalise, normaliser
from .asked_rows import AskedRows, asked_rows
from .cheapest import MARGIN, check_margin
from .comparison_run import ComparisonRun
from .inputs import check_inside, check_labels, check_money, models_of
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
        The models' names. A dict gives each a label, and its own parameters where it needs them:
        ``{"cold": {"model": "sim-small", "temperature": 0}, "large": "sim-large"}``. A model may have its own
        ``model``, ``prompt``, ``system``, ``temperature`` and so on to ``extra_body``, ``repeat`` and ``client``.
    labels : list or mapping, optional
        A closed set of labels, as for :func:`label`: the models label the texts, and with ``gold`` only the rows that have it. A label
        is right or wrong as it is, and an answer that is not a label is wrong.
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
    ``agreement`` has Wilson's interval; ``cost_per_correct`` that of :func:`tsn_frames.stats.amount_per_success.amount_per_success`. A model is not
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
    check_fit(options, labels=labels is not None)
    varied = models_of(models, OWN_OF_PROMPTS if labels is None else OWN_OF_LABELS)
    check_margin(margin)
    normaliser(normalise)
    examples = any(given.get("examples") is not None for given in (options, *varied.values()))
    asked = asked_rows(df, gold, normalise, sample, random_state, labels=labels is not None, examples=examples)
    check_labels(asked.rows, varied, asked.truth)
    words: dict[str, Any] = {**(DEFAULTS if labels is None else {}), **options, "prompt": prompt}
    warned = set[str]()
    calls = _prepared(
        df, asked, {label: {**words, **own} for label, own in varied.items()}, labels=labels, normalise=normalise, warned=warned
    )

    def result(progress: bool | None, on_run: OnRun = lambda _: None) -> Comparison:
        return ComparisonRun(asked, margin, most, on_run).result(calls, progress, warned)

    most = amount("max_cost", options.get("max_cost"))
    first = next(iter(calls.values()))
    return Call(
        lambda: result(words.get("progress")),
        lambda: BackgroundRun(first.client, len(asked.rows) * len(calls), lambda on_run: result(False, on_run)),
        lambda: _estimate(calls, most),
    )


def _prepared(
    df: pd.DataFrame,
    asked: AskedRows,
    options: Mapping[str, Mapping[str, Any]],
    *,
    labels: Any,
    normalise: Normalise,
    warned: set[str],
) -> dict[str, ModelCall]:
    """Return the call of each model, checked before the first one is sent: a mistake in the last one costs nothing."""
    calls = dict[str, ModelCall]()
    for label, given in options.items():
        words = dict(given)
        for name in (*PER_ROW, "messages", "tag"):
            if (series := per_row.series_of(df, name, given.get(name))) is not None:  # aligned with the whole frame first
                words[name] = series.iloc[asked.positions]
        with labelled_warnings(label, warned):
            if labels is None:
                calls[label] = PromptCall(asked.rows, prepare("compare", asked.rows, words["prompt"], words), normalise)
            else:
                calls[label] = call = LabelCall.of(asked.rows, labels, words)
                check_inside(asked.truth, asked.right, call.labels)
    check_money(part for call in calls.values() for part in call.requests())
    return calls


def _estimate(calls: Mapping[str, ModelCall], most: Decimal | None) -> Estimate:
    found = {label: call.estimate() for label, call in calls.items()}
    return total_estimate(list(found.values()), most, f"a sum over {plural(len(found), 'model')}: .parts has each", found)
