"""The labels of ``label`` and the fields of ``extract``, from what is written on a command line or in a file."""

from __future__ import annotations

import csv
import importlib.util
import json
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Literal, TypedDict, Union

from ..errors import ParameterError
from ..text import did_you_mean, quoted
from .options import split


def labels_of(given: str) -> Any:
    """Return labels: words with commas between, or those of ``@FILE``.

    A text file has a label a line; CSV a label and a description a line, below a header; JSON a list or an object, as ``label`` takes
    it, and whole numbers as labels there are numbers.
    """
    if not given.startswith("@"):
        return split(given)
    path = Path(given[1:]).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            return _numbered(json.loads(text))
    except (OSError, ValueError) as error:
        raise ParameterError(f"--labels: {path} can't be read: {error}") from None
    if path.suffix.lower() == ".csv":
        rows = [row for row in csv.reader(text.splitlines()) if any(row)][1:]
        return {row[0]: row[1] for row in rows} if all(len(row) > 1 for row in rows) else [row[0] for row in rows]
    return [line.strip() for line in text.splitlines() if line.strip()]


def _numbered(found: Any) -> Any:
    if isinstance(found, dict) and found and all(key.removeprefix("-").isdecimal() for key in found):
        return {int(key): value for key, value in found.items()}
    return found


def fields_of(given: str) -> Any:
    """Return the fields of a JSON Schema file, or the class of ``FILE.py:CLASS``."""
    path, _, name = given.rpartition(":")
    if path.endswith(".py"):
        return _class(Path(path).expanduser(), name)
    try:
        schema = json.loads(Path(given).expanduser().read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ParameterError(f"--schema: {given} can't be read: {error}") from None
    return typed_dict(schema)


def _class(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ParameterError(f"--schema: there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001 - code of the user
        raise ParameterError(f"--schema: {path} can't be imported: {type(error).__name__}: {error}") from None
    if not hasattr(module, name):
        classes = [word for word, value in vars(module).items() if isinstance(value, type)]
        raise ParameterError(f"--schema: {path} has no class {name!r}; {did_you_mean(name, classes)}")
    return getattr(module, name)


def typed_dict(schema: Any, name: str = "Fields") -> Any:
    """Return the TypedDict of a JSON Schema with properties; a property that isn't required may be null.

    >>> typed_dict({"properties": {"amount": {"type": "number"}}, "required": ["amount"]}).__annotations__
    {'amount': <class 'float'>}
    """
    definitions = schema.get("$defs", {}) if isinstance(schema, dict) else {}
    try:
        return _object(schema, definitions, name)
    except RecursionError:
        raise ParameterError("--schema: it refers to itself, which no column can hold") from None


def _object(schema: Any, definitions: dict[str, Any], name: str) -> Any:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or not properties:
        raise ParameterError(f'--schema: {name} must be an object with "properties", got {quoted(schema)}')
    required = schema.get("required", [])
    kinds = {}
    for key, one in properties.items():
        kind = _type(one, definitions, key)
        kinds[key] = kind if key in required else Union[kind, None]  # noqa: UP007 - kind is a value
    return TypedDict(name.title().replace(" ", "") or "Fields", kinds)  # type: ignore[operator]


def _type(schema: dict[str, Any], definitions: dict[str, Any], name: str) -> Any:
    """Return the Python type of a property."""
    if "$ref" in schema:
        target = schema["$ref"].rpartition("/")[2]
        if target not in definitions:
            raise ParameterError(f"--schema: the property {name!r} refers to {target!r}, which is not among its definitions")
        schema = definitions[target]
    if "const" in schema or "enum" in schema:
        return Literal[tuple(schema.get("enum", [schema.get("const")]))]
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return Union[tuple(_type(one, definitions, name) for one in several)]  # noqa: UP007 - made of values
    kind = schema.get("type")
    if isinstance(kind, list):
        return Union[tuple(_type({**schema, "type": one}, definitions, name) for one in kind)]  # noqa: UP007 - made of values
    if kind == "array":
        return list[_type(schema.get("items", {"type": "string"}), definitions, name)]  # type: ignore[misc]
    if kind == "object":
        return _object(schema, definitions, name)
    dated = {"date": date, "date-time": datetime, "time": time}
    plain = {"string": dated.get(schema.get("format", ""), str), "integer": int, "number": float, "boolean": bool, "null": None}
    if kind not in plain:
        raise ParameterError(
            f"--schema: the property {name!r} has the type {kind!r}; {did_you_mean(kind, [*plain, 'array', 'object'])}"
        )
    return plain[kind]
