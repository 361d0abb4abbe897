"""Which features a service has, found out by the first request of a model and kept beside the cache."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, get_args

from ...engine.cache.service_features import add_features, read_features
from ...engine.runtime.client import Client
from .task import Mode


class Features(NamedTuple):
    """How a service can be asked: the form of answers, and whether it takes ``temperature`` and ``logprobs``."""

    mode: Mode = "json_schema"
    temperature: bool = True
    logprobs: bool = True


_PARAMETERS = {"temperature": ("temperature",), "logprobs": ("logprob", "log prob", "log-prob", "log_prob")}
_FORMS = ("response_format", "response format", "json", "schema", "grammar", "structured")
_REFUSALS = ("not implemented", "parameter", *_FORMS, *_PARAMETERS["temperature"], *_PARAMETERS["logprobs"])
_WEAKER: dict[Mode, Mode] = {"json_schema": "json_object", "json_object": "text"}


class FeatureStore(NamedTuple):
    """Where the features of one model of one service are kept."""

    client: Client
    name: str  # of the service and the model
    stored: bool  # whether findings are kept: a call that doesn't write the cache keeps none

    def known(self) -> Features | None:
        """Return what is known of the service, or None."""
        found = read_features(self.client.cache.folder).get(self.name)
        if not isinstance(found, dict) or found.get("mode") not in get_args(Mode):
            return None
        return Features(**{name: found[name] for name in Features._fields if name in found})

    def keep(self, features: Features, *, fixed: bool) -> None:
        """Keep what an answered request has shown; a form that the user fixed is not a finding."""
        known = self.known()
        if fixed:
            features = features._replace(mode=known.mode) if known else known  # type: ignore[assignment]
        if self.stored and features is not None and known != features:
            add_features(self.client.cache.folder, {self.name: features._asdict()})


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
