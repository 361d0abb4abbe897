"""Numbers that stand for dates: validators take them for seconds since 1970, and a text that says 2019 means a year. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

_EXPECTED = {
    dt.datetime: "a date-time such as `2019-12-31T23:59:00Z`",
    dt.date: "a date such as `2019-12-31`",
    dt.time: "a time such as `23:59:00`",
    dt.timedelta: "a duration such as `PT90M`",
}


def number_for_date(value: Any, read: Any) -> str | None:
    """Return the complaint about the first number that was read as a date or a time.

    ``read`` is what a validator made of the JSON ``value``, in mappings and lists of the same form.

    >>> number_for_date([2019], [dt.datetime(1970, 1, 1, 0, 33, 39)])
    'Expected a date-time such as `2019-12-31T23:59:00Z`, got the number `2019` - at `$[0]`'
    """
    return next(_complaints(value, read, "$"), None)


def _complaints(value: Any, read: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping) and isinstance(read, Mapping):
        for key in value.keys() & read.keys():
            yield from _complaints(value[key], read[key], f"{path}.{key}")
    elif isinstance(value, list) and isinstance(read, (list, tuple)):
        for at, (one, other) in enumerate(zip(value, read)):
            yield from _complaints(one, other, f"{path}[{at}]")
    elif type(read) in _EXPECTED and _is_number(value):
        yield f"Expected {_EXPECTED[type(read)]}, got the number `{value}` - at `{path}`"


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return False
    return isinstance(value, (int, float, str))
