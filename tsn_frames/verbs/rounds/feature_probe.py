"""The features of the models of a call: probed by a model's first row, whose answer counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .features import Features, next_features
from .requests import RoundRequests

PROBES = 3  # rows that may find out a model's features before the defaults are taken


class ModelFeatures:
    """The features with which each model of a call is asked."""

    def __init__(self, requests: RoundRequests[Any]) -> None:
        self._requests = requests
        self._found: dict[Any, Features] = {}
        self._probes = dict.fromkeys(requests.models, PROBES)
        self._fixed = requests.options["structured"] != "auto"

    def known(self, at: int) -> bool:
        """Return whether the features of a row's model are known."""
        return self._requests.models[at] in self._found

    def first_rows(self, rows: Sequence[int]) -> Sequence[int]:
        """Return the rows among which the models' features are found out: none where all of them are known."""
        return [] if len(self._found) == len(self._probes) else rows

    def probe(self, at: int, attempt: Callable[[], str | None]) -> None:
        """Find out the features of a row's model.

        ``attempt`` asks for the vote of the row and returns its failure, None where it is answered.
        """
        model, failure = self._requests.models[at], None
        features: Features | None = self._requests.expected_features(model)
        while features is not None:
            self._found[model] = features
            failure = attempt()
            if failure is None:
                self._requests.store(model).keep(features, fixed=self._fixed)
                return
            features = self._next(features, failure)
        self._probes[model] -= 1  # no form was accepted, so the fault is the row's own
        self._found[model] = self._requests.expected_features(model)
        if failure is not None and failure.startswith("bad_request:") and self._probes[model]:
            del self._found[model]

    def refuses(self, at: int, failure: str) -> bool:
        """Return whether a failure of a row refuses the request's form, and another one can be tried."""
        return self._next(self._found[self._requests.models[at]], failure) is not None

    def _next(self, features: Features, failure: str) -> Features | None:
        return next_features(features, failure, self._requests.parameters_set, fixed=self._fixed)

    def groups(self, rows: Iterable[int]) -> dict[Features, list[int]]:
        """Return rows by the features of their models: each group is a separate run."""
        by_model = dict[Any, list[int]]()
        if len(self._probes) == 1:
            by_model = {model: list(rows) for model in self._probes}
        else:
            for at in rows:
                by_model.setdefault(self._requests.models[at], []).append(at)
        found = dict[Features, list[int]]()
        for model, some in by_model.items():
            features = self._found.get(model) or self._requests.expected_features(model)
            found[features] = sorted([*found[features], *some]) if features in found else some
        return {features: some for features, some in found.items() if some}
