"""The client: settings and nothing live. A session opens what is live, for one run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import platformdirs

from ...api import base_url as address
from ...errors import ConfigError
from ...pricing.prices import Prices, prices_of
from ...secret import Secret
from ...text import quoted
from ..budget.budget import Budget
from ..cache.cache import Cache
from ..ledger.ledger import Ledger
from ..limits.limits import Limits
from ..retry import Retry
from .process import process_state

DEFAULT_TIMEOUT = 300.0
T = TypeVar("T")


@dataclass(frozen=True, init=False, repr=False)
class Client:
    """Where requests go and what is remembered: settings only, so it can be shared, compared and pickled.

    Parameters
    ----------
    base_url : str, optional
        Default: ``TSN_BASE_URL``, else the TokenSuperNova API. A slash, ``/v1`` or the full endpoint at its end is fine.
    api_key : str, optional
        Default: the key given to :func:`set_key`, else ``TSN_API_KEY``. Never shown, pickled or stored. A server on
        this machine needs none.
    model : str, optional
        What is used when a call names no model. Default: ``TSN_MODEL``; there is no built-in default.
    cache, ledger : str or Path, optional
        Folder of the answers, and file of the record of spending. Default: ``TSN_CACHE_DIR`` and ``TSN_LEDGER``, else
        the user's cache and data folders.
    limits : Limits, optional
        Ceilings; what is not set is learned from the service's answers.
    retry : Retry, optional
        How often failures are tried again.
    timeout : float, default 300
        Seconds for one whole answer.
    prices : Prices, mapping, str or Path, optional
        ``{model: (prompt, completion)}`` in currency per million tokens, or the file of such a table. Default: the file
        that ``TSN_PRICES`` names; without prices ``cost`` is NA.
    budget : mapping, optional
        ``{"run": 25, "day": 20, "month": 200}``: the most that each run, and all runs of the ledger in a calendar day and
        month, may cost, in the currency of the prices. ``"timezone"`` says where a day begins; default ``"UTC"``.
    allow_http : bool, default False
        Whether a host other than this machine may be asked without TLS.
    keep_prompts : bool, default False
        Whether the ledger's card of a run has the words of its prompt; else it has their hashes only.

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
    allow_http: bool
    keep_prompts: bool

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | Secret | None = None,
        model: str | None = None,
        cache: str | Path | None = None,
        ledger: str | Path | None = None,
        limits: Limits | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
        prices: Prices | Mapping[str, Any] | str | Path | None = None,
        budget: Mapping[str, Any] | Budget | None = None,
        allow_http: bool = False,
        keep_prompts: bool = False,
    ) -> None:
        given, api_key = [api_key], None  # in no local of a frame that may raise, so that no traceback shows it
        object.__setattr__(self, "api_key", _secret(given))
        values = {
            "base_url": address.normalise(base_url or os.environ.get("TSN_BASE_URL") or address.DEFAULT, allow_http=allow_http),
            "model": _text("model", model) or os.environ.get("TSN_MODEL") or None,
            "cache": Cache(cache or os.environ.get("TSN_CACHE_DIR") or platformdirs.user_cache_path("tsn_frames") / "answers"),
            "ledger": Ledger(ledger or os.environ.get("TSN_LEDGER") or platformdirs.user_data_path("tsn_frames") / "ledger.db"),
            "limits": _of(Limits, "limits", limits),
            "retry": _of(Retry, "retry", retry),
            "timeout": _seconds(timeout),
            "budget": Budget.of(budget),
            "prices": prices_of(prices if prices is not None else os.environ.get("TSN_PRICES") or None),
            "allow_http": allow_http is True,
            "keep_prompts": keep_prompts is True,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        shown = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if hasattr(self, field.name))
        return f"Client({', '.join(shown)})"  # a half-made one too: a traceback may show it

    @property
    def concurrency(self) -> int:
        """Most requests in flight at once."""
        return self.limits.most

    @property
    def host(self) -> str:
        """The host that requests go to."""
        return address.host_of(self.base_url)

    def key(self) -> Secret:
        """Return the key to send: this client's, else the process's, else the environment's.

        Raises
        ------
        ConfigError
            If there is none and the server is not on this machine.
        """
        found = self.api_key or process_state.key or Secret(os.environ.get("TSN_API_KEY"))
        if not found and not address.is_loopback(urlsplit(self.base_url).hostname or ""):
            raise ConfigError(
                f"there is no API key for {self.host}. Give one as Client(api_key=...) from a secret store, "
                "or run tsn.set_key(), which asks for it unseen and keeps it out of the notebook, "
                "or set the environment variable TSN_API_KEY"
            )
        return found


def client_or_default(client: Client | None) -> Client:
    """Return the client of a call: the one given, else the one that was set, else one made of the environment."""
    if client is not None and not isinstance(client, Client):
        raise ConfigError(f"client must be a tsn.Client(...), got a {type(client).__name__}")
    found: Client | None = client or process_state.client
    return found or Client()


def _secret(given: list[Any]) -> Secret:
    """Take a key out of the list that holds it, so that no frame of a traceback does."""
    if isinstance(given[0], Secret):
        return given.pop()  # type: ignore[no-any-return]
    if given[0] is not None and not isinstance(given[0], str):
        raise ConfigError(f"api_key must be a text, got a {type(given.pop()).__name__}")
    return Secret(given.pop())


def _text(name: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{name} must be a text, got a {type(value).__name__}")
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
