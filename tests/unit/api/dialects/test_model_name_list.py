"""The list of models in each shape of a service."""

from __future__ import annotations

import pytest

from tsn_frames.api.dialects.model_name_list import model_names
from tsn_frames.api.dialects.response_tables import MODEL_LISTS, MODEL_NAMES


@pytest.mark.parametrize("place", [None, *MODEL_LISTS])
@pytest.mark.parametrize("name", MODEL_NAMES)
def test_names_are_read_in_each_shape(place, name):
    models = [{name: "a", "object": "model"}, {name: "b"}, {name: "a"}]
    assert model_names(models if place is None else {place: models, "object": "list"}) == ["a", "b"]


@pytest.mark.parametrize("listed", [None, 5, "x", {}, {"data": None}, {"data": 5}, [None, 5, {}, {"id": 7}, ""], {"error": "no"}])
def test_other_bodies_list_nothing(listed):
    assert model_names(listed) == []


def test_names_alone_and_a_mapping_by_name_are_read():
    assert model_names(["a", "b"]) == model_names({"data": {"a": {}, "b": {}}}) == ["a", "b"]


def test_a_list_in_a_field_of_a_field_is_read():
    assert model_names({"success": True, "result": {"data": [{"id": "a"}], "total": 1}}) == ["a"]
