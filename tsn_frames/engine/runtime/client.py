"""The client: settings only. Sessions open connections and files, one for each run."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Never, TypeVar, cast
from urllib.parse import urlsplit

import platformdirs

from ...api import base_url as address
from ...errors import ArgumentError, ConfigError
from ...notebook.readable_signatures import readable_signature
from ...notebook.table_html import table_html
from ...pricing.price_table import Prices, prices_of
from ...secret import Hidden, Secret
from ...text import did_you_mean, plural, quoted
from ..budget.spending_limits import Budget
from ..cache.cache import Cache
from ..ledger.ledger import Ledger, default_ledger
from ..limits.limits import Limits
from ..retry import Retry
from ..transport.credentials import Credentials, HiddenMapping
from .process import process_state

DEFAULT_TIMEOUT = 300.0
PICKLED = (
    "the client was pickled, which leaves out its API key. Set TSN_API_KEY in the environment of the worker process, "
    "or call tsn.set_key() there"
)
T = TypeVar("T")


@dataclass(frozen=True, init=False, repr=False)
class Client:
    """Settings of a service and of local storage. It opens nothing, so it can be shared, compared and pickled.

    Parameters
    ----------
    base_url : str, optional
        Default: ``TSN_BASE_URL``, else the TokenSuperNova API. It may end with a slash, ``/v1`` or the full endpoint.
    api_key : str, optional
        Default: the key given to :func:`set_key`, else ``TSN_API_KEY``. Never shown, pickled or stored. Not needed
        for a server on this machine, or where ``headers`` or ``query`` has a key.
    model : str, optional
        Model of calls that name none. Default: ``TSN_MODEL``; there is no built-in default.
    cache, ledger : str or Path, optional
        Folder of cached answers (or a :class:`Cache`), and file of recorded spending. Default: ``TSN_CACHE_DIR`` and ``TSN_LEDGER``, else the
        user's cache and data folders.
    limits : Limits, optional
        Rate limits; those not set are learned from the service's responses.
    retry : Retry, optional
        Retry policy.
    timeout : float, default 300
        Seconds for one whole response.
    prices : Prices, mapping, str or Path, optional
        ``{model: (prompt, completion)}`` in currency per million tokens, or the file of such a table. Default: the file
        that ``TSN_PRICES`` names; without prices ``cost`` is NA.
    budget : mapping, optional
        ``{"run": 25, "day": 20, "month": 200}``: the most that each run, and all runs of the ledger in a calendar day and
        month, may cost, in the currency of the prices. ``"timezone"`` is that of days and months; default
        ``"UTC"``.
    headers, query : mapping of str to str, optional
        Extra headers and query parameters of each request, for gateways and deployments. Values are secrets: never shown,
        pickled or stored. Query parameters other than keys are part of cache keys, headers are not.
    allow_http : bool, default False
        Whether a host other than this machine may be used without TLS.
    keep_prompts : bool, default False
        Whether run records in the ledger hold prompts; otherwise they hold only their hashes.

    Raises
    ------
    ConfigError
        If a setting can't work.

    Examples
    --------
    >>> Client("http://127.0.0.1:8000", model="m").base_url
    'http://127.0.0.1:8000/v1'
    """

    base_url: str
    api_key: Secret
    model: str | None
    cache: Cache
    ledger: Ledger
    limits: Limits
    retry: Retry
    timeout: float
    prices: Prices | None
    budget: Budget
    headers: HiddenMapping
    query: HiddenMapping
    allow_http: bool
    keep_prompts: bool

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | Secret | None = None,
        model: str | None = None,
        cache: str | Path | Cache | None = None,
        ledger: str | Path | None = None,
        limits: Limits | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
        prices: Prices | Mapping[str, Any] | str | Path | None = None,
        budget: Mapping[str, Any] | Budget | None = None,
        headers: Mapping[str, str] | HiddenMapping | None = None,
        query: Mapping[str, str] | HiddenMapping | None = None,
        allow_http: bool = False,
        keep_prompts: bool = False,
        **unknown: Never,
    ) -> None:
        names, unknown = list(unknown), {}  # their values may be keys
        url = Hidden(base_url or os.getenv("TSN_BASE_URL") or address.DEFAULT)  # may hold a key by mistake
        secrets = {"api_key": Hidden(api_key), "headers": Hidden(headers), "query": Hidden(query)}
        base_url = api_key = headers = query = None  # tracebacks may show the locals of a frame that raises
        if names:
            known = inspect.signature(Client).parameters
            raise ArgumentError(f"Client() has no parameter {names[0]!r}; {did_you_mean(names[0], known, most=20)}")
        default_folder = platformdirs.user_cache_path("tsn_frames") / "answers"
        values = {
            "api_key": _secret(secrets["api_key"]),
            "headers": HiddenMapping("headers", secrets["headers"]),
            "query": HiddenMapping("query", secrets["query"]),
            "base_url": address.normalise(url.reveal(), allow_http=allow_http),
            "model": _text("model", model) or os.getenv("TSN_MODEL") or None,
            "cache": cache if isinstance(cache, Cache) else Cache(cache or os.getenv("TSN_CACHE_DIR") or default_folder),
            "ledger": Ledger(ledger) if ledger else default_ledger(),
            "limits": _of(Limits, "limits", limits),
            "retry": _of(Retry, "retry", retry),
            "timeout": _seconds(timeout),
            "budget": Budget.of(budget),
            "prices": prices_of(prices if prices is not None else os.getenv("TSN_PRICES") or None),
            "allow_http": allow_http is True,
            "keep_prompts": keep_prompts is True,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        if self.api_key and "authorization" in map(str.lower, self.headers.names):
            raise ConfigError("headers has Authorization, and api_key= is given too: give one of them")

    def __repr__(self) -> str:
        """Return the settings that aren't the usual ones, also before ``__init__`` has ended, for tracebacks."""
        found = {field.name: getattr(self, field.name) for field in fields(self) if hasattr(self, field.name)}
        shown = [f"{name}={value!r}" for name, value in found.items() if name not in _USUAL or value != _USUAL[name]]
        return f"Client({', '.join(shown)})"

    def _repr_html_(self) -> str:
        return table_html("Client", [(name, text) for name, text in _settings(self) if text])

    @property
    def concurrency(self) -> int:
        """Most requests in flight at once."""
        return self.limits.most

    @property
    def host(self) -> str:
        """The host of the base URL, and the port where it has one."""
        return urlsplit(self.base_url).netloc

    @property
    def keyed_url(self) -> str:
        """The base URL in cache keys: with the query parameters other than keys, which may change an answer."""
        query = self.query.without_credentials() if self.query else ""
        return f"{self.base_url}?{query}" if query else self.base_url

    @property
    def has_own_credentials(self) -> bool:
        """Whether the credentials are this client's own, so that :func:`set_key` doesn't change them."""
        return bool(self.api_key) or self.headers.replaces_api_key() or self.query.replaces_api_key()

    def key(self) -> Credentials:
        """Return the credentials to send: API key, headers and query.

        The API key is this client's, else the one given to :func:`set_key`, else that of ``TSN_API_KEY``. The latter two
        are not used where a header such as ``api-key`` stands for the API key: they may belong to another service.

        Raises
        ------
        ConfigError
            If there is none and the server is not on this machine.
        """
        found = self.api_key if self.has_own_credentials else process_state.key or Secret(os.getenv("TSN_API_KEY"))
        needed = not (self.headers.has_credential() or self.query.has_credential())
        if not found and needed and not address.is_loopback(urlsplit(self.base_url).hostname or ""):
            if self.api_key.left_out:
                raise ConfigError(f"there is no API key for {self.host}: {PICKLED}")
            raise ConfigError(
                f"there is no API key for {self.host}. Give one as Client(api_key=...) from a secret store, "
                "or run tsn.set_key(), which asks for it without showing it and keeps it out of the notebook, "
                "or set the environment variable TSN_API_KEY"
            )
        return Credentials(found, self.headers, self.query)


_own = readable_signature(inspect.signature(Client.__init__), globals())
Client.__init__.__signature__ = _own.replace(  # type: ignore[attr-defined]  # what help() and Tab show
    parameters=[one for one in _own.parameters.values() if one.kind is not one.VAR_KEYWORD]
)
_USUAL: Mapping[str, Any] = {
    "api_key": Secret(None), "limits": Limits(), "retry": Retry(), "timeout": DEFAULT_TIMEOUT, "prices": None, "budget": Budget(),
    "headers": HiddenMapping("headers", Hidden(None)), "query": HiddenMapping("query", Hidden(None)),
    "allow_http": False, "keep_prompts": False,
}  # fmt: skip


def _settings(client: Client) -> list[tuple[str, str]]:
    """Return the names of settings and what a page shows of them: of secrets only that they are there."""
    limits, prices, budget = client.limits, client.prices, client.budget
    return [
        ("service", client.base_url),
        ("key", "given" if client.api_key else "that of tsn.set_key() or TSN_API_KEY"),
        ("headers, query", ", ".join([*client.headers.names, *client.query.names])),
        ("model", client.model or "none: give model= in each call"),
        ("prices", f"of {plural(len(prices), 'model')}" if prices is not None else "none: costs are unknown"),
        ("budget", "" if budget == Budget() else str(budget)),
        ("limits", f"{limits.most} at once" if limits in (Limits(), Limits(limits.concurrency)) else str(limits)),
        ("cache", str(client.cache.folder)),
        ("ledger", str(client.ledger.path)),
    ]


def client_or_default(client: Client | None) -> Client:
    """Return the client of a call: the given one, else the default one, else one from the environment."""
    if client is not None and not isinstance(client, Client):
        raise ConfigError(f"client must be a tsn.Client(...), got a {type(client).__name__}")
    found: Client | None = client or process_state.client
    return found or Client()


def _secret(given: Hidden) -> Secret:
    if isinstance(given.reveal(), Secret):
        return cast("Secret", given.reveal())
    if not isinstance(given.reveal(), str | None):
        raise ConfigError(f"api_key must be a string, got a {type(given.reveal()).__name__}")
    return Secret(given.reveal())


def _text(name: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{name} must be a string, got a {type(value).__name__}")
    return value


def _of(kind: type[T], name: str, value: T | None) -> T:
    if value is not None and not isinstance(value, kind):
        raise ConfigError(f"{name} must be a tsn.{kind.__name__}(...), got {quoted(value)}")
    return value or kind()


def _seconds(value: float | None) -> float:
    if value is None:
        return DEFAULT_TIMEOUT
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ConfigError(f"timeout must be a number of seconds above 0, got {quoted(value)}")
    return float(value)
