"""What is public, how it explains itself, and what importing it does not do."""

from __future__ import annotations

import ast
import doctest
import inspect
import json
import re
import subprocess
import sys

import pandas as pd
import pytest

import tsn_frames as tsn

# Why a public name has no example that runs.
NO_EXAMPLE = {
    "set_key": "it asks a person",
    "ArchiveSummary": "archive's example makes one",
    "Comparison": "compare's example makes one",
    "Evaluation": "evaluate's example makes one",
    "errors": "a module: its page lists the exceptions",
    "plot": "a module: each of its functions has an example",
    "FileSummary": "complete_file's example makes one",
    "Review": "review's reference makes one",
    "Run": "it is never made by hand; complete's reference shows one at work",
    "Summary": "it is never made by hand; the docs print one",
}
FRAME, SERIES = pd.DataFrame({"text": ["a"]}), pd.Series(["a"], name="text")
NUMPY_SECTIONS = ("Parameters\n", "Returns\n", "Raises\n", "Examples\n", "Attributes\n")


def public():
    return {name: getattr(tsn, name) for name in tsn.__all__}


def test_all_is_sorted_and_complete():
    assert list(tsn.__all__) == sorted(tsn.__all__) == sorted([*tsn._PLACES, "errors", "plot"])
    stated = {node.names[0].asname for node in ast.walk(ast.parse(inspect.getsource(tsn))) if isinstance(node, ast.ImportFrom)}
    assert stated - {None} == set(tsn.__all__), "a type checker sees what there is"
    assert dir(tsn) == tsn.__all__


def test_every_exception_is_in_errors_and_in_one_tree():
    made = {name: value for name, value in vars(tsn.errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert all(issubclass(value, (tsn.errors.TSNError, Warning)) for value in made.values())
    assert set(made) & set(tsn.__all__) == {"RunError", "TSNError"}
    assert all(getattr(tsn, name) is value for name, value in made.items()), "any exception is found on top, too"


def methods_of_accessors():
    frame = pd.DataFrame({"text": ["a"]})
    for shown, accessor in (("df.tsn", frame.tsn), ("series.tsn", frame["text"].tsn)):
        for name in dir(accessor):
            if not name.startswith("_"):
                yield pytest.param(getattr(accessor, name), id=f"{shown}.{name}")


@pytest.mark.parametrize("method", list(methods_of_accessors()))
def test_help_of_a_method_shows_readable_types_and_an_example(method):
    signature, text = str(inspect.signature(method)), inspect.getdoc(method)
    assert not re.search(r"PerRow|Prompt|CacheMode|Missing|pd\.|Mapping\[", signature), signature
    assert not re.search(r": '[^']*[\[|]|-> '", signature), signature
    assert re.search(r">>>.*\.tsn\.", text.partition("Examples\n")[2]), text


@pytest.mark.parametrize("method", list(methods_of_accessors()))
def test_a_method_says_that_it_returns_what_a_reader_can_look_up(method):
    returned = str(inspect.signature(method).return_annotation)
    assert returned in {*tsn.__all__, "DataFrame", "Series"}
    documented = re.findall(r"Returns\n-------\n(\w+)", inspect.getdoc(method))
    assert documented in ([], [returned])


def test_a_chat_takes_one_value_of_each_parameter():
    for shown in (tsn.Chat, tsn.Chat.from_markdown):
        assert "temperature: float | None = None" in str(inspect.signature(shown))
        assert not re.search("callable|Series", str(inspect.signature(shown)))


def test_types_of_choices_show_the_words():
    shown = str(inspect.signature(pd.DataFrame().tsn.complete))
    assert "cache: 'use' | 'refresh' | 'off' | 'only' = 'use'" in shown
    assert "missing: 'skip' | 'empty' | 'raise' | dict = 'skip'" in shown
    assert "temperature: float | Series | callable | None = None" in shown
    assert shown.endswith(" -> DataFrame")
    assert "prices: Prices | dict | str | Path | None = None" in str(inspect.signature(tsn.Client))


def test_a_name_that_was_replaced_names_its_successor():
    with pytest.raises(AttributeError, match=r"'rehearse'; it is tsn\.simulate"):
        tsn.rehearse  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'no_such'$"):
        tsn.no_such  # noqa: B018


def test_a_misspelled_name_names_the_nearest_one():
    with pytest.raises(AttributeError, match=r"no attribute 'complte'; did you mean 'complete'\?$"):
        tsn.complte  # noqa: B018
    assert not hasattr(tsn, "_complete")


@pytest.mark.parametrize("name", sorted(set(dir(FRAME.tsn)) - set(dir(SERIES.tsn))))
def test_a_verb_of_frames_is_named_where_a_series_is_asked_for_it(name):
    with pytest.raises(AttributeError, match=rf"^series\.tsn has no '{name}': call it on the frame, df\.tsn\.{name}\(\.\.\.\)$"):
        getattr(SERIES.tsn, name)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: FRAME.tsn.complete("{text}", rehearse=True), r"^complete\(\) has no parameter 'rehearse'; tsn\.simulate\(\)"),
        (lambda: FRAME.tsn.rehearse("{text}"), r"^df\.tsn\.rehearse is tsn\.simulate\(\)"),
        (
            lambda: SERIES.tsn.complete("{text}", tmperature=1),
            r"^complete\(\) has no parameter 'tmperature'; did you mean 'temperature'",
        ),
        (lambda: SERIES.tsn.complete("{text}", name="x"), r"^complete\(\) has no parameter 'name'"),
        (lambda: FRAME.tsn.messages("{text}", sytem="x"), r"^messages\(\) has no parameter 'sytem'; did you mean 'system'\?$"),
        (lambda: tsn.start(FRAME.tsn.messages, "{text}"), "messages is not a verb that sends requests"),
        (
            lambda: tsn.to_labels(SERIES, ["a", "b"], multi=True),
            r"^to_labels\(\) has no parameter 'multi'; did you mean 'multiple'",
        ),
        (lambda: tsn.to_labels(SERIES), r"^to_labels\(\): missing a required argument: 'labels'"),
        (lambda: tsn.Client(apikey="sk-1234567890abcdef"), r"^Client\(\) has no parameter 'apikey'; did you mean 'api_key'"),
        (lambda: tsn.Client(modell="m"), r"^Client\(\) has no parameter 'modell'; did you mean 'model'"),
        (lambda: tsn.set_key("sk-1234567890abcdef"), r"^set_key\(\) takes no key"),
        (lambda: tsn.set_key(key="sk-1234567890abcdef"), r"^set_key\(\) takes no key"),
    ],
)
def test_a_wrong_name_names_the_right_one(call, message):
    with pytest.raises(tsn.errors.TSNError, match=message) as raised:
        call()
    frames = [inner.frame.f_locals for inner in raised.traceback if "tsn_frames" in str(inner.path)]
    assert "sk-1234567890abcdef" not in f"{raised.value} {frames}", "a key is in no error and in no local name of a frame"


@pytest.mark.parametrize("name", tsn.__all__)
def test_a_public_name_explains_itself(name):
    text = inspect.getdoc(public()[name])
    assert text, name
    first, _, rest = text.partition("\n")
    assert first.endswith((".", "?")), f"{name}: the first line is no sentence: {first!r}"
    assert not rest or rest.startswith("\n"), f"{name}: a blank line goes before what follows the first"


@pytest.mark.parametrize("name", [n for n, v in public().items() if not (inspect.isclass(v) and issubclass(v, Exception))])
def test_a_public_name_has_an_example_or_a_reason(name):
    text = inspect.getdoc(public()[name]) or ""
    examples = doctest.DocTestParser().get_examples(text)  # pytest --doctest-modules runs them
    if name in NO_EXAMPLE:
        assert not examples, f"{name} has an example now: take it off NO_EXAMPLE"
    else:
        assert examples, name
        assert any(f"{section}-" in text for section in NUMPY_SECTIONS), f"{name} has no numpy section"


NAMES = ["complete", "compare", "label", "extract", "Client", "Limits", "Retry", "Prices", "simulate", "Chat"]
EXPLAINED = {name: public()[name] for name in NAMES}
EXPLAINED |= {"Chat.from_markdown": tsn.Chat.from_markdown, "df.tsn.chat": FRAME.tsn.chat}


@pytest.mark.parametrize("name", EXPLAINED)
def test_every_parameter_is_explained(name):
    documentation = inspect.getdoc(EXPLAINED[name]) or ""
    for parameter in inspect.signature(EXPLAINED[name]).parameters:
        assert any(parameter in line.split(" : ")[0].split(", ") for line in documentation.splitlines()), f"{name}: {parameter}"


@pytest.mark.parametrize("name", ["complete", "compare"])
def test_a_method_has_the_words_of_its_verb(name):
    import pandas as pd

    verb, method = inspect.signature(public()[name]), inspect.signature(getattr(pd.DataFrame({"a": [1]}).tsn, name))
    assert list(verb.parameters)[1:] == list(method.parameters)


# What pandas and numpy do themselves is not ours to watch, so they are imported first.
WATCHED = """
import json, os, sys
seen = []
def hook(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        flags = args[2] if isinstance(args[2], int) else 0
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC)
        if (writes or any(c in (args[1] or "") for c in "wax+")) and os.fsdecode(args[0]) != os.devnull:
            seen.append(f"{event} {os.fsdecode(args[0])}")
    elif event.startswith(("socket.", "sqlite3.connect", "subprocess.", "os.mkdir", "os.rename", "os.remove", "os.system")):
        seen.append(f"{event} {args!r}")
import pandas, numpy
sys.addaudithook(hook)
before = set(sys.modules)
import tsn_frames
first = sorted(set(sys.modules) - before)
pandas.DataFrame().tsn
for name in set(tsn_frames.__all__) - {"Chat", "Review"}:
    getattr(tsn_frames, name)
print(json.dumps({"seen": seen, "first": first, "loaded": sorted(set(sys.modules) - before)}))
"""


@pytest.fixture(scope="module")
def imported():
    done = subprocess.run([sys.executable, "-B", "-c", WATCHED], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_importing_touches_neither_disk_nor_network(imported):
    assert imported["seen"] == []


FORBIDDEN = (
    "dask",
    "sklearn",
    "IPython",
    "ipywidgets",
    "anywidget",
    "markdown_it",
    "latex2mathml",
    "nh3",
    "pygments",
    "tsn_frames.widget",
    "pydantic",
    "tsn_frames.simulator",
    "tqdm.notebook",
    "pyarrow",
    "matplotlib",
    "httpx",
    "genai_prices",
    "polars",
    "narwhals",
    "duckdb",
    "pyspark",
    "ray",
)


def test_importing_the_package_loads_none_of_its_parts(imported):
    ours = [name for name in imported["first"] if name.startswith("tsn_frames.")]
    assert ours == ["tsn_frames.errors"]


def test_using_public_names_loads_nothing_optional(imported):
    for name in FORBIDDEN:
        assert not [m for m in imported["loaded"] if m == name or m.startswith(f"{name}.")], name
