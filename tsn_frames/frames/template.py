"""Templates: text with ``{column}`` placeholders, parsed once and never evaluated.

A pair of braces is a placeholder when its text is exactly a column's name. ``{{`` and ``}}`` are braces. Anything else
in braces, such as JSON, stays as it is, unless it looks like a name or resembles a column: then it is an unknown column.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple

from ..errors import PromptError
from ..text import did_you_mean, quoted, warn

_BRACE = re.compile(r"[{}]")
_NAME = re.compile(r"\s*[^\W\d]\w*(?:[ .\-]\w+)*\s*|\s*|\d+")
_ACCESS = re.compile(r"\s*[!:.\[]")
_JINJA = re.compile(r"\{\{-?\s+(.+?)\s*(?:\|[^{}]*)?\s-?\}\}")
_NEAR = 0.85  # similarity from which a text in braces counts as a typo of a column


class Column(NamedTuple):
    """A placeholder: the label of its column."""

    label: Hashable


Part = str | Column


def parse(template: str, columns: Iterable[Hashable], *, what: str = "prompt") -> list[Part]:
    """Return a template as a list of texts and columns.

    >>> parse('{"text": {text}}', ["text"])
    ['{"text": ', Column(label='text'), '}']
    """
    try:
        template.encode()
    except UnicodeEncodeError as error:
        raise PromptError(f"the {what} has a lone surrogate at position {error.start}, which JSON can't hold") from None
    names = _names(columns)
    parts: list[Part] = []
    opened: list[str] = []  # what closes each literal brace that is open
    position = 0
    while (found := _BRACE.search(template, position)) is not None:
        parts.append(template[position : found.start()])
        if found[0] == "{":
            part, position = _opening(template, found.start(), names, opened, what)
        else:
            part, position = _closing(template, found.start(), opened)
        parts.append(part)
    return _joined([*parts, template[position:]])


def columns_of(parts: Iterable[Part]) -> list[Hashable]:
    """Return the labels in a parsed template, each once, in order."""
    return list(dict.fromkeys(part.label for part in parts if isinstance(part, Column)))


def check_is_no_name(template: str, columns: Iterable[Hashable], *, what: str = "prompt") -> None:
    """Raise if a template is the bare name of a column."""
    if template.strip() in _names(columns):
        raise PromptError(f"the {what} is the text {template!r}, not the column: write {'{' + template.strip() + '}'!r}")


def _names(columns: Iterable[Hashable]) -> dict[str, list[Hashable]]:
    names: dict[str, list[Hashable]] = {}
    for label in columns:
        names.setdefault(label if isinstance(label, str) else str(label), []).append(label)
    return names


def _opening(template: str, at: int, names: Mapping[str, list[Hashable]], opened: list[str], what: str) -> tuple[Part, int]:
    if template.startswith("{{", at):
        _warn_of_jinja(template, at, names)
        opened.append("}}")
        return "{", at + 2
    _refuse_braced(template, at, names)
    end = template.find("}", at + 1)
    inner = template[at + 1 : end if end >= 0 else None]
    if end < 0 or "{" in inner:
        _refuse_access(inner.partition("{")[0], names, what)
        opened.append("}")
        return "{", at + 1
    if inner in names:
        return Column(_only(names[inner], inner)), end + 1
    _refuse(inner, names, what)
    return template[at : end + 1], end + 1


def _closing(template: str, at: int, opened: list[str]) -> tuple[str, int]:
    """Parse a closing brace: ``}}`` is one brace, unless a single opening brace is still open."""
    doubled = template.startswith("}}", at)
    if opened and (opened[-1] == "}" or doubled):
        return "}", at + len(opened.pop())
    return "}", at + (2 if doubled else 1)


def _only(labels: list[Hashable], name: str) -> Hashable:
    if len(set(labels)) > 1:
        raise PromptError(f"{{{name}}} is ambiguous: the frame has columns {labels}; rename one of them")
    if len(labels) > 1:
        raise PromptError(f"column {name!r} appears {len(labels)} times in the frame; rename or drop the others")
    return labels[0]


def _refuse(inner: str, names: Mapping[str, list[Hashable]], what: str) -> None:
    _refuse_access(inner, names, what)
    name = inner.strip()
    if not name:
        raise PromptError(
            f"the {what} has {{{inner}}}: name a column between the braces, or write {{{{}}}} for braces in the text"
        )
    if _NAME.fullmatch(inner) or difflib.get_close_matches(name, names, n=1, cutoff=_NEAR):
        raise PromptError(f"the {what} names a column {name!r} that the frame doesn't have; {did_you_mean(name, names)}. "
                          "Braces that are part of the text are written {{ and }}")  # fmt: skip


def _refuse_access(inner: str, names: Mapping[str, list[Hashable]], what: str) -> None:
    """Raise for a column's name followed by a format, an attribute or an item."""
    begin = inner.lstrip()
    if any(begin.startswith(name) and _ACCESS.match(begin, len(name)) for name in names):
        raise PromptError(
            f"the {what} has {quoted('{' + inner + '}')}: a placeholder is a column's name and nothing more; "
            f"format the values in a column of their own, or write {{{{ and }}}} for braces"
        )


def _refuse_braced(template: str, at: int, names: Mapping[str, list[Hashable]]) -> None:
    """Raise for a column whose name contains braces: such a placeholder is ambiguous."""
    for name in names:
        if _BRACE.search(name) and template.startswith(f"{{{name}}}", at):
            raise PromptError(
                f"column {name!r} has braces in its name, so no placeholder can name it: rename it with df.rename(columns=...)"
            )


def _warn_of_jinja(template: str, at: int, names: Mapping[str, list[Hashable]]) -> None:
    found = _JINJA.match(template, at)
    if found and found[1] in names:
        warn(f"{found[0]!r} is sent with its braces as a text: this is Jinja; for the column write '{{{found[1]}}}'")


def _joined(parts: list[Part]) -> list[Part]:
    out: list[Part] = []
    for part in parts:
        if isinstance(part, str) and out and isinstance(out[-1], str):
            out[-1] += part
        elif part != "":
            out.append(part)
    return out
