"""``label``: a frame in, a frame with a label of a closed set for each row out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Unpack, cast

import pandas as pd

from ...frames.other_libraries import FrameT
from ...frames.prompt import check_frame
from ...text import check_flag, check_name
from ..paying_verb import Call, paying_verb
from ..rounds.options import ROUND_DEFAULTS, Explain, RoundOptions, check_new_columns, check_options, included
from ..rounds.requests import RoundRequests
from ..rounds.rounds import Rounds
from ..rounds.rounds_run import RoundsCall, call_of
from ..rounds.row_texts import texts_of
from .codebook import Codebook, Label
from .columns import label_columns, stale_columns, votes_by_question, wanted_columns
from .label_task import LabelTask, examples_of
from .voting import Votes

LABEL_DEFAULTS: Mapping[str, Any] = {
    "multiple": False, "ordered": False, "votes": 1, "probability": False, "name": "label", **ROUND_DEFAULTS,
}  # fmt: skip


class LabelOptions(RoundOptions, total=False):
    """The options of ``label``: its own, and those of all verbs of several rounds."""

    instructions: str | None
    examples: pd.DataFrame | None
    multiple: bool
    ordered: bool
    other: Label | None
    explain: Explain | None
    votes: int | tuple[int, int]
    probability: bool
    name: str


@paying_verb(LabelOptions, LABEL_DEFAULTS)
def label(df: FrameT, text: Any, labels: Any, **options: Unpack[LabelOptions]) -> Call[FrameT]:
    """Label every row of a frame with one of a closed set of labels.

    An answer that is not a label, not even but for case, punctuation or quotes, is asked again once with the reason, and is NA
    after that: no label is ever guessed.

    Parameters
    ----------
    df : DataFrame
        The rows. It is not changed. A frame of Polars or a table of Arrow gives one of its kind.
    text : column label or str
        A column, or a template such as ``"{title} {body}"``.
    labels : list or mapping
        The labels; or label -> description; or group -> list or mapping of labels, which adds ``<name>_group``; or integers ->
        anchors, such as ``{1: "not at all", 5: "wholly"}``.
    instructions : str, optional
        What to decide, in your own words; default: which label fits the text.
    examples : DataFrame, optional
        Rows with the columns of ``text`` and a column called like ``name`` with their labels, shown to the model first.
    multiple : bool, default False
        Decide for each label on its own: one boolean column per label.
    ordered : bool, default False
        Whether the order of the labels means something: an ordered Categorical, and several votes give their lower median.
    other : str or int, optional
        A label of the set for texts that no other label fits.
    explain : {"reason", "quote"}, optional
        Also ask for a reason, or for the deciding words of the text; these words are checked against the text.
    votes : int or (int, int), default 1
        Independent answers for each row. ``(2, 5)`` asks twice, then once more as long as no label is two votes ahead, at most
        five times. A tie is NA.
    probability : bool, default False
        Add the probability of the label among the set by the service's log-probabilities; NA where it gives none.
    structured : {"auto", "json_schema", "json_object", "text"}
        How the answer's form is asked for. ``"auto"`` takes the first that the service accepts, and remembers it beside the cache.
    model, temperature, max_tokens, seed, extra_body, stream : optional
        As for :func:`complete`. The default temperature is 0 for one vote and 1 for several.
    name : str, default "label"
        The label's column, and the prefix of the others.
    usage : bool, default True
        Whether to add tokens, cost and ``cached`` over all requests of a row, votes and repairs included.
    include : sequence of str
        ``"raw"`` adds the text of the answer, or a JSON list of those of several votes.
    overwrite, errors, missing, cache, refresh, max_cost, tag, progress, client : optional
        As for :func:`complete`; ``max_cost`` holds over all votes and repairs.

    Returns
    -------
    DataFrame
        A new frame with the same rows, order and index. With ``name="topic"``: ``topic`` (Categorical with exactly the labels in
        their order), ``topic_how`` (``exact``, ``snapped``, ``repaired``, ``tied`` or ``none``), ``topic_error`` (string), and on
        request the columns ``topic_group``, ``topic_agreement`` (Float64), ``topic_votes`` (Int64), ``topic_probability``
        (Float64), ``topic_reason`` or ``topic_quote`` and ``topic_quoted``, ``topic_prompt_tokens``, ``topic_completion_tokens``,
        ``topic_total_tokens`` (Int64), ``topic_cost`` (Float64), ``topic_cached`` (boolean).

    Raises
    ------
    ParameterError, PromptError, ColumnError, ConfigError
        Before anything is sent.
    RunError
        If a run ended early, or rows have no label and ``errors="raise"``. ``.partial`` is the frame so far.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> sim = tsn.simulate(latency=0.0)
    >>> df = pd.DataFrame({"text": ["I was charged twice", "Where is my parcel?"]})
    >>> out = df.tsn.label("text", ["billing", "delivery"], name="topic")
    >>> out["topic"].cat.categories.tolist(), out["topic_how"].isin(["exact", "snapped"]).all().item()
    (['billing', 'delivery'], True)
    >>> sim.close()
    """
    return cast("Call[FrameT]", call_of(prepare(check_frame(df), text, labels, {**LABEL_DEFAULTS, **options})))


def prepare(df: pd.DataFrame, text: Any, labels: Any, words: Mapping[str, Any], verb: str = "label") -> RoundsCall:
    """Return the rounds of a call of ``label`` with all of its options, for the verb that the user called; nothing is sent."""
    task, votes, name = _task(text, labels, words), Votes.of(words["votes"]), words["name"]
    wanted = [*wanted_columns(task, words, several=votes.most > 1), *included(words), "error"]
    shown = [f"{name}_{one}" if one else name for one in wanted]
    check_new_columns(df, shown, overwrite=words["overwrite"])
    sampling = {"temperature": 1.0 if votes.most > 1 else 0.0, "logprobs": words["probability"] and not task.multiple}
    requests = RoundRequests(verb, df, task, texts_of(df, text, words["missing"]), words, sampling)
    rounds = Rounds(requests, votes.first, votes.most, lambda cast: any(map(votes.wants_more, votes_by_question(cast, task))))
    columns = partial(label_columns, rounds, task, dict(zip(wanted, shown, strict=True)))
    return RoundsCall(rounds, columns, f"{name}_error", "no label", stale_columns(df, name, task, wanted))


def _task(text: Any, labels: Any, words: Mapping[str, Any]) -> LabelTask:
    """Return the task that the options describe, checked."""
    check_options(words, ("reason", "quote"))
    for flag in ("multiple", "ordered", "probability"):
        check_flag(flag, words[flag])
    name, multiple, explain = words["name"], words["multiple"], words.get("explain")
    check_name(name)
    book = Codebook.of(labels, ordered=words["ordered"], other=words.get("other"))
    examples = examples_of(words.get("examples"), text, name, book, multiple=multiple, explain=explain)
    return LabelTask(book, words.get("instructions"), multiple, explain, examples)
