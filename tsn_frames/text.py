"""Words for messages: quoting, plurals, money, hints, and warnings at the line of the user's own code."""

from __future__ import annotations

import difflib
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from typing import Any, get_args

from .errors import ParameterError, TSNWarning
from .notebook.code_location import is_users
from .notebook.ipython_shell import in_notebook
from .notebook.warning_block import warn_in_cell


def money(amount: float | Decimal, digits: int = 2, *, currency: str | None = None) -> str:
    """Return an amount with two decimals, below 1 with ``digits`` significant digits, and its currency where it is known.

    >>> money(12.345), money(0.00321), money(0.0000456)
    ('12.35', '0.0032', '0.000046')
    >>> money(12.345, currency="EUR")
    '12.35 EUR'
    """
    decimals = 2 if amount >= 1 or amount <= 0 else digits - 1 - math.floor(math.log10(amount))
    return f"{amount:,.{decimals}f}{f' {currency}' if currency else ''}"


def quoted(value: object, *, most: int = 80) -> str:
    """Return a short repr of a bad value for a message, in one line, never a long text."""
    text = repr(value)
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= most else f"{text[: most - 1]}…"


def nearest(name: object, known: Iterable[object]) -> str | None:
    """Return the known name that is most like another one, None where none is.

    >>> nearest("txt", ["text", "label"])
    'text'
    """
    shown = {str(n).casefold(): str(n) for n in known}
    return next((shown[match] for match in difflib.get_close_matches(str(name).casefold(), shown, n=1)), None)


def did_you_mean(name: object, known: Iterable[object], *, most: int = 12) -> str:
    """Return a hint that names the nearest of the known names and lists them; it follows a semicolon.

    >>> did_you_mean("txt", ["text", "label"]), did_you_mean("topic", ["text"])
    ("did you mean 'text'? There are: 'text', 'label'", "there are: 'text'")
    """
    names = list(known)
    if not names:
        return "there are none"
    close = nearest(name, names)
    listed = ", ".join(repr(n) for n in names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
    return f"there are: {listed}" if close is None else f"did you mean {close!r}? There are: {listed}"


def plural(count: int, noun: str) -> str:
    """Return a number and its noun.

    >>> plural(1, "row"), plural(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


_receiver: ContextVar[Callable[[str], object] | None] = ContextVar("tsn_frames_warnings", default=None)


def sentence(text: str) -> str:
    """Return a text with a capital at its start, unless it starts with a name of code, and a full stop at its end.

    >>> sentence("the key is missing"), sentence("top_p is 2; it is at most 1")
    ('The key is missing.', 'top_p is 2; it is at most 1.')
    """
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    start = text[0].upper() + text[1:] if first.isalpha() else text
    return start if start.endswith((".", "?", "!")) else f"{start}."


def warn(text: str) -> None:
    """Warn at the line of the user's own code, or hand the text to the receiver of :func:`warnings_to`."""
    warning_receiver()(text)


def warning_receiver() -> Callable[[str], object]:
    """Return the function that :func:`warn` calls now."""
    return _receiver.get() or _warn_user


@contextmanager
def warnings_to(receive: Callable[[str], object]) -> Iterator[None]:
    """Hand the package's warnings of this thread and task to a function."""
    token = _receiver.set(receive)
    try:
        yield
    finally:
        _receiver.reset(token)


def _warn_user(text: str) -> None:
    frame, level = sys._getframe(1), 2  # Python 3.12 has skip_file_prefixes for this; 3.11 hasn't
    while frame.f_back is not None and not is_users(frame.f_code.co_filename):
        frame, level = frame.f_back, level + 1
    (warn_in_cell if in_notebook() else warnings.warn)(text, TSNWarning, stacklevel=level)


def check_choice(name: str, value: object, choices: Any) -> None:
    """Raise where a word isn't one of a closed choice."""
    words = get_args(choices)
    if value not in words:
        raise ParameterError(f"{name} must be one of {', '.join(map(repr, words))}, got {quoted(value)}")


def check_flag(name: str, value: object) -> None:
    """Raise where a value is neither True nor False."""
    if not isinstance(value, bool):
        raise ParameterError(f"{name} must be True or False, got {quoted(value)}")


def check_name(value: object) -> None:
    """Raise where the ``name=`` of columns is no text."""
    if not isinstance(value, str) or not value:
        raise ParameterError(f"name must be a string, got {quoted(value)}")
