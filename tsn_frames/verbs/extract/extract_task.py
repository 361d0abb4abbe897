"""The messages of an extraction and what its answers say: fields first and equal for all rows, then the fenced text. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from ...api import dumps
from ...errors import ParameterError
from ...frames.values import is_missing
from ...text import quoted
from ..rounds.json_answer import object_schema, parse_json, shortened, without_wrapping
from ..rounds.row_texts import ABOUT_FENCES, example_texts, fenced
from ..rounds.task import Message, Mode
from .field import Field, to_json
from .fields import Fields

_QUOTE = {"anyOf": [{"type": "string"}, {"type": "null"}]}  # sorts before the value, as keys are sent: it is written first


class Extraction(NamedTuple):
    """What an answer says."""

    found: Mapping[str, Any] = {}  # the values of the fields that are valid
    problems: Mapping[str, str] = {}  # why the others are not; the key ``""`` is the answer as a whole
    quotes: Mapping[str, str] = {}  # the words of the text that each value was taken from
    answer: Mapping[str, Any] = {}  # the values of JSON that the answer has for the fields

    @property
    def problem(self) -> str:
        """Why some fields are not valid; empty where all are."""
        return "; ".join(f"{name}: {reason}" if name else reason for name, reason in self.problems.items())


class Example(NamedTuple):
    """A text and its answer, shown to the model before the text of a row."""

    text: str
    answer: dict[str, Any]


class ExtractTask(NamedTuple):
    """What a model is asked to do with each text."""

    fields: Fields
    instructions: str | None = None  # the user's own words about the task
    quotes: bool = False  # whether each field comes with the words that it was taken from
    examples: Sequence[Example] = ()  # shown before each text
    longest_repaired: int = 4000  # characters of a wrong answer that are sent back with its repair

    def head(self, mode: Mode, turn: int) -> list[Message]:  # noqa: ARG002 - the task is the same in all forms and votes
        """Return system prompt and examples."""
        messages: list[Message] = [{"role": "system", "content": self._system()}]
        for example in self.examples:
            messages.append({"role": "user", "content": self.user(example.text)})
            messages.append({"role": "assistant", "content": dumps(example.answer).decode()})
        return messages

    def user(self, text: str) -> str:
        """Return the user message of one text."""
        return fenced(text, "JSON only.")

    def json_schema(self) -> dict[str, Any]:
        """Return the schema of an answer, with its name, as the API's ``response_format`` has it."""
        schema = object_schema(self._properties()) | ({"$defs": self.fields.definitions} if self.fields.definitions else {})
        return {"name": "fields", "strict": True, "schema": schema}

    def read(self, answer: str | None, logprobs: Any = None) -> Extraction:  # noqa: ARG002 - of one label only
        """Return what an answer says, field by field."""
        bare = without_wrapping(answer)
        try:
            found = parse_json(bare)
        except ValueError:
            found = None
        if not isinstance(found, Mapping):
            problem = f"the answer {shortened(bare)} is not a JSON object" if bare else "the answer is empty"
            return Extraction(problems={"": problem})
        names = [field.name for field in self.fields.fields]
        if found and not found.keys() & set(names):
            problem = f"the answer {shortened(bare)} has none of the keys {', '.join(map(repr, names[:9]))}"
            return Extraction(problems={"": problem})
        values, quotes = _without_quotes(found) if self.quotes else (found, {})
        return self._checked(values, quotes)

    def _checked(self, answer: Mapping[str, Any], quotes: Mapping[str, str]) -> Extraction:
        names = {field.name for field in self.fields.fields}
        values, problems = self.fields.read(answer)
        known = {name: value for name, value in answer.items() if name in names}
        return Extraction(values, problems, {name: quotes[name] for name in quotes if values.get(name) is not None}, known)

    def repair(self, reading: Extraction) -> str:
        """Return the message that asks once more with the validator's path and sentence."""
        return f"That is not valid: {reading.problem}. Answer again with the whole JSON object, nothing else."

    def merged(self, first: Extraction, again: Extraction) -> Extraction:
        """Return what an answer and its repair say together: a valid field of the answer stays where the repair has none."""
        if not again.answer and "" in again.problems:
            return first if first.answer else again
        valid = {name: value for name, value in first.answer.items() if name in again.problems and name not in first.problems}
        return self._checked({**first.answer, **again.answer, **valid}, {**first.quotes, **again.quotes})

    def _properties(self) -> dict[str, Any]:
        if not self.quotes:
            return {field.name: field.schema for field in self.fields.fields}
        return {field.name: object_schema({"quote": _QUOTE, "value": field.schema}) for field in self.fields.fields}

    def _system(self) -> str:
        lines = [f"- {name}: {dumps(schema).decode()}" for name, schema in self._properties().items()]
        if self.fields.definitions:
            lines.append(f"$defs: {dumps(self.fields.definitions).decode()}")
        parts = [self.instructions or "Extract facts from a text.", "Keys and their JSON schemas:\n" + "\n".join(lines)]
        if self.quotes:
            parts.append(
                'Each key holds an object: first "quote", the words of the text that say it, copied exactly, then "value".'
            )
        parts.append(
            "Take only what the text says: a key of which it says nothing is null where its schema allows it. "
            f"{ABOUT_FENCES} Answer with one JSON object with exactly these keys. Nothing else."
        )
        return "\n\n".join(parts)


def examples_of(examples: pd.DataFrame | None, text: Any, columns: Mapping[str, str], fields: Fields) -> list[Example]:
    """Return the examples of a frame with the columns of ``text`` and a column for each field."""
    if examples is None:
        return []
    texts = example_texts(examples, text, list(columns.values()), "the values of the fields")
    answers: list[dict[str, Any]] = [{} for _ in texts]
    for field in fields.fields:
        for row, value in enumerate(examples[columns[field.name]]):
            answers[row][field.name] = None if is_missing(value) else _json_value(value, field)
    for label, answer in zip(examples.index, answers, strict=True):
        for name, problem in fields.read(answer).problems.items():
            shown = f"{quoted(answer[name])} in row" if name else "row"
            raise ParameterError(f"examples: {shown} {label!r} does not fit: {problem}")
    return [Example(*one) for one in zip(texts, answers, strict=True)]


def _without_quotes(answer: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values of an answer, and the quotes beside them."""
    values, quotes = dict[str, Any](), dict[str, str]()
    for name, given in answer.items():
        with_quote = isinstance(given, Mapping) and "value" in given and given.keys() <= {"quote", "value"}
        values[name] = given["value"] if with_quote else given
        quote = given.get("quote") if with_quote else None
        if isinstance(quote, str) and quote.strip():
            quotes[name] = quote
    return values, quotes


def _json_value(value: Any, field: Field) -> Any:
    """Return a cell of an example as its answer has it."""
    if isinstance(value, dt.date):
        midnight = not isinstance(value, dt.datetime) or value.time() == dt.time()
        return str(value)[:10] if midnight and "date-time" not in str(field.schema) else value.isoformat()
    plain = to_json(value)
    return int(plain) if field.dtype == "Int64" and isinstance(plain, float) and plain.is_integer() else plain
