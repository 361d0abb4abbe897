"""API key, extra headers and query parameters of a client. Names show, values never do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus, urlencode

from ...errors import ConfigError
from ...secret import Hidden, Secret
from ...text import quoted

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_TEXT = re.compile(r"[!-~](?:[ -~]*[!-~])?")  # what both a header and a query can hold, without outer blanks
_SET_BY_TRANSPORT = frozenset({
    "accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
    "idempotency-key", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
_INSTEAD_OF_API_KEY = frozenset({"authorization", "api-key", "x-api-key", "x-goog-api-key", "ocp-apim-subscription-key", "key"})
_CREDENTIAL_WORDS = frozenset({
    "apikey", "auth", "authorization", "code", "cookie", "credential", "key", "password", "secret", "sig", "signature", "token",
})  # fmt: skip
_MASKED_ANYWHERE = 8  # characters; a shorter value is masked as a whole word only


class HiddenMapping:
    """Header or query values by name; its repr shows the names, its pickle carries no values.

    >>> HiddenMapping("headers", Hidden({"X-Title": "reports"}))
    {'X-Title': '***'}
    """

    __slots__ = ("_setting", "_values", "names")

    def __init__(self, setting: str, given: Hidden) -> None:
        self._setting, self._values, self.names = setting, Hidden({}), tuple[str, ...]()  # first: a traceback may show it
        if isinstance(given.reveal(), HiddenMapping):
            given = Hidden(given.reveal().reveal())
        if problem := _problem(setting, given.reveal()):
            raise ConfigError(problem)
        self._values = Hidden(dict(given.reveal() or {}))
        self.names = tuple(self._values.reveal())

    def reveal(self) -> dict[str, str]:
        """Return names and values."""
        if self._values.reveal() is None:
            raise ConfigError(
                f"the client was pickled, which leaves out the values of {self._setting}=: "
                f"make it where it is used, as Client({self._setting}=...)"
            )
        return dict(self._values.reveal())

    def has_credential(self) -> bool:
        """Return whether a name is that of a key, a token or a password."""
        return any(map(_is_credential, self.names))

    def replaces_api_key(self) -> bool:
        """Return whether a name is one that services take in place of the API key."""
        return any(name.lower() in _INSTEAD_OF_API_KEY for name in self.names)

    def credentials(self) -> frozenset[tuple[str, str]]:
        """Return the names and values that are keys, tokens or passwords."""
        return frozenset((name.lower(), value) for name, value in self.reveal().items() if _is_credential(name))

    def without_credentials(self) -> str:
        """Return a sorted query string without keys, tokens and passwords."""
        return urlencode(sorted((name, value) for name, value in self.reveal().items() if not _is_credential(name)))

    def __bool__(self) -> bool:
        return bool(self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HiddenMapping) and self._values.reveal() == other._values.reveal() and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return repr(dict.fromkeys(self.names, "***"))

    def __deepcopy__(self, memo: object) -> HiddenMapping:
        return self  # in this process a copy keeps the values

    def __reduce__(self) -> tuple[Any, ...]:
        return (_without_values, (self._setting, self.names))


def _without_values(setting: str, names: tuple[str, ...]) -> HiddenMapping:
    made = HiddenMapping(setting, Hidden(None))
    made.names, made._values = names, Hidden(None if names else {})
    return made


class Credentials(Secret):
    """The API key with the headers and query parameters that each request carries.

    Two are equal if they stand for the same account: headers and parameters other than credentials don't matter.

    >>> made = Credentials(Secret(None), HiddenMapping("headers", Hidden({})), HiddenMapping("query", Hidden({"v": "1"})))
    >>> made.query_string(), made.request_headers()
    ('v=1', {})
    """

    __slots__ = ("_headers", "_query")

    def __init__(self, key: Secret, headers: HiddenMapping, query: HiddenMapping) -> None:
        headers.reveal(), query.reveal()  # raise if a pickle left them out
        self.left_out = key.left_out
        self._reveal, self._headers, self._query = key._reveal, headers, query

    def request_headers(self) -> dict[str, str]:
        """Return the extra headers, with ``Authorization`` if there is an API key."""
        return super().request_headers() | self._headers.reveal()

    def query_string(self) -> str:
        """Return the query parameters, encoded."""
        return urlencode(self._query.reveal())

    def masked(self, text: str) -> str:
        """Return a text with the key and all values replaced by asterisks."""
        text = super().masked(text)
        values = [*self._headers.reveal().values(), *self._query.reveal().values()]
        parts = {part for value in values for part in (value, quote_plus(value), *value.split()) if part.lower() != "bearer"}
        for part in sorted(parts, key=len, reverse=True):
            pattern = re.escape(part)
            text = re.sub(pattern if len(part) >= _MASKED_ANYWHERE else rf"(?<!\w){pattern}(?!\w)", "***", text)
        return text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Credentials) and self._account() == other._account()

    def __hash__(self) -> int:
        return hash(self._account())

    def _account(self) -> tuple[object, ...]:
        return self._reveal(), self._headers.credentials(), self._query.credentials()

    def __reduce__(self) -> tuple[Any, ...]:
        return (Credentials, (Secret(None), self._headers, self._query))


def _problem(setting: str, given: object) -> str | None:
    """Return what is wrong with a mapping of headers or query parameters, without its values."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        return f"{setting} must be a dict of texts such as {{'X-Title': 'reports'}}, got a {type(given).__name__}"
    if wrong := next(filter(None, (_entry_problem(setting, *entry) for entry in given.items())), None):
        return wrong
    names = [name.lower() for name in given] if setting == "headers" else []
    twice = next((name for name in names if names.count(name) > 1), None)
    return f"headers has {twice!r} twice, in different spellings: give it once" if twice else None


def _entry_problem(setting: str, name: object, value: object) -> str | None:
    if not isinstance(name, str) or not (_HEADER_NAME if setting == "headers" else _TEXT).fullmatch(name):
        return f"{setting} has the name {quoted(name)}, which can't be sent: give a name such as 'X-Title'"
    if setting == "headers" and name.lower() in _SET_BY_TRANSPORT:
        return f"headers has {name!r}, which is set for each request: leave it out"
    if not isinstance(value, str):
        return f"{setting}[{name!r}] must be a string, got a {type(value).__name__}"
    if not _TEXT.fullmatch(value):
        return f"{setting}[{name!r}] is empty, or has outer blanks or a character that can't be sent: copy it again"
    return None


def _is_credential(name: str) -> bool:
    words = re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower())
    return not _CREDENTIAL_WORDS.isdisjoint(words)
