"""The probability of a label from the log-probabilities of an answer's tokens. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .codebook import Label


def label_probability(logprobs: Any, label: Label, labels: Sequence[Label]) -> float | None:
    """Return the probability of a label among the labels, or None where the answer doesn't determine it.

    The tokens are followed from where the label begins. At each one that distinguishes labels, the probabilities of the
    alternatives that begin a label are normalised over the set.
    """
    tokens = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(tokens, list) or not all(isinstance(one, Mapping) and isinstance(one.get("token"), str) for one in tokens):
        return None
    wanted, names = str(label), [str(one) for one in labels]
    start = "".join(one["token"] for one in tokens).rfind(wanted)
    if start < 0:
        return None
    probability, seen, at = 1.0, "", 0
    for one in tokens:
        token = one["token"]
        end = at + len(token)
        if end > start and len(seen) < len(wanted):
            lead = token[: max(0, start - at)]
            share = _share(one, lead, seen, wanted, names)
            if share is None:
                return None
            probability, seen = probability * share, seen + token[len(lead) :]
        at = end
    return probability


def _share(token: Mapping[str, Any], lead: str, seen: str, wanted: str, names: Sequence[str]) -> float | None:
    """Return the share of the token's probability among the alternatives that begin a label."""
    possible = [name for name in names if name.startswith(seen)]
    if len(possible) < 2:
        return 1.0
    right = wrong = 0.0
    for other in token.get("top_logprobs") or [token]:
        text, log = other.get("token"), other.get("logprob")
        if not isinstance(text, str) or not isinstance(log, (int, float)) or not text.startswith(lead):
            continue
        so_far = seen + text[len(lead) :].rstrip(' "\n}')
        if wanted.startswith(so_far):
            right += math.exp(log)
        elif any(name.startswith(so_far) for name in possible):
            wrong += math.exp(log)
    return right / (right + wrong) if right > 0 else None
