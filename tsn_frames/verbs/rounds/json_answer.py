"""JSON answers: the schema that is asked for, an answer without what wraps it, and its value. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from ...api.serialization import valid_text

_THOUGHTS = re.compile(r"\s*<think(?:ing)?>.*?</think(?:ing)?>\s*", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"\s*(`{3,}|~{3,})[\w-]*[ \t]*\n?(.*?)\n?\s*\1\s*", re.DOTALL)
_END_TOKENS = re.compile(r"(\s*(<\|[\w-]+\|>|</s>|<end_of_turn>))+\s*$")  # of a chat template that a server left in
SHOWN = 80  # characters of a wrong answer that a message shows


def object_schema(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with exactly these keys."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def without_wrapping(text: str | None) -> str:
    r"""Return an answer without thoughts before it, end tokens after it, a code fence and white space around it.

    >>> without_wrapping("<think>A or B?</think>```json\n[1]\n```")
    '[1]'
    """
    bare = _END_TOKENS.sub("", text) if text and text.rstrip().endswith(">") else text or ""
    thoughts = _THOUGHTS.match(bare)
    bare = bare[thoughts.end() :] if thoughts else bare
    fence = _FENCE.fullmatch(bare)
    return (fence[2] if fence else bare).strip()


def parse_json(text: str) -> Any:
    """Return the value of a JSON text; ValueError also for a key that is there twice, and a number that JSON doesn't have."""
    try:
        return valid_text(json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def is_complete_json(text: str | None) -> bool:
    """Return whether an answer is a JSON object or list to its end.

    >>> is_complete_json('{"label": "no"}'), is_complete_json('{"label": "no"'), is_complete_json("no")
    (True, False, False)
    """
    bare = without_wrapping(text)
    try:
        return bare[:1] in ("{", "[") and parse_json(bare) is not None
    except ValueError:
        return False


def shortened(text: str) -> str:
    """Return an answer as a message shows it: on one line, in quotes, cut."""
    short = " ".join(text.split())
    return repr(short if len(short) <= SHOWN else short[: SHOWN - 1] + "…")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
