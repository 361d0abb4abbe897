"""The features of the models of a call: found out by a model's first row, whose answer counts, and kept beside the cache."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, get_args

from ...engine.cache.service_features import add_features, read_features
from ...engine.runtime.client import Client
from .task import Mode


class Features(NamedTuple):
    """How a service can be asked: the form of answers, and whether it takes ``temperature`` and ``logprobs``."""

    mode: Mode = "json_schema"
    temperature: bool = True
    logprobs: bool = True


PROBES = 3  # rows that may find out a model's features before the defaults are taken
_PARAMETERS = {"temperature": ("temperature",), "logprobs": ("logprob", "log prob", "log-prob", "log_prob")}
_FORMS = ("response_format", "response format", "json", "schema", "grammar", "structured")
_REFUSALS = ("not implemented", "parameter", *_FORMS, *_PARAMETERS["temperature"], *_PARAMETERS["logprobs"])
_WEAKER: dict[Mode, Mode] = {"json_schema": "json_object", "json_object": "text"}


class ModelFeatures:
    """The features with which each model of a call is asked.

    ``models`` has the model of each row, ``used`` the API's parameters that the verb sets itself, which a service may refuse.
    """

    def __init__(self, client: Client, models: Sequence[Any], options: Mapping[str, Any], used: Collection[str]) -> None:
        self._client, self._models, self._structured, self._used = client, models, options["structured"], used
        self._stored = options["cache"] in ("use", "refresh")  # a call that doesn't write the cache keeps no findings
        self._found: dict[Any, Features] = {}
        self._probes = dict.fromkeys(models, PROBES)

    def known(self, at: int) -> bool:
        """Return whether the features of a row's model are known."""
        return self._models[at] in self._found

    def probe(self, at: int, attempt: Callable[[], str | None]) -> None:
        """Find out the features of a row's model.

        ``attempt`` asks for the vote of the row and returns its failure, None where it is answered.
        """
        model, failure = self._models[at], None
        features: Features | None = self._expected(model)
        while features is not None:
            self._found[model] = features
            failure = attempt()
            if failure is None:
                self._keep(model, features)
                return
            features = self._next(features, failure)
        self._probes[model] -= 1  # no form was accepted, so the fault is the row's own
        self._found[model] = self._expected(model)
        if failure is not None and failure.startswith("bad_request:") and self._probes[model]:
            del self._found[model]

    def refuses(self, at: int, failure: str) -> bool:
        """Return whether a failure of a row refuses the request's form, and another one can be tried."""
        return self._next(self._found[self._models[at]], failure) is not None

    def groups(self, rows: Iterable[int]) -> dict[Features, list[int]]:
        """Return rows by the features of their models: each group is a separate run."""
        by_model, found = dict[Any, list[int]](), dict[Features, list[int]]()
        for at in rows:
            by_model.setdefault(self._models[at], []).append(at)
        for model, some in by_model.items():
            features = self._found.get(model) or self._expected(model)
            found[features] = sorted([*found[features], *some]) if features in found else some
        return found

    def _next(self, features: Features, failure: str) -> Features | None:
        return next_features(features, failure, self._used, fixed=self._structured != "auto")

    def _expected(self, model: Any) -> Features:
        """Return the features with which a model is asked first: what is kept of it, else all of them."""
        kept = self._kept(model) or Features()
        return kept if self._structured == "auto" else kept._replace(mode=self._structured)

    def _kept(self, model: Any) -> Features | None:
        found = read_features(self._client.cache.folder).get(self._name(model))
        if not isinstance(found, dict) or found.get("mode") not in get_args(Mode):
            return None
        return Features(**{name: found[name] for name in Features._fields if name in found})

    def _keep(self, model: Any, features: Features) -> None:
        """Keep what an answered request has shown; a form that the user fixed is not a finding."""
        kept = self._kept(model)
        if self._structured != "auto":
            if kept is None:
                return
            features = features._replace(mode=kept.mode)
        if self._stored and kept != features:
            add_features(self._client.cache.folder, {self._name(model): features._asdict()})

    def _name(self, model: Any) -> str:
        """Return the name of the service and the model, under which their features are kept."""
        return f"{self._client.keyed_url} {model or self._client.model}"


def next_features(features: Features, failure: str, used: Collection[str], *, fixed: bool) -> Features | None:
    """Return what to try after a refusal of the request's form; None where there is nothing else to try.

    What the words of ``failure`` name is left out first; without a hint, the parameters are that the verb has set (``used``), then the
    form is weakened, unless it is ``fixed``.

    >>> next_features(Features(), "bad_request: 400: response_format is not supported", ["temperature"], fixed=False).mode
    'json_object'
    >>> next_features(Features(), "bad_request: 400: temp must be 1", ["temperature"], fixed=True).temperature
    False
    """
    code, words = failure.partition(":")[0], failure.casefold()
    if code != "bad_request" and not (code in ("server", "model") and any(word in words for word in _REFUSALS)):
        return None
    left = [name for name in used if getattr(features, name)]
    named = next((name for name in left if any(word in words for word in _PARAMETERS[name])), None)
    if named:
        return features._replace(**{named: False})  # type: ignore[arg-type]
    weaker = None if fixed else _WEAKER.get(features.mode)
    if weaker and any(word in words for word in _FORMS):
        return features._replace(mode=weaker)
    if left:
        return features._replace(**dict.fromkeys(left, False))  # type: ignore[arg-type]
    return features._replace(mode=weaker, **dict.fromkeys(used, True)) if weaker else None
