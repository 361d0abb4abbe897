"""The options of ``compare``, and which of them go with ``labels=``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ...api.parameters import SamplingParameters
from ...errors import ParameterError
from ..label.codebook import Label
from ..rounds.options import Explain, Structured
from ..run.prepare import PER_ROW
from ..run.verb_options import MessageOptions, RunOptions, SendOptions


class ComparisonOptions(MessageOptions, SamplingParameters, SendOptions, total=False):
    """The options of ``compare`` beside its own: the same for all models. Those from ``instructions`` on go with ``labels=``."""

    instructions: str | None
    examples: pd.DataFrame | None
    ordered: bool
    other: Label | None
    explain: Explain | None
    votes: int | tuple[int, int]
    structured: Structured


_SET = ("ordered", "other")  # of the closed set, which is the same for all models
_LABELLING = ("instructions", "examples", "explain", "votes", "structured")
_BOTH = ("model", "prompt", "client", "temperature", "max_tokens", "seed", "extra_body")
OWN_OF_PROMPTS = (*PER_ROW, "prompt", "system", "client")
OWN_OF_LABELS = (*_BOTH, *_LABELLING)


def check_fit(options: Mapping[str, Any], *, labels: bool) -> None:
    """Refuse options that mean nothing with, or without, ``labels=``."""
    fitting = (*OWN_OF_LABELS, *_SET, *RunOptions.__annotations__)
    for name in options:
        if labels and name not in fitting:
            raise ParameterError(f"{name}= doesn't go with labels=, where the messages are those of df.tsn.label(...)")
        if not labels and name in (*_LABELLING, *_SET):
            raise ParameterError(f"{name}= goes with labels=, which compares models that label")
