"""JSON schemas as strict services want them. Pure."""

from __future__ import annotations

from typing import Any


def strict_schema(schema: Any) -> Any:
    """Return a schema as strict services want it: no other keys, all keys required, no defaults and titles."""
    if isinstance(schema, list):
        return [strict_schema(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict_schema(value) for key, value in schema.items() if key not in ("default", "title")}
    if isinstance(schema.get("properties"), dict):
        made["properties"] = {name: strict_schema(one) for name, one in schema["properties"].items()}
        made |= {"required": list(made["properties"]), "additionalProperties": False}
    return made
