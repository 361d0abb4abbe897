"""Templates: text with ``{column}`` in it, read once into parts and never evaluated.

A pair of braces is a placeholder when its text is exactly a column's name. ``{{`` and ``}}`` are braces. Anything else
in braces, such as JSON, is left as it is, unless it looks like a name: then it is a column that isn't there.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple

from ..errors import PromptError, TSNWarning, did_you_mean, quoted

_NAME = re.compile(r"\s*[^\W\d]\w*\s*|\s*|\d+")
_ACCESS = re.compile(r"\s*([^!:.\[{}]+?)\s*[!:.\[]")


class Column(NamedTuple):
    """A placeholder: the label of the column that stands there."""

    label: Hashable


Part = str | Column


def parse(template: str, columns: Iterable[Hashable], *, what: str = "prompt") -> list[Part]:
    """Return a template as a list of texts and columns.

    Parameters
    ----------
    template : str
        The text.
    columns : iterable of hashable
        The labels that a placeholder can name; a label that is no text is named by its ``str``.
    what : str
        What the template is for, for messages.

    Raises
    ------
    PromptError
        If a placeholder names no column, or asks for more than a column (a format, an attribute, an item).

    Examples
    --------
    >>> parse('{"text": {text}}', ["text"])
    ['{"text": ', Column(label='text'), '}']
    """
    names = _names(columns)
    parts: list[Part] = []
    position, opened = 0, []
    while (found := re.compile(r"[{}]").search(template, position)) is not None:
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


def check_has_placeholder(template: str, columns: Iterable[Hashable]) -> None:
    """Raise for a column's bare name, and warn about any other template that is the same for every row.

    Raises
    ------
    PromptError
        If the whole template is a column's name.
    """
    if template.strip() in _names(columns):
        raise PromptError(f"the prompt is the text {template!r}, not the column: write {'{' + template.strip() + '}'!r}")
    hint = did_you_mean(template, columns)
    warnings.warn(f"the prompt names no column, so every row sends the same text. {hint}", TSNWarning, stacklevel=5)


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
    end = at + 1 + len(template[at + 1 :].partition("}")[0])
    inner = template[at + 1 : end]
    if end == len(template) or "{" in inner:
        opened.append("}")
        return "{", at + 1
    if inner in names:
        return Column(_only(names[inner], inner)), end + 1
    _refuse(inner, names, what)
    return template[at : end + 1], end + 1


def _closing(template: str, at: int, opened: list[str]) -> tuple[str, int]:
    """Read a closing brace: two are one, except where a lone opening brace waits for its partner."""
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
    access = _ACCESS.match(inner)
    if access and access[1] in names:
        raise PromptError(
            f"the {what} has {quoted('{' + inner + '}')}: a placeholder is a column's name and nothing more; "
            f"format the values in a column of their own, or write {{{{ and }}}} for braces"
        )
    if _NAME.fullmatch(inner):
        raise PromptError(f"the {what} names a column {inner.strip()!r} that the frame doesn't have; {did_you_mean(inner.strip(), names)}")


def _warn_of_jinja(template: str, at: int, names: Mapping[str, list[Hashable]]) -> None:
    found = re.compile(r"\{\{\s+(.+?)\s+\}\}").match(template, at)
    if found and found[1] in names:
        text = f"{found[0]!r} is sent as '{{ {found[1]} }}', not as the column: write '{{{found[1]}}}'"
        warnings.warn(text, TSNWarning, stacklevel=6)


def _joined(parts: list[Part]) -> list[Part]:
    out: list[Part] = []
    for part in parts:
        if isinstance(part, str) and out and isinstance(out[-1], str):
            out[-1] += part
        elif part != "":
            out.append(part)
    return out
