"""Read answers: the text of an answer to a label of the closed set, or to the reason why it is none. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from ..rounds.json_answer import parse_json, shortened, without_wrapping
from .codebook import Codebook, Label
from .normal_form import normal_form

How = Literal["exact", "snapped", "repaired", "tied", "none"]
KEYS = ("label", "labels", "answer", "category", "class", "classification", "value", "result", "choice")
EXPLANATIONS = ("explanation", "evidence", "reason", "quote")
_LABELLED = re.compile(r"\s*[*_]*label[*_]*\s*[:=]\s*(.+?)\s*", re.IGNORECASE | re.DOTALL)
_BOOLEANS = {"true": True, "false": False}


class Reading(NamedTuple):
    """What an answer says."""

    labels: tuple[Label, ...] = ()  # one label, several with ``multiple``, none where the answer is not valid
    how: How = "none"  # whether the answer is a label to the letter, or only in its normal form
    problem: str = ""  # why the answer is not valid; empty where it is
    explanation: str | None = None  # the reason or the quote that came with the label
    probability: float | None = None  # the probability of the label among the set, where the service gives log-probabilities

    @property
    def valid(self) -> bool:
        """Whether the answer is in the closed set."""
        return not self.problem


def read_label(text: str | None, codebook: Codebook) -> Reading:
    """Return the one label that an answer is.

    The whole answer has to be the label, alone or wrapped: in quotes, in a code fence, as ``label: ...`` or in JSON. A label that
    merely occurs in the answer is not taken, so "not billing" and "billing or delivery" are not labels.

    >>> book = Codebook.of(["billing", "delivery"])
    >>> read_label("Billing.", book).labels, read_label("billing or delivery", book).problem
    (('billing',), "the answer 'billing or delivery' is not one of the labels")
    """
    bare = without_wrapping(text)
    if not bare:
        return Reading(problem="the answer is empty")
    label = _match(bare, codebook)
    if label is not None:
        return Reading((label,), "exact" if text == str(label) else "snapped")
    found = _parsed(bare)
    explanation = _explanation(found) if isinstance(found, Mapping) else None
    value = _only_value(found) if isinstance(found, Mapping) else found
    if isinstance(value, list):
        if len(value) != 1:
            return Reading(problem=f"the answer names {len(value)} labels, one is asked for")
        value = value[0]
    label = _match(value, codebook) if isinstance(value, (str, int)) else None
    if label is None:
        shown = shortened(value if isinstance(value, str) else bare)
        return Reading(problem=f"the answer {shown} is not one of the labels")
    asked_for = isinstance(found, Mapping) and found.get("label") == label and bare == text
    return Reading((label,), "exact" if asked_for else "snapped", explanation=explanation)


def read_labels(text: str | None, codebook: Codebook) -> Reading:
    """Return all labels that an answer with a decision for each label affirms, in the order of the codebook.

    >>> read_labels('{"billing": true, "delivery": false}', Codebook.of(["billing", "delivery"])).labels
    ('billing',)
    """
    bare = without_wrapping(text)
    if not bare:
        return Reading(problem="the answer is empty")
    found = _parsed(bare)
    if isinstance(found, list):
        return _listed(found, codebook)
    if not isinstance(found, Mapping):
        return Reading(problem=f"the answer {shortened(bare)} is not a JSON object with true or false for each label")
    explanation = _explanation(found)
    for key in ("labels", "label"):
        if isinstance(found.get(key), list):
            return _listed(found[key], codebook, explanation)
        if isinstance(found.get(key), Mapping):
            return _decided(found[key], codebook, explanation, exact=bare == text)
    return _decided(found, codebook, explanation, exact=bare == text)


def _decided(found: Mapping[str, Any], codebook: Codebook, explanation: str | None, *, exact: bool) -> Reading:
    decisions: dict[Label, bool] = {}
    for key, value in found.items():
        label = _match(key, codebook)
        if label is None:
            if key in EXPLANATIONS:
                continue
            return Reading(problem=f"the answer decides on {shortened(key)}, which is not one of the labels")
        decision = _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else value
        if not isinstance(decision, bool):
            return Reading(problem=f"the answer says {shortened(str(value))} for {label!r}: true or false is asked for")
        if label in decisions:
            return Reading(problem=f"the answer decides twice on {label!r}")
        decisions[label] = decision
        exact = exact and key == str(label) and isinstance(value, bool)
    missing = [label for label in codebook.labels if label not in decisions]
    if missing:
        return Reading(problem=f"the answer does not decide on {', '.join(map(repr, missing[:5]))}")
    affirmed = tuple(label for label in codebook.labels if decisions[label])
    return Reading(affirmed, "exact" if exact else "snapped", explanation=explanation)


def _listed(found: list[Any], codebook: Codebook, explanation: str | None = None) -> Reading:
    labels = [_match(value, codebook) if isinstance(value, (str, int)) else None for value in found]
    if None in labels:
        return Reading(problem=f"the answer names {shortened(str(found[labels.index(None)]))}, which is not one of the labels")
    return Reading(tuple(label for label in codebook.labels if label in labels), "snapped", explanation=explanation)


def _parsed(bare: str) -> Any:
    """Return the value of an answer in JSON, the text after ``label:``, or the answer itself."""
    if bare[0] in '{["':
        try:
            return parse_json(bare)
        except ValueError:
            return bare
    labelled = _LABELLED.fullmatch(bare)
    return labelled[1] if labelled else bare


def _only_value(found: Mapping[str, Any]) -> Any:
    """Return the value under the one key that can hold the label."""
    keys = [key for key in found if str(key).casefold() in KEYS]
    return found[keys[0]] if len(keys) == 1 else None


def _explanation(found: Mapping[str, Any]) -> str | None:
    given = next((found[key] for key in EXPLANATIONS if isinstance(found.get(key), str)), None)
    return given.strip() or None if given is not None else None


def _match(value: Any, codebook: Codebook) -> Label | None:
    """Return the label that a value is in its normal form."""
    if isinstance(value, bool):
        return None
    text = str(value)
    label = codebook.names.get(text)
    return codebook.forms.get(normal_form(text)) if label is None else label
