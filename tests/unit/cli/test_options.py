"""Options come from the signatures of the verbs; labels and fields from the command line and from files."""

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from typing import Literal, get_type_hints

import pytest

import tsn_frames as tsn
from tsn_frames.cli.labels_and_fields import fields_of, labels_of, typed_dict
from tsn_frames.cli.options import client_options, text_or_file, verb_options
from tsn_frames.errors import ParameterError

pytest.importorskip("click")
LEFT_OUT = {"df", "client", "errors", "progress", "refresh", "prompt", "text", "labels", "fields"}


@pytest.mark.parametrize("verb", [tsn.complete, tsn.label, tsn.extract], ids=lambda verb: verb.__name__)
def test_every_option_of_a_verb_is_one_of_the_shell_with_a_sentence(verb):
    options = {option.name: option for option in verb_options(verb)}
    assert set(options) == set(inspect.signature(verb).parameters) - LEFT_OUT
    for option in options.values():
        assert option.help and len(option.help) > 10 and not option.help.startswith("As for"), option.name
        assert "``" not in option.help and ":func:" not in option.help and option.default is None


def test_the_client_has_no_option_for_a_secret():
    names = {option.name for option in client_options()}
    assert not {"api_key", "headers", "query"} & names
    assert {"base_url", "cache_dir", "ledger", "prices", "concurrency", "requests_per_minute", "max_wait"} <= names


@pytest.mark.parametrize("verb", ["complete", "label", "extract"])
def test_help_teaches_by_example_and_says_where_the_key_goes(shell, verb):
    code, out, _ = shell(verb, "--help")
    assert code == 0 and "Examples:" in out and f"tsn-frames {verb} " in out and "TSN_API_KEY" in out and "--api-key" not in out


@pytest.mark.parametrize("group", ["program", "estimate"])
@pytest.mark.parametrize("verb", ["complete", "label", "extract"])
def test_every_example_of_the_help_is_a_command_line_that_parses(group, verb, tmp_path, monkeypatch):
    program = import_module("tsn_frames.cli.program").program
    command = (program if group == "program" else program.commands["estimate"]).commands[verb]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompt.txt").write_text("Summarise: {text}")
    examples = [line for line in command.help.splitlines() if line.startswith("  ")]
    assert len(examples) >= 2
    for line in examples:
        words = shlex.split(re.split(r" > | \| head", line.partition("tsn-frames ")[2])[0])
        assert command.make_context(verb, words[words.index(verb) + 1 :])


def test_a_text_may_be_a_file(tmp_path):
    (tmp_path / "prompt.txt").write_text("Summarise: {text}\n")
    assert text_or_file(f"@{tmp_path}/prompt.txt") == "Summarise: {text}" and text_or_file("@@home") == "@home"


def test_labels_are_words_or_a_file(tmp_path):
    (tmp_path / "l.txt").write_text("billing\n\n late, lost \n")
    (tmp_path / "l.csv").write_text('label,what\nbilling,"money, fees"\nother,all else\n')
    (tmp_path / "one.csv").write_text("label\na\nb\n")
    (tmp_path / "l.json").write_text('{"1": "not at all", "5": "wholly"}')
    assert labels_of("a, b,c") == ["a", "b", "c"]
    assert labels_of(f"@{tmp_path}/l.txt") == ["billing", "late, lost"]
    assert labels_of(f"@{tmp_path}/l.csv") == {"billing": "money, fees", "other": "all else"}
    assert labels_of(f"@{tmp_path}/one.csv") == ["a", "b"]
    assert labels_of(f"@{tmp_path}/l.json") == {1: "not at all", 5: "wholly"}
    with pytest.raises(ParameterError, match=r"--labels: .*no.txt can't be read"):
        labels_of(f"@{tmp_path}/no.txt")


def test_a_json_schema_becomes_types():
    schema = {
        "$defs": {"Item": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
        "properties": {
            "kind": {"enum": ["a", "b"]},
            "amount": {"type": ["number", "null"]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
            "note": {"type": "string"},
        },
        "required": ["kind", "amount", "tags", "items"],
    }
    hints = get_type_hints(typed_dict(schema))
    assert hints["kind"] == Literal["a", "b"] and hints["amount"] == (float | None) and hints["tags"] == list[str]
    assert hints["note"] == (str | None) and tsn.verbs.extract.fields.Fields.of(typed_dict(schema)).fields[3].name == "items"


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({}, 'must be an object with "properties"'),
        ([], 'must be an object with "properties"'),
        ({"properties": {"a": {"type": "strin"}}}, "the property 'a' has the type 'strin'; did you mean 'string'"),
        ({"properties": {"a": {"$ref": "#/$defs/B"}}}, "'B', which is not among its definitions"),
        (
            {"$defs": {"B": {"type": "array", "items": {"$ref": "#/$defs/B"}}}, "properties": {"a": {"$ref": "#/$defs/B"}}},
            "itself",
        ),
    ],
)
def test_a_schema_that_is_no_table_is_refused(tmp_path, schema, problem):
    (tmp_path / "s.json").write_text(json.dumps(schema))
    with pytest.raises(ParameterError, match=problem):
        fields_of(str(tmp_path / "s.json"))


def test_fields_may_be_a_class_of_a_file(tmp_path):
    (tmp_path / "fields.py").write_text("from dataclasses import dataclass\n@dataclass\nclass Invoice:\n    amount: float\n")
    assert fields_of(f"{tmp_path}/fields.py:Invoice").__name__ == "Invoice"
    with pytest.raises(ParameterError, match="has no class 'Invoce'; did you mean 'Invoice'"):
        fields_of(f"{tmp_path}/fields.py:Invoce")
    (tmp_path / "broken.py").write_text("1 / 0")
    with pytest.raises(ParameterError, match="can't be imported: ZeroDivisionError: division by zero"):
        fields_of(f"{tmp_path}/broken.py:A")
    with pytest.raises(ParameterError, match="there is no file"):
        fields_of(f"{tmp_path}/none.py:A")


def test_without_click_the_command_says_what_to_install_and_demo_is_there():
    code = "import sys; sys.modules['click'] = None; from tsn_frames.cli.main import main; sys.exit(main(['runs']))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 2 and ended.stderr == "tsn-frames needs click: pip install 'tsn-frames[cli]'\n"


def test_importing_the_package_imports_no_click():
    code = "import sys, tsn_frames, tsn_frames.cli.main; sys.exit('click' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_shell_completes_commands():
    environ = os.environ | {"_TSN_FRAMES_COMPLETE": "bash_complete", "COMP_WORDS": "tsn-frames ca", "COMP_CWORD": "1"}
    ended = subprocess.run([sys.executable, "-m", "tsn_frames"], env=environ, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["plain,cache"]
