"""The messages of a labelling request: task, labels and examples first and equal for all rows, then the fenced text. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ...api import dumps
from ...errors import ParameterError
from ...frames.values import is_missing
from ...text import did_you_mean, quoted
from ..rounds.json_answer import object_schema
from ..rounds.options import Explain
from ..rounds.row_texts import ABOUT_FENCES, example_texts, fenced
from ..rounds.task import Message, Mode
from .codebook import Codebook, Label
from .probability import label_probability
from .reading import Reading, read_label, read_labels

# The keys of an explanation sort before "label" and "labels", the object that decisions are in beside it: bodies are sent with
# sorted keys, and a model writes them in the schema's order.
_EXPLAIN: dict[Explain, tuple[str, str]] = {
    "reason": ("explanation", "the reason in one sentence"),
    "quote": ("evidence", "the words of the text that decide it, copied exactly"),
}


class Example(NamedTuple):
    """A text, its labels and their explanation, shown to the model before the text of a row."""

    text: str
    labels: tuple[Label, ...]
    explanation: str | None = None


class LabelTask(NamedTuple):
    """What a model is asked to do with each text."""

    codebook: Codebook
    instructions: str | None = None  # the user's own words about the task
    multiple: bool = False  # whether each label is decided on its own
    explain: Explain | None = None  # what is asked for before the label
    examples: Sequence[Example] = ()  # shown before each text
    longest_repaired: int = 500  # characters of a wrong answer that are sent back with its repair: a label is short

    def head(self, mode: Mode, turn: int) -> list[Message]:
        """Return system prompt and examples; vote number ``turn`` begins the list of labels that many places later."""
        messages: list[Message] = [{"role": "system", "content": self._system(mode, turn)}]
        for example in self.examples:
            messages.append({"role": "user", "content": self.user(example.text)})
            messages.append({"role": "assistant", "content": self._answer(example, mode)})
        return messages

    def user(self, text: str) -> str:
        """Return the user message of one text."""
        return fenced(text, "JSON only." if self._object_answer else "Answer with one label from the list.")

    def json_schema(self) -> dict[str, Any]:
        """Return the schema of an answer, with its name, as the API's ``response_format`` has it."""
        return {"name": "label", "strict": True, "schema": self._schema()}

    def read(self, answer: str | None, logprobs: Any = None) -> Reading:
        """Return what an answer says."""
        if self.multiple:
            return read_labels(answer, self.codebook)
        found = read_label(answer, self.codebook)
        if logprobs is None or not found.valid:
            return found
        return found._replace(probability=label_probability(logprobs, found.labels[0], self.codebook.labels))

    def repair(self, reading: Reading) -> str:
        """Return the message that asks once more after an answer outside the set."""
        listed = ", ".join(map(repr, map(str, self.codebook.labels)))
        return (
            f"That is not valid: {reading.problem}. The labels are: {listed}. "
            "Answer again, in the form that was asked for, nothing else."
        )

    def merged(self, first: Reading, again: Reading) -> Reading:  # noqa: ARG002 - a label is the whole answer
        """Return what an answer and its repair say together: the repair stands for itself."""
        return again

    @property
    def _object_answer(self) -> bool:
        """Whether an answer holds more than a single label, so that it has to be JSON in every mode."""
        return self.multiple or self.explain is not None

    def _system(self, mode: Mode, turn: int) -> str:
        asked = (
            "Decide for each label whether it fits the text."
            if self.multiple
            else "Choose the one label that fits the text best."
        )
        labels, form = f"Labels:\n{self._list(turn)}", f"{ABOUT_FENCES} {self._form(mode)}"
        return "\n\n".join([self.instructions or "Label a text.", asked, labels, form])

    def _answer(self, example: Example, mode: Mode) -> str:
        """Return how an example is answered."""
        explained = {self._key: example.explanation} if self._key and example.explanation else {}
        if self.multiple:
            decisions = {str(label): label in example.labels for label in self.codebook.labels}
            return dumps(explained | ({"labels": decisions} if self.explain else decisions)).decode()
        label = example.labels[0]
        return str(label) if mode == "text" and not self._object_answer else dumps(explained | {"label": label}).decode()

    @property
    def _key(self) -> str | None:
        """The key of the explanation in an answer."""
        return _EXPLAIN[self.explain][0] if self.explain else None

    def _schema(self) -> dict[str, Any]:
        explained: dict[str, Any] = {self._key: {"type": "string"}} if self._key else {}
        if not self.multiple:
            kind = "string" if isinstance(self.codebook.labels[0], str) else "integer"
            return object_schema(explained | {"label": {"type": kind, "enum": list(self.codebook.labels)}})
        decisions = {str(label): {"type": "boolean"} for label in self.codebook.labels}
        return object_schema(explained | {"labels": object_schema(decisions)} if explained else decisions)

    def _list(self, turn: int) -> str:
        book = self.codebook
        lines, group = [], None
        for label in book.labels if book.ordered else book.rotated(turn):
            if book.groups and book.groups.get(label) != group:
                group = book.groups.get(label)
                lines.append(f"{group}:" if group else "else:")
            described = f": {book.descriptions[label]}" if label in book.descriptions else ""
            lines.append(f"{'  ' if book.groups else ''}- {label}{described}")
        return "\n".join(lines)

    def _form(self, mode: Mode) -> str:
        if not self._object_answer and mode == "text":
            return "Answer with one label, exactly as it is written in the list, and nothing else."
        value = "true or false" if self.multiple else "one label, exactly as it is written in the list"
        keys = f"each label as a key and {value}" if self.multiple else f'the key "label" and {value}'
        if self.explain is None:
            return f"Answer with one JSON object: {keys}. Nothing else."
        key, what = _EXPLAIN[self.explain]
        keys = f'the key "labels" and an object with {keys}' if self.multiple else keys
        return f'Answer with one JSON object: first the key "{key}" with {what}, then {keys}. Nothing else.'


def examples_of(
    examples: pd.DataFrame | None, text: Any, name: str, codebook: Codebook, *, multiple: bool, explain: Explain | None
) -> list[Example]:
    """Return the examples of a frame with the columns of ``text`` and the labels in the column ``name``.

    A column ``<name>_reason`` or ``<name>_quote`` holds their explanations, where there is one.
    """
    if examples is None:
        return []
    texts = example_texts(examples, text, [name], "the labels")
    labels = [_labels(value, examples.index[at], codebook, multiple=multiple) for at, value in enumerate(examples[name])]
    explained = examples.get(f"{name}_{explain}")
    why = [None] * len(texts) if explained is None else [None if is_missing(one) else str(one) for one in explained]
    return [Example(*one) for one in zip(texts, labels, why, strict=True)]


def _labels(value: Any, row: Hashable, codebook: Codebook, *, multiple: bool) -> tuple[Label, ...]:
    several = multiple and isinstance(value, (list, tuple, set, frozenset))
    given = list(value) if several else [value]
    if not several and is_missing(value):
        raise ParameterError(f"examples: the label is missing in row {row!r}: fill it in or drop the row")
    found = [_example_label(label, row, codebook) for label in given]
    return tuple(label for label in codebook.labels if label in found)


def _example_label(given: Any, row: Hashable, codebook: Codebook) -> Label:
    """Return the label that an example has; a number in a text, or beside gaps, is the number."""
    plain = given.item() if isinstance(given, np.generic) else given
    plain = int(plain) if isinstance(plain, float) and plain.is_integer() else plain
    if isinstance(plain, bool) or str(plain) not in codebook.names:
        known = did_you_mean(given, codebook.labels)
        raise ParameterError(f"examples: {quoted(given)} in row {row!r} is not one of the labels; {known}")
    return codebook.names[str(plain)]
