"""The picture of the architecture is the one of the import table."""

import importlib.util
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "explanation"


def program():
    spec = importlib.util.spec_from_file_location("draw_architecture", FOLDER / "draw_architecture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_drawn_from_the_table_of_the_page():
    drawn = program().picture(program().table((FOLDER / "architecture.md").read_text(encoding="utf-8")))
    assert (FOLDER / "architecture.svg").read_text(encoding="utf-8") == drawn, "run docs/explanation/draw_architecture.py"


def test_an_arrow_that_a_longer_path_says_is_left_out():
    assert program().reduced({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == [("a", "b"), ("b", "c")]


def test_a_package_stands_above_what_it_imports():
    assert program().levels({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": 2, "b": 1, "c": 0}
