"""The requests of a round: task and examples first and the same for all rows, then the text of each, and the turns of a repair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

import numpy as np
import pandas as pd

from ...api import dumps
from ...engine.runtime.client import Client, client_or_default
from ...frames import per_row
from ...frames.prompt import Rendered
from ..run.prepare import PER_ROW, PreparedCall, prepare_messages
from .features import Features
from .row_texts import Texts
from .task import Message, Mode, R, Task

TOP_LOGPROBS = 20
_PER_ROW = (*PER_ROW, "tag", "refresh")


@dataclass
class RoundRequests(Generic[R]):
    """The requests of a call: what its options and its task make of the text of a row."""

    verb: str  # the verb that the user called
    df: pd.DataFrame
    task: Task[R]  # what the model is asked to do
    texts: Texts  # the text of each row
    options: Mapping[str, Any]  # the options of the verb
    # The API's parameters that the verb sets where the user doesn't: ``temperature``, ``logprobs``
    sampling: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client: Client = client_or_default(self.options.get("client"))
        self.frame = pd.DataFrame({"text": pd.Series(self.texts.texts, self.df.index, dtype=object)})
        self._per_row = {name: per_row.series_of(self.df, name, self.options.get(name)) for name in _PER_ROW}
        per_row.resolve(self.df, {name: self.options.get(name) for name in PER_ROW})  # raises what is wrong with them
        models = self._per_row["model"]
        self.models: list[Any] = [self.options.get("model")] * len(self.df) if models is None else models.tolist()
        self._tails: dict[int, bytes] = {}

    @property
    def parameters_set(self) -> list[str]:
        """The API's parameters that the verb sets itself, which a service may refuse."""
        own = ["temperature"] if self.options.get("temperature") is None else []
        return own + (["logprobs"] if self.sampling.get("logprobs") else [])

    def prepare(
        self, rows: np.ndarray[Any, Any], features: Features, turn: int, repairs: Mapping[int, Sequence[Message]]
    ) -> PreparedCall:
        """Return the requests of some rows: vote number ``turn``, or its repair."""
        varying = {name: series.iloc[rows] for name, series in self._per_row.items() if series is not None}
        options = {**self.options, **varying}
        options = {**options, **self._parameters(options, features), "repeat": turn}
        return prepare_messages(
            self.verb,
            self.frame.iloc[rows],
            lambda: self._rendered(rows.tolist(), features, turn, repairs),
            options,
            prompt=f"{self.task.instructions or ''}{{text}}",  # for the record of the run
        )

    def _parameters(self, options: Mapping[str, Any], features: Features) -> dict[str, Any]:
        """Return the API's parameters that the verb sets, as far as the service takes them."""
        made: dict[str, Any] = {"response_format": self._response_format(features.mode)}
        if options.get("temperature") is None and features.temperature:
            made["temperature"] = self.sampling.get("temperature", 0.0)
        if self.sampling.get("logprobs") and features.logprobs:
            made["extra_body"] = _with_logprobs(options.get("extra_body"))
        return made

    def _response_format(self, mode: Mode) -> dict[str, Any] | None:
        """Return the API's ``response_format`` of a mode; None for text."""
        if mode == "json_schema":
            return {"type": mode, "json_schema": self.task.json_schema()}
        return None if mode == "text" else {"type": mode}

    def _rendered(self, rows: Sequence[int], features: Features, turn: int, repairs: Mapping[int, Sequence[Message]]) -> Rendered:
        """Return the messages: task and examples first and the same for all rows, then the text of each."""
        prefix = dumps(self.task.head(features.mode, turn)).removesuffix(b"]") + b","
        texts = self.texts.texts
        for at in rows:
            if at not in self._tails:
                self._tails[at] = dumps({"role": "user", "content": self.task.user(texts[at] or "")}) + b"]"
        if not repairs:
            return Rendered(prefix, [self._tails[at] for at in rows])
        return Rendered(prefix, [self._tails[at][:-1] + b"," + dumps(repairs[at]).removeprefix(b"[") for at in rows])


def _with_logprobs(extra: Any) -> Any:
    wanted = {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
    return extra.map(lambda own: {**own, **wanted}) if isinstance(extra, pd.Series) else {**(extra or {}), **wanted}
