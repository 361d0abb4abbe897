"""The fields of an extraction: what is asked for, and what an answer says about each of them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ...errors import ParameterError
from ...text import quoted
from .classes import class_check, class_fields
from .field import Checked, Field, strict_schema
from .pydantic_model import is_pydantic, pydantic_check, pydantic_fields


class Fields(NamedTuple):
    """The fields of an extraction, the definitions that their schemas refer to, and the check of their types."""

    fields: tuple[Field, ...]
    definitions: dict[str, Any]
    check: Callable[[Mapping[str, Any]], Checked]

    @classmethod
    def of(cls, given: object) -> Fields:
        """Return the fields that a mapping or a class declares.

        In a mapping every field may be null. A class is a dataclass, TypedDict, msgspec Struct or pydantic model.

        >>> from typing import Literal
        >>> found = Fields.of({"amount": float, "party": Literal["Con", "Lab"]})
        >>> [(field.name, field.dtype, field.nullable) for field in found.fields]
        [('amount', 'Float64', True), ('party', 'category', True)]
        """
        pydantic = is_pydantic(given)
        fields, definitions = pydantic_fields(given) if pydantic else class_fields(given)
        if not fields:
            raise ParameterError("fields is empty: name at least one")
        for field in fields:
            if not isinstance(field.name, str) or not field.name.strip():
                raise ParameterError(f"fields: a name must be a string, got {quoted(field.name)}")
        return cls(fields, strict_schema(definitions), (pydantic_check if pydantic else class_check)(given, fields))

    def read(self, answer: Mapping[str, Any]) -> Checked:
        """Return what an answer says about each field.

        A field that may be null is so where the answer has null or a blank text, and has its default where the answer has nothing.

        >>> Fields.of({"amount": float, "count": int}).read({"amount": "1.5", "count": "two"}).problems
        {'count': 'Expected `int | null`, got `str` - at `$.count`'}
        """
        given, unsaid = dict[str, Any](), set[str]()
        for field in self.fields:
            value = answer.get(field.name)
            if field.name in answer and not (field.nullable and is_blank(value)):
                given[field.name] = value
            elif field.null and (field.name in answer or not field.optional):
                given[field.name] = None
            elif field.name in answer:
                unsaid.add(field.name)  # null, where its type has none: its default is not what the answer says
        checked = self.check(given)
        return checked._replace(found={**checked.found, **dict.fromkeys(unsaid & checked.found.keys())})


def is_blank(value: Any) -> bool:
    """Return whether a value of JSON says nothing: null, or a text without a word."""
    return value is None or (isinstance(value, str) and not value.strip())
