"""``extract`` against a real service on loopback: types, nulls, repairs, quotes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
from typing import Annotated, Any, Literal, NewType, Required, TypedDict

import msgspec
import numpy as np
import pandas as pd
import pytest
from support.labelling import is_repair, service, text_of

import tsn_frames as tsn
from tsn_frames.errors import ColumnError, ParameterError, TSNWarning
from tsn_frames.verbs.extract.fields import Fields

DF = pd.DataFrame({"text": ["Two tickets, 40 euros, 3 May 2024", "Hello"]}, index=["x", "y"])
EVERY = {
    "what": str, "count": int, "price": float, "paid": bool, "day": dt.date, "when": dt.datetime, "party": Literal["Con", "Lab"],
    "tags": list[str],
}  # fmt: skip
FULL = {"what": "tickets", "count": "2", "price": 40, "paid": False, "day": "2024-05-03", "when": "2024-05-03T10:00:00+02:00",
        "party": "Lab", "tags": ["a", "b"]}  # fmt: skip


def answering(answers):
    return lambda body: answers[text_of(body)] if isinstance(answers[text_of(body)], str) else json.dumps(answers[text_of(body)])


def test_columns_have_their_types(tmp_path):
    with service(answering({DF["text"].iloc[0]: FULL, "Hello": dict.fromkeys(EVERY)}), tmp_path) as (sim, client):
        out = DF.tsn.extract("text", EVERY, client=client)
        sent = sim.log[0].body
    assert out.dtypes.astype(str).to_dict() == {
        "text": str(DF["text"].dtype), "what": "string", "count": "Int64", "price": "Float64", "paid": "boolean",
        "day": "datetime64[us]", "when": "datetime64[us]", "party": "category", "tags": "object", "prompt_tokens": "Int64",
        "completion_tokens": "Int64", "total_tokens": "Int64", "cost": "Float64", "cached": "boolean", "error": "string",
    }  # fmt: skip
    first = out.iloc[0]
    assert (first["what"], first["count"], first["price"], first["paid"], first["party"], first["tags"]) == (
        "tickets", 2, 40.0, False, "Lab", ["a", "b"],
    )  # fmt: skip
    assert first["day"] == pd.Timestamp("2024-05-03") and first["when"] == pd.Timestamp("2024-05-03 08:00")
    assert out.loc["y", list(EVERY)].isna().all() and out["error"].isna().all(), "what the text does not say is NA, and no error"
    assert out["party"].cat.categories.tolist() == ["Con", "Lab"] and out.index.equals(DF.index)
    schema = sent["response_format"]["json_schema"]["schema"]
    assert schema["required"] == list(EVERY) and not schema["additionalProperties"] and sent["temperature"] == 0
    assert {"type": "null"} in schema["properties"]["price"]["anyOf"] and sim.stats().requests == 2


def test_overwrite_leaves_no_quote_of_the_earlier_values(tmp_path):
    def answer(body):
        fields = body["response_format"]["json_schema"]["schema"]["properties"]
        return json.dumps({"count": 2} if "anyOf" in fields["count"] else {"count": {"quote": "Two", "value": 2}})

    with service(answer, tmp_path) as (_, client):
        quoted = DF.tsn.extract("text", {"count": int}, explain="quote", usage=False, client=client)
        out = quoted.tsn.extract("text", {"count": int}, usage=False, client=client, overwrite=True)
    assert quoted["count_quote"].tolist() == ["Two", "Two"] and out.columns.tolist() == ["text", "count", "error"]


def test_a_field_that_fails_is_asked_again_and_the_others_stay(tmp_path):
    def answer(body):
        if text_of(body) == "Hello":
            return json.dumps({"count": "many", "price": 1.5})
        return json.dumps({"count": 2 if is_repair(body) else "two", "price": None if is_repair(body) else 40})

    with (
        service(answer, tmp_path) as (sim, client),
        pytest.warns(TSNWarning, match="1 row of 2 has fields without a value: invalid 1"),
    ):
        out = DF.tsn.extract("text", {"count": int, "price": float}, client=client, name="deal")
        asked = next(exchange.body["messages"][-1]["content"] for exchange in sim.log if is_repair(exchange.body))
    assert out["deal_count"].tolist() == [2, pd.NA] and out["deal_price"].iloc[1] == 1.5
    assert out.loc["y", "deal_error"] == "invalid: count: Expected `int | null`, got `str` - at `$.count`, also when asked again"
    assert "Expected `int | null`, got `str` - at `$.count`" in asked and sim.stats().requests == 4
    assert out["deal_total_tokens"].sum() == sim.stats().billed_prompt_tokens + sim.stats().billed_completion_tokens


@pytest.mark.parametrize(
    "text",
    [
        "no idea",
        "",
        "[1]",
        '{"Count": 2}',
        '{"result": {"count": 2}}',
        '{"type": "object", "properties": {"count": {}}}',
        '{"count": 1',
        '{"count": 1, "count": 2}',
        '{"count": NaN}',
        "The count is 2",
    ],
)
def test_an_answer_that_is_not_an_object_is_an_error(tmp_path, text):
    with service(lambda _: text, tmp_path) as (sim, client), pytest.warns(TSNWarning, match="invalid 1"):
        out = DF.iloc[:1].tsn.extract("text", {"count": int}, client=client, include="raw")
    assert out["count"].isna().all() and out["error"].iloc[0].startswith("invalid: ") and sim.stats().requests == 2


def test_fences_thoughts_and_blank_texts(tmp_path):
    with service(lambda _: '<think>2?</think>```json\n{"count": 2, "what": " "}\n```', tmp_path) as (_, client):
        out = DF.iloc[:1].tsn.extract("text", {"count": int, "what": str}, client=client)
    assert out["count"].iloc[0] == 2 and out["what"].isna().all()


def test_quotes_are_checked(tmp_path):
    answer = {"count": {"quote": "TWO  tickets", "value": 2}, "price": {"quote": "fifty", "value": 50}}
    with service(lambda _: json.dumps(answer), tmp_path) as (sim, client):
        out = DF.iloc[:1].tsn.extract("text", {"count": int, "price": float}, explain="quote", client=client, usage=False)
        schema = sim.log[0].body["response_format"]["json_schema"]["schema"]
    assert out.columns.tolist()[1:] == ["count", "count_quote", "count_quoted", "price", "price_quote", "price_quoted", "error"]
    assert out["count_quoted"].tolist() == [True] and out["price_quoted"].tolist() == [False]
    assert list(schema["properties"]["count"]["properties"]) == ["quote", "value"], "the quote is written before the value"


def test_values_without_quotes_are_values(tmp_path):
    answer = {
        "count": 2,
        "price": {"value": 3.5},
        "place": {"quote": "Rome", "value": {"town": "Rome"}},
        "empty": {"quote": "Rome", "value": None},
    }
    fields = {"count": int, "price": float, "place": Place, "empty": str}
    with service(lambda _: json.dumps(answer), tmp_path) as (_, client):
        row = DF.iloc[:1].tsn.extract("text", fields, explain="quote", client=client, usage=False).iloc[0]
    assert (row["count"], row["price"], row["place"], row["place_quote"]) == (2, 3.5, {"town": "Rome", "size": None}, "Rome")
    assert row[["count_quote", "price_quoted", "empty", "empty_quote"]].isna().all() and pd.isna(row["error"])


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Place(msgspec.Struct):
    town: str
    size: int | None = None


@dataclasses.dataclass
class Deal:
    count: int
    mood: Mood
    place: Place
    price: float | None = None
    level: Annotated[int, msgspec.Meta(ge=0, le=100)] = 50


class Row(TypedDict, total=False):
    count: Required[int]
    price: float | None


Euros = NewType("Euros", float)


class Bill(msgspec.Struct):
    count: int
    total: Euros = Euros(1.0)


DEAL = {"count": 1, "mood": "bad", "place": {"town": "Rome", "size": None}, "price": None, "level": 7}


def extracted(tmp_path, answer, fields, **more):
    with service(lambda _: json.dumps(answer), tmp_path) as (_, client):
        return DF.iloc[:1].tsn.extract("text", fields, client=client, usage=False, **more).iloc[0]


def test_a_dataclass(tmp_path):
    row = extracted(tmp_path, DEAL, Deal)
    assert (row["count"], row["mood"], row["place"], row["level"]) == (1, "bad", {"town": "Rome", "size": None}, 7) and row[
        "price"
    ] is pd.NA
    with pytest.warns(TSNWarning, match="invalid 1"):
        row = extracted(tmp_path / "b", DEAL | {"level": 101, "count": None, "place": {"town": 3}}, Deal)
    assert row["error"] == (
        "invalid: count: Expected `int`, got `null` - at `$.count`; place: Expected `str`, got `int` - at `$.place.town`; "
        "level: Expected `int` <= 100 - at `$.level`, also when asked again"
    )
    assert row["mood"] == "bad"


def test_a_typed_dict_and_a_struct(tmp_path):
    row = extracted(tmp_path, {"count": 1}, Row)
    assert row["count"] == 1 and row["price"] is pd.NA and pd.isna(row["error"])
    row = extracted(tmp_path / "b", {"count": 1}, Bill)
    assert (row["count"], row["total"]) == (1, 1.0)
    with pytest.warns(TSNWarning):
        assert "the key is missing - at `$.count`" in extracted(tmp_path / "c", {}, Bill)["error"]


def test_a_pydantic_model(tmp_path):
    pydantic = pytest.importorskip("pydantic")

    class Person(pydantic.BaseModel):
        name: str
        age: int | None = pydantic.Field(None, ge=0, description="in years")
        mood: Literal["good", "bad"] = "good"
        born: dt.date | None = None

        @pydantic.field_validator("name")
        @classmethod
        def has_no_digits(cls, value):
            if any(map(str.isdigit, value)):
                raise ValueError("a name has no digits")
            return value.title()

    row = extracted(tmp_path, {"name": "ann", "age": 3, "born": "2020-01-02"}, Person)
    assert (row["name"], row["age"], row["mood"], row["born"]) == ("Ann", 3, "good", pd.Timestamp("2020-01-02"))
    with pytest.warns(TSNWarning):
        row = extracted(tmp_path / "b", {"name": "R2D2", "age": -1, "mood": "bad"}, Person)
    assert "a name has no digits - at `$.name`" in row["error"] and "greater than or equal to 0 - at `$.age`" in row["error"]
    assert row["mood"] == "bad"


def test_examples_are_turns_and_have_to_fit(tmp_path):
    shown = pd.DataFrame({"text": ["one"], "count": [1], "day": [pd.Timestamp("2024-01-02")]})
    fields = {"count": int, "day": dt.date}
    with service(lambda _: json.dumps({"count": 2, "day": None}), tmp_path) as (sim, client):
        DF.iloc[:1].tsn.extract("text", fields, examples=shown, client=client)
        assert json.loads(sim.log[0].body["messages"][2]["content"]) == {"count": 1, "day": "2024-01-02"}
        with pytest.raises(ParameterError, match=r"row 0 does not fit: Expected `int \| null`, got `str`"):
            DF.iloc[:1].tsn.extract("text", fields, examples=shown.assign(count="x"), client=client)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "fields is empty"),
        ("amount", "must be a mapping"),
        (["amount"], "must be a mapping"),
        (int, "int is not a dataclass"),
        ({"a": "str"}, r"fields\['a'\] must be a type"),
        ({"a": 3}, r"fields\['a'\] must be a type"),
        ({"a": complex}, "field 'a' has .*complex"),
        ({"": int}, "a name must be a string"),
        ({1: int}, "a name must be a string"),
        ({"error": str}, "would be called 'error'"),
        ({"a": int, "cost": float}, "would be called 'cost'"),
    ],
)
def test_fields_that_can_not_be(tmp_path, fields, message):
    with service(lambda _: "{}", tmp_path) as (sim, client), pytest.raises(ParameterError, match=message):
        DF.tsn.extract("text", fields, client=client)
    assert sim.stats().requests == 0


def test_a_column_that_is_there_is_refused(tmp_path):
    with service(lambda _: "{}", tmp_path) as (_, client), pytest.raises(ColumnError, match="text"):
        DF.tsn.extract("text", {"text": str}, client=client)


@pytest.mark.parametrize(
    ("kind", "value"),
    [(int, 2**70), (int, 1.5), (float, "x"), (bool, "maybe"), (dt.date, "3 May"), (Literal["a"], "b"), (list[int], [1, "x"])],
)
def test_values_of_another_type_are_not_values(kind, value):
    checked = Fields.of({"x": kind}).read({"x": value})
    assert checked.problems["x"].endswith(("- at `$.x`", "- at `$.x[1]`")) and not checked.found


def test_the_dtype_of_each_field_type():
    kinds = {"a": Any, "b": int | str, "c": int | float, "d": dict[str, int], "e": Mood, "f": Euros, "g": Annotated[str, "x"]}
    fields = Fields.of(kinds).fields
    assert [field.dtype for field in fields] == ["object", "object", "Float64", "object", "category", "Float64", "string"]
    assert np.all([field.nullable for field in fields])


def test_the_estimate_and_the_background(tmp_path):
    with service(lambda _: json.dumps({"count": 2}), tmp_path) as (sim, client):
        found = tsn.estimate(DF.tsn.extract, "text", {"count": int}, client=client, max_tokens=20)
        assert found.to_send == 2 and sim.stats().requests == 0 and "at most 2 further requests" in str(found)
        assert tsn.start(DF.tsn.extract, "text", {"count": int}, client=client).result()["count"].tolist() == [2, 2]


@pytest.mark.parametrize(
    ("kind", "value"),
    [(dt.datetime, '"0001-01-01T00:00:00+05:00"'), (int | float, "1" + "0" * 400), (float, "1" + "0" * 400)],
)
def test_a_value_outside_its_column_fails_its_field_only(tmp_path, kind, value):
    with service(lambda _: f'{{"a": {value}, "b": "x"}}', tmp_path) as (_, client), pytest.warns(TSNWarning):
        out = DF.tsn.extract("text", {"a": kind, "b": str}, client=client)
    assert out["a"].isna().all() and out["b"].tolist() == ["x", "x"] and out["error"].notna().all()


@pytest.mark.parametrize(
    ("kind", "value", "dtype"),
    [
        (int | str, "3", "object"), (dt.timedelta, "PT90M", "timedelta64[us]"), (Any, "x", "object"), (dt.time, "10:00:00", "object"),
        (decimal.Decimal, "1.50", "object"), (list[int], [1], "object"), (dict[str, int], {"a": 1}, "object"), (bytes, "YQ==", "object"),
    ],
)  # fmt: skip
def test_the_type_of_a_column_does_not_depend_on_its_values(tmp_path, kind, value, dtype):
    with service(lambda body: json.dumps({"a": value if "Hello" in text_of(body) else None}), tmp_path) as (_, client):
        found = [df.tsn.extract("text", {"a": kind}, client=client)["a"] for df in (DF, DF.iloc[:1], DF.iloc[:0])]
    assert [str(column.dtype) for column in found] == [dtype] * 3
    assert found[0].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("kind", "value"), [(decimal.Decimal, "NaN"), (decimal.Decimal, "Infinity"), (dt.timedelta, "P999999999D")]
)
def test_values_that_no_column_should_hold_are_none(kind, value):
    assert "a" in Fields.of({"a": kind}).read({"a": value}).problems


@pytest.mark.parametrize("kind", [np.int64, pd.Timestamp, object])
def test_a_type_that_json_does_not_have_names_those_that_it_has(kind):
    with pytest.raises(ParameterError, match=r"field 'a' has .*: JSON has no such values; use str, int"):
        Fields.of({"a": kind})


def test_examples_of_all_types_are_written_as_answers(tmp_path):
    kinds = {
        "when": dt.datetime,
        "lasts": dt.timedelta,
        "price": decimal.Decimal,
        "mood": Mood,
        "at": dt.time,
        "tags": list[int],
        "n": int,
    }
    cells = {"when": pd.Timestamp("2024-01-02"), "lasts": pd.Timedelta("1h"), "price": decimal.Decimal("1.50"), "mood": Mood.BAD,
             "at": dt.time(9), "tags": np.array([1, 2]), "n": 3.0}  # fmt: skip
    shown = pd.DataFrame({"text": ["p"], **{name: pd.Series([cell], dtype=object) for name, cell in cells.items()}})
    with service(lambda _: "{}", tmp_path) as (sim, client):
        DF.iloc[:1].tsn.extract("text", kinds, examples=shown, client=client)
        answer = json.loads(sim.log[0].body["messages"][2]["content"])
    assert isinstance(answer["n"], int)
    assert answer == {
        "when": "2024-01-02T00:00:00",
        "lasts": "PT3600S",
        "price": "1.50",
        "mood": "bad",
        "at": "09:00:00",
        "tags": [1, 2],
        "n": 3.0,
    }
