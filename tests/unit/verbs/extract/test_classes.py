"""What classes check by themselves, and dates that are numbers: an answer's fields are never worth more than the user's own checks."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import Annotated, ClassVar, Literal, NamedTuple, TypedDict

import msgspec
import pandas as pd
import pytest
from support.labelling import is_repair, service

from tsn_frames.errors import ParameterError, TSNWarning
from tsn_frames.verbs.extract.fields import Fields

DF = pd.DataFrame({"text": ["Two tickets, 40 euros, 3 May 2024"]})


class Stay(TypedDict):
    days: list[dt.date]
    nights: dict[str, dt.datetime]


@dataclasses.dataclass
class Span:
    start: int
    end: int
    title: str = "none"
    known: ClassVar[int] = 3
    made: int = dataclasses.field(default=0, init=False)

    def __post_init__(self):
        if self.end < self.start:
            raise ValueError("the end is before the start")
        self.title = self.title.title()


class Ratio(msgspec.Struct):
    part: float
    whole: float

    def __post_init__(self):
        self.part = self.part / self.whole


@dataclasses.dataclass
class Trip:
    span: Span
    price: float | None = None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(
            (dt.datetime, value)
            for value in (2019, "2019", 2019.5, 20190503, "20190503", "1714730400", 1714730400000, "1e3", "-5")
        ),
        *(
            (kind, value)
            for kind in (dt.date, dt.time, dt.timedelta, dt.datetime | None, list[int] | dt.datetime)
            for value in (2019, "2019")
        ),
        (Annotated[dt.datetime, msgspec.Meta(description="when")], 2019),
        (list[dt.datetime], ["2024-05-03T10:00:00Z", 2019]),
        (dict[str, dt.datetime], {"a": "2019"}),
        (tuple[str, dt.datetime], ["a", 2019]),
        (Stay, {"days": [], "nights": {"a": 2019}}),
    ],
)
def test_a_number_is_not_a_date(kind, value):
    checked = Fields.of({"x": kind, "y": int}).read({"x": value, "y": 2})
    assert list(checked.problems) == ["x"] and checked.found == {"y": 2}, "a year is not a second of 1970"


def test_a_year_for_a_date_is_asked_again(tmp_path):
    def answer(body):
        return json.dumps({"when": "2019-01-01T00:00:00" if is_repair(body) else 2019})

    with service(answer, tmp_path) as (sim, client):
        out = DF.tsn.extract("text", {"when": dt.datetime}, client=client)
        asked = next(one.body["messages"][-1]["content"] for one in sim.log if is_repair(one.body))
    assert out["when"].tolist() == [pd.Timestamp("2019-01-01")] and pd.isna(out["error"].iloc[0])
    assert "Expected a date-time such as `2019-12-31T23:59:00Z`, got the number `2019` - at `$.when`" in asked


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        (int | dt.datetime, 2019, 2019),
        (dt.date, "2019-05-03", dt.date(2019, 5, 3)),
        (dt.timedelta, "PT90M", dt.timedelta(minutes=90)),
        (list[dt.date], ["2019-05-03"], [dt.date(2019, 5, 3)]),
        (str, "2019", "2019"),
    ],
)
def test_a_value_that_fits_its_type_is_kept(kind, value, wanted):
    checked = Fields.of({"x": kind}).read({"x": value})
    assert checked.found == {"x": wanted} and not checked.problems


def extracted(tmp_path, answers, fields, **more):
    """Return the row, and how many requests it took; the second answer is that to the repair."""
    with service(lambda body: json.dumps(answers[is_repair(body)]), tmp_path) as (sim, client):
        out = DF.tsn.extract("text", fields, client=client, usage=False, **more)
    return out.iloc[0], sim.stats().requests


def test_what_a_class_checks_itself_is_repaired_once(tmp_path):
    assert [field.name for field in Fields.of(Span).fields] == ["start", "end", "title"]
    good, bad = {"start": 1, "end": 3, "title": "a trip"}, {"start": 3, "end": 1, "title": "a trip"}
    row, sent = extracted(tmp_path / "a", [good], Span)
    assert (row["start"], row["title"], sent) == (1, "A Trip", 1), "what the class changes is in the column"
    row, sent = extracted(tmp_path / "b", [bad, good], Span)
    assert (row["start"], row["end"], sent) == (1, 3, 2) and pd.isna(row["error"])
    with pytest.warns(TSNWarning, match="invalid 1"):
        row, sent = extracted(tmp_path / "c", [bad, bad], Span)
    assert row[["start", "end", "title"]].isna().all() and sent == 2
    assert row["error"] == "invalid: the end is before the start, also when asked again"


def test_an_answer_and_its_repair_are_checked_together(tmp_path):
    row, sent = extracted(tmp_path / "a", [{"start": 1, "end": "x", "title": "t"}, {"end": 3}], Span)
    assert (row["start"], row["end"], row["title"], sent) == (1, 3, "T", 2), "a repair with the wrong field alone is enough"
    with pytest.warns(TSNWarning):
        row, _ = extracted(tmp_path / "b", [{"start": 5, "end": "x"}, {"start": "x", "end": 3}], Span)
    assert row[["start", "end"]].isna().all() and "the end is before the start" in row["error"]


def test_a_fault_of_the_class_is_the_error_of_the_row(tmp_path):
    with pytest.warns(TSNWarning):
        row, _ = extracted(tmp_path / "a", [{"part": 1, "whole": 0}] * 2, Ratio)
    assert row["error"] == "invalid: ZeroDivisionError: float division by zero, also when asked again"
    with pytest.warns(TSNWarning):
        row, _ = extracted(tmp_path / "b", [{"trip": {"span": {"start": 2, "end": 1}}, "n": 1}] * 2, {"trip": Trip, "n": int})
    assert row["n"] == 1 and "the end is before the start - at `$.trip.span`" in row["error"]


def test_a_null_for_a_field_with_a_default_is_not_a_value(tmp_path):
    row, _ = extracted(tmp_path, [{"start": 1, "end": 2, "title": None}], Span)
    assert pd.isna(row["title"]) and row["end"] == 2 and pd.isna(row["error"])


def local_class():
    class Local(TypedDict):
        a: Unknown  # noqa: F821 - that is what is tested

    return Local


@dataclasses.dataclass
class Seeded:
    a: int
    seed: dataclasses.InitVar[int]


class Pair(NamedTuple):
    a: int


@pytest.mark.parametrize(
    ("fields", "message"),
    [(local_class(), "name 'Unknown' is not defined"), (Seeded, "leave out the InitVar"), (Pair, "Pair is not a dataclass")],
)
def test_classes_that_can_not_be(fields, message):
    with pytest.raises(ParameterError, match=message):
        Fields.of(fields)


@pytest.fixture
def pydantic():
    return pytest.importorskip("pydantic")


def models(pydantic):
    """A model whose validators look at several fields, in all the ways that pydantic has."""

    class Range(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(frozen=True, extra="forbid")
        start: int = pydantic.Field(alias="from", ge=0)
        end: int
        when: dt.datetime | None = None
        kind: Literal["a", "b"] = "a"

        @pydantic.field_validator("end")
        @classmethod
        def after_start(cls, value, info):
            if value < info.data.get("start", 0):
                raise ValueError("the end is before the start")
            return value

        @pydantic.model_validator(mode="before")
        @classmethod
        def looked_at(cls, data):
            return data

        @pydantic.model_validator(mode="after")
        def not_empty(self):
            if self.start == self.end:
                raise ValueError("the range is empty")
            return self

    return Range


@pytest.mark.parametrize(
    ("answer", "values", "problems"),
    [
        ({"start": 1, "end": 2}, {"start": 1, "end": 2, "when": None, "kind": "a"}, {}),
        ({"start": 1, "end": 1}, {}, {"": "Value error, the range is empty"}),
        ({"start": 3, "end": 1}, {"start": 3, "when": None, "kind": "a"}, {"end": "Value error, the end is before the start - at `$.end`"}),
        ({"start": -1, "end": 1, "kind": "b"}, {"when": None, "kind": "b"}, {
            "start": "Input should be greater than or equal to 0 - at `$.start`",
            "end": "TypeError: '<' not supported between instances of 'int' and 'NoneType'"}),
        ({"start": 1, "end": 2, "when": 2019}, {"start": 1, "end": 2, "kind": "a"}, {
            "when": "Expected a date-time such as `2019-12-31T23:59:00Z`, got the number `2019` - at `$.when`"}),
        ({"start": 1, "end": 2, "when": 2019, "kind": "c"}, {"start": 1, "end": 2}, {
            "kind": "Input should be 'a' or 'b' - at `$.kind`",
            "when": "Expected a date-time such as `2019-12-31T23:59:00Z`, got the number `2019` - at `$.when`"}),
        ({"start": 1, "end": 2, "kind": None}, {"start": 1, "end": 2, "when": None, "kind": None}, {}),
    ],
)  # fmt: skip
def test_a_pydantic_model_checks_its_fields_together(pydantic, answer, values, problems):
    assert Fields.of(models(pydantic)).read(answer) == (values, problems)


def test_pydantic_types_of_all_kinds(pydantic):
    class Node(pydantic.BaseModel):
        name: str
        children: list[Node] = pydantic.Field(default_factory=list)
        by_name: dict[str, Node] = pydantic.Field(default_factory=dict)

    class Page(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(strict=True)
        url: pydantic.HttpUrl
        day: dt.date
        tags: set[str] = pydantic.Field(default_factory=set)

        @pydantic.field_validator("tags")
        @classmethod
        def broken(cls, value):
            return value and {max(value)[3]}

    node = Fields.of(Node).read({"name": "a", "children": [{"name": "b"}], "by_name": {"c": {"name": "c"}}})
    assert node.found["children"] == [{"name": "b", "children": [], "by_name": {}}] and node.found["by_name"]["c"]["name"] == "c"
    page = Fields.of(Page)
    good = {"url": "https://example.org/", "day": "2024-05-03"}
    assert page.read(good).found == {"url": "https://example.org/", "day": dt.date(2024, 5, 3), "tags": []}
    assert page.read({**good, "tags": ["x"]}).problems == {"": "IndexError: string index out of range"}
    with pytest.raises(ParameterError, match="has no fields"):
        Fields.of(pydantic.RootModel[list[int]])


def test_a_pydantic_model_is_repaired_once(pydantic, tmp_path):
    fields, bad, good = models(pydantic), {"start": 2, "end": 2}, {"start": 2, "end": 3}
    row, sent = extracted(tmp_path / "a", [bad, good], fields)
    assert (row["start"], row["end"], sent) == (2, 3, 2)
    with pytest.warns(TSNWarning):
        row, sent = extracted(tmp_path / "b", [bad, bad], fields)
    assert row[["start", "end"]].isna().all() and "the range is empty" in row["error"] and sent == 2


def test_examples_have_to_fit_the_class(tmp_path):
    shown = pd.DataFrame({"text": ["one"], "start": [3], "end": [1], "title": ["x"]})
    with (
        service(lambda _: "{}", tmp_path) as (sim, client),
        pytest.raises(ParameterError, match="row 0 does not fit: the end is before"),
    ):
        DF.tsn.extract("text", Span, examples=shown, client=client)
    assert sim.stats().requests == 0
