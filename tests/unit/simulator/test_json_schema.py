"""The simulator's JSON answers fit the schema that was asked for."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest
from support.waiting import SECONDS

from tsn_frames.simulator import Simulator


@pytest.fixture(scope="module")
def sim():
    with Simulator(0, 0.0) as server:
        yield server


def ask(sim, text, form, **body):
    body = {"model": "sim-small", "messages": [{"role": "user", "content": text}], "response_format": form, **body}
    connection = http.client.HTTPConnection(urlsplit(sim.base_url).netloc, timeout=SECONDS)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


def values(sim, schema, count=12):
    form = {"type": "json_schema", "json_schema": {"name": "it", "schema": schema, "strict": True}}
    made = []
    for number in range(count):
        status, payload = ask(sim, f"Row {number} tells of marmalade", form)
        assert status == 200, payload
        made.append(json.loads(payload["choices"][0]["message"]["content"]))
    return made


def test_json_object_gives_an_object_that_says_it_is_simulated(sim):
    _, payload = ask(sim, "Give JSON", {"type": "json_object"})
    assert json.loads(payload["choices"][0]["message"]["content"])["simulated"] is True


@pytest.mark.parametrize(
    ("schema", "fits"),
    [
        ({"type": "string"}, lambda v: isinstance(v, str)),
        ({"type": "string", "minLength": 40}, lambda v: len(v) >= 40),
        ({"type": "string", "maxLength": 3}, lambda v: len(v) <= 3),
        ({"type": "string", "format": "date"}, lambda v: v.count("-") == 2),
        ({"type": "integer"}, lambda v: type(v) is int),
        ({"type": "integer", "minimum": 3, "maximum": 4}, lambda v: v in (3, 4)),
        ({"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5}, lambda v: v == 4),
        ({"type": "integer", "maximum": -7}, lambda v: type(v) is int and v <= -7),
        ({"type": "integer", "minimum": 5, "multipleOf": 5}, lambda v: v >= 5 and v % 5 == 0),
        ({"type": "number", "minimum": 0, "maximum": 0.001}, lambda v: 0 <= v <= 0.001),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, lambda v: 0 < v < 1),
        ({"type": "number", "minimum": 1.5, "maximum": 1.5}, lambda v: v == 1.5),
        ({"type": "boolean"}, lambda v: v in (True, False)),
        ({"type": "null"}, lambda v: v is None),
        ({"type": ["string", "null"]}, lambda v: v is None or isinstance(v, str)),
        ({"enum": ["a", 2, None]}, lambda v: v in ("a", 2, None)),
        ({"const": {"x": 1}}, lambda v: v == {"x": 1}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, lambda v: v is None or type(v) is int),
        ({"oneOf": [{"const": 1}, {"const": 2}]}, lambda v: v in (1, 2)),
        ({"anyOf": [False, {"type": "integer", "minimum": 2, "maximum": 1}, {"const": "way out"}]}, lambda v: v == "way out"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3}, lambda v: 2 <= len(v) <= 3),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 0}, lambda v: v == []),
        ({"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True}, lambda v: sorted(v) == [1, 2, 3]),
        ({"type": "array", "prefixItems": [{"const": 1}, {"type": "null"}], "maxItems": 2}, lambda v: v == [1, None]),
        ({"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}, lambda v: v == {"a": 1}),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, lambda v: all(type(x) is int for x in v.values())),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]}, lambda v: v == {"a": 1, "b": 2}),
        ({}, lambda v: True),
    ],
)
def test_the_answer_fits(sim, schema, fits):
    for value in values(sim, schema):
        assert fits(value), value


def test_references_and_recursion_end(sim):
    schema = {
        "$ref": "#/$defs/Node",
        "$defs": {
            "Kind": {"enum": ["leaf", "branch"]},
            "Node": {
                "type": "object",
                "properties": {
                    "kind": {"$ref": "#/$defs/Kind"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
                    "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                },
                "required": ["kind", "children", "next"],
                "additionalProperties": False,
            },
        },
    }

    def walk(node):
        assert set(node) == {"kind", "children", "next"}
        assert node["kind"] in ("leaf", "branch")
        for child in node["children"] + ([node["next"]] if node["next"] else []):
            walk(child)

    for value in values(sim, schema, 5):
        walk(value)


def test_values_vary_by_row_and_stay_by_repetition(sim):
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 1000, "minimum": 0}, "s": {"type": "string"}}}
    first = values(sim, schema)
    assert first == values(sim, schema)
    assert len({value["n"] for value in first}) > 6
    assert any("marmalade" in value["s"] for value in first)


def test_an_enum_follows_the_text_where_it_can(sim):
    assert set(values(sim, {"enum": ["honey", "marmalade"]})) == {"marmalade"}
    assert set(values(sim, {"enum": ["honey", "butter"]}, 30)) == {"honey", "butter"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 2, "maximum": 1},
        {"type": "number", "exclusiveMinimum": 2, "maximum": 2},
        {"type": "fish"},
        {"enum": []},
        {"type": []},
        {"$ref": "#/$defs/Missing"},
        {"$ref": "#"},
        {"type": "object", "properties": {"a": False}, "required": ["a"]},
        {"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True},
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"]}}},
    ],
)
def test_a_schema_that_nothing_fits_is_a_400(sim, schema):
    status, payload = ask(sim, "x", {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}})
    assert status == 400
    assert "schema" in payload["error"]["message"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": "low"},
        {"properties": [1]},
        {"anyOf": 3},
        {"type": "array", "minItems": "x"},
        {"allOf": [1]},
        {"allOf": [{"$ref": "#"}]},
        {"type": "integer", "multipleOf": 0},
        {"type": "array", "minItems": 10**9},
    ],
)
def test_a_schema_that_is_none_is_a_400_and_no_crash(sim, schema):
    assert ask(sim, "x", {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}})[0] == 400


def test_max_tokens_cuts_json_as_real_services_do(sim):
    _, payload = ask(sim, "x", {"type": "json_object"}, max_tokens=4)
    assert payload["choices"][0]["finish_reason"] == "length"
    with pytest.raises(ValueError):
        json.loads(payload["choices"][0]["message"]["content"])
