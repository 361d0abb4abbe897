"""What a verb of several rounds asks the model for: the interface between the rounds and the verb."""

from __future__ import annotations

from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

Mode = Literal["json_schema", "json_object", "text"]
Message = dict[str, Any]


class Reading(Protocol):
    """What an answer says, or why it can't be used."""

    @property
    def problem(self) -> str:
        """Why the answer is not valid; empty where it is."""


R = TypeVar("R", bound=Reading)


class Task(Protocol[R]):
    """The prompts of a verb, and how it reads an answer."""

    @property
    def instructions(self) -> str | None:
        """The user's own words about the task."""

    @property
    def longest_repaired(self) -> int:
        """The most characters of a wrong answer that are sent back with its repair."""

    def head(self, mode: Mode, turn: int) -> list[Message]:
        """Return the messages that are equal for all rows: system prompt and examples, for vote number ``turn``."""

    def user(self, text: str) -> str:
        """Return the user message of one text."""

    def json_schema(self) -> dict[str, Any]:
        """Return the schema of an answer, with its name, as the API's ``response_format`` has it."""

    def read(self, answer: str | None, logprobs: Any = None) -> R:
        """Return what an answer says."""

    def repair(self, reading: R) -> str:
        """Return the message that asks once more after an answer that is not valid."""

    def merged(self, first: R, again: R) -> R:
        """Return what an answer and its repair say together."""


class Vote(NamedTuple, Generic[R]):
    """One vote on a row: its answer as it was read."""

    reading: R  # what the answer says
    content: str | None = None  # the text of the answer
    repaired: bool = False  # whether it was asked once more
    failure: str | None = None  # the row error of a request without a usable answer: asking for another form would not help

    @property
    def valid(self) -> bool:
        """Whether the answer can be used."""
        return self.failure is None and not self.reading.problem
