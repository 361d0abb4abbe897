"""Settings of a process: the default client, and the API key, which is never in a notebook."""

from __future__ import annotations

import getpass
from typing import Never

from .engine.runtime.client import Client, client_or_default
from .engine.runtime.process import process_state
from .errors import ArgumentError, ConfigError
from .secret import Secret


def set_client(client: Client | None) -> None:
    """Set the client that ``df.tsn`` uses where none is given.

    Parameters
    ----------
    client : Client or None
        None: make one of the ``TSN_*`` environment variables at every call, as before.

    Raises
    ------
    ConfigError
        If it is not a Client.

    Examples
    --------
    >>> set_client(Client(model="deepseek-chat"))
    >>> set_client(None)
    """
    if client is not None and not isinstance(client, Client):
        raise ConfigError(f"a tsn.Client(...) is needed, got a {type(client).__name__}")
    process_state.client = client


def get_client() -> Client:
    """Return the client that ``df.tsn`` uses where none is given: the one that was set, else one made of the environment.

    Examples
    --------
    >>> get_client().base_url
    'https://api.tokensupernova.com/v1'
    """
    return client_or_default(None)


def set_key(*given: Never, **named: Never) -> None:
    """Ask for the API key without showing it and keep it in this process only: not in the notebook, not on disk.

    Raises
    ------
    ArgumentError
        If a key is given: it would be saved in the notebook.
    ConfigError
        If nothing was entered, or the key can't be one.
    """
    if given or named:
        given, named = (), {}  # tracebacks may show the locals of a frame that raises
        raise ArgumentError(
            "set_key() takes no key, so that none stands in a notebook or script: call set_key() and enter it, "
            "or set the environment variable TSN_API_KEY, or give Client(api_key=...) one that is read from where it is kept"
        )
    try:
        key = Secret(getpass.getpass("API key (not shown, kept in this process only): "))
    except (EOFError, NotImplementedError, RuntimeError):  # no terminal, or a notebook without a person
        raise ConfigError("there is no terminal to ask for a key: set the environment variable TSN_API_KEY") from None
    if not key:
        raise ConfigError("no key was entered; the old one, if any, is kept")
    process_state.key = key
