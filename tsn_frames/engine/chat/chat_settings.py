"""The settings of a chat: model, system prompt, parameters; validated, and made into a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...api import Request, body_head, dumps
from ...api.cache_key import request_key as key_of
from ...api.parameters import NAMES, body, check, plain
from ...errors import ConfigError, ParameterError, PromptError
from ...text import did_you_mean, quoted
from ..budget.worst_case import check_bounded, longest
from ..runtime.client import Client

_PARAMETERS = NAMES[1:]


class ChatSettings(NamedTuple):
    """The settings of a chat; what isn't given isn't sent.

    >>> ChatSettings().with_model("m").with_parameters({"temperature": 1, "top_p": None})
    ChatSettings(model='m', system=None, parameters={'temperature': 1.0}, system_template=None)
    """

    model: str | None = None
    system: str | None = None
    parameters: Mapping[str, Any] = {}
    system_template: str | None = None  # the system prompt before the cells of a row are filled in

    def with_model(self, name: str | None) -> ChatSettings:
        """Return the settings with another model; None stands for the client's."""
        return self._replace(model=None if name is None else check("model", name))

    def with_system(self, text: str | None, template: str | None = None) -> ChatSettings:
        """Return the settings with another system prompt, and its template if it has one; None for none."""
        if text is not None and not isinstance(text, str):
            raise PromptError(f"system must be a string, got {quoted(text)}")
        return self._replace(system=None if text is None else plain("system", text), system_template=template)

    def with_parameters(self, values: Mapping[str, Any]) -> ChatSettings:
        """Return the settings with these parameters only; a parameter that is None isn't sent."""
        if not isinstance(values, Mapping):
            raise ParameterError(f"parameters must be a dict such as {{'temperature': 0.2}}, got {quoted(values)}")
        for name in values:
            if name not in _PARAMETERS:
                hint = did_you_mean(name, _PARAMETERS)
                raise ParameterError(f"there is no parameter {name!r}; {hint}. Others go into extra_body")
        return self._replace(parameters={name: check(name, value) for name, value in values.items() if value is not None})

    def request(self, client: Client, messages: Sequence[Mapping[str, Any]]) -> Request:
        """Return the request for these messages, the same that ``complete`` would send."""
        model = self.model or client.model
        if model is None:
            raise ConfigError(
                "no model is given: choose one in the box Model, or write chat.model = '...' or Client(model='...'), or set the "
                "environment variable TSN_MODEL"
            )
        head, said = body_head(body({"model": model, **self.parameters})), dumps(messages)
        request = Request(key_of(client.keyed_url, 0, head, said), head, said, model, self.parameters.get("max_tokens"))
        if client.budget:
            if longest(request) is None:
                raise ConfigError(
                    "the client's budget needs max_tokens= (Max tokens in Settings), which bounds what an answer costs"
                )
            check_bounded(client.prices, [request])
        return request
