"""Explain why a question has no answer, or only a part of one, and name the remedy: for a person, without an error's code."""

from __future__ import annotations

from ...errors import (
    ROW_CODES,
    AuthenticationError,
    BalanceError,
    BudgetExceeded,
    ModelError,
    RateLimitError,
    RedirectError,
    RowError,
    RunError,
    TSNError,
)
from ...text import sentence

SET_KEY = "Run tsn.set_key() in a cell to enter another key, then ask again."
OWN_KEY = "This chat's client has a key of its own: make the client with the right one, or without one and run tsn.set_key()."
PART_KEPT = "The part that came is kept; ask again for a whole answer."
_NETWORK = "Look at the network and at the client's base_url, then ask again."
_REPEATED = "If this goes on, something else may answer in place of the service: look at the proxy and at the client's base_url."
# What happened, with the message in place of {}, and the remedy. Errors of these kinds are about every request.
_KINDS: dict[type[TSNError], tuple[str, str]] = {
    AuthenticationError: ("the service refused the API key ({})", SET_KEY),
    BalanceError: ("the balance of the account is used up ({})", "Top it up at the service, then ask again."),
    ModelError: (
        "the service doesn't know this model ({})",
        "Choose another in the box Model, or look at the client's base_url.",
    ),
    BudgetExceeded: ("{}", "Allow more with Client(budget=...), or shorter answers with Max tokens in Settings."),
    RateLimitError: ("{}", "Ask again later, or allow a longer wait with Client(limits=tsn.Limits(max_wait=...))."),
    RedirectError: ("{}", "Give the address that it redirects to as the client's base_url."),
}
_CODES: dict[str, tuple[str, str]] = {
    "too_long": (
        "the conversation is too long for the model ({})",
        "Undo or Clear a part of it, or choose a model that takes more.",
    ),
    "bad_request": ("the service refused the request ({})", "Look at the Settings and at the question."),
    "model": _KINDS[ModelError],
    "server": ("the service failed ({})", "Ask again; if it goes on, wait or choose another model."),
    "connection": ("{}", _NETWORK),
    "timeout": ("{}", "Ask again, or allow more time with Client(timeout=...)."),
    "unreadable": ("{}", f"Ask again. {_REPEATED}"),
    "filtered": ("{}", "Ask in other words."),
    "empty": ("{}", "Ask again; if Max tokens in Settings is small, allow more."),
    "not_cached": ("{}", "With cache='use' it would be sent."),
}
_PARTS = ("server", "connection", "timeout", "unreadable")


def explain(error: RowError, kind: type[TSNError] = RunError, *, own_key: bool = False, part: bool = False) -> str:
    """Return an error as a sentence and its remedy; ``part`` is whether a part of the answer has come.

    >>> explain(RowError("not_sent", "the service answered 401: Invalid API key."), AuthenticationError)
    'The service refused the API key (401: Invalid API key). Run tsn.set_key() in a cell to enter another key, then ask again.'
    """
    what, remedy = _KINDS.get(kind) or _CODES.get(error.code) or ("{}", "Ask again later.")
    if "can't be reached" in error.message:
        remedy = _NETWORK
    elif part and error.code in _PARTS:
        remedy = PART_KEPT
    elif kind is AuthenticationError and own_key:
        remedy = OWN_KEY
    return f"{_sentence(what, error.message)} {remedy}"


def explain_text(text: str) -> str:
    """Return the explanation of an error of a frame, ``code: sentence``; any other text as it is."""
    code, _, message = text.partition(": ")
    known = next((one for one in ROW_CODES if one == code), None)
    return text if known is None else explain(RowError(known, message))


def _sentence(what: str, message: str) -> str:
    """Return what happened as a sentence; a message that is one about the service stands for itself."""
    message = message.removeprefix("the service answered ").strip().rstrip(".")
    text = message if message.startswith("the service ") else what.replace("{}", message)
    return sentence(text)
