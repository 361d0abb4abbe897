"""Options of the shell made from the signatures of the verbs, of ``Client`` and of ``Limits``: each is declared once, there."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from ..engine.limits.limits import Limits
from ..engine.runtime.client import Client
from ..verbs.complete import complete

_NOT_ON_A_COMMAND_LINE = {"self", "client", "errors", "progress", "refresh", "df", "prompt", "text", "labels", "fields"}
_NOT_OF_CLIENT = {"api_key", "headers", "query", "model", "limits", "retry", "cache"}  # the first three are secret
CACHE_DIR = "Folder of cached answers; default: TSN_CACHE_DIR."
_HELP = {
    "temperature": "Sampling temperature, from 0 to 2.",
    "top_p": "Nucleus sampling, from 0 to 1.",
    "max_tokens": "Most tokens of an answer.",
    "stop": "A text that ends the answer; can be repeated.",
    "frequency_penalty": "From -2 to 2.",
    "presence_penalty": "From -2 to 2.",
    "response_format": "A JSON object, or @FILE.",
    "seed": "A whole number for the sampling of the service.",
    "model": "The model; default: TSN_MODEL.",
    "messages": "A column of message lists, in place of a prompt.",
    "base_url": "The service; default: TSN_BASE_URL.",
    "allow_http": "Allow a host other than this machine without TLS.",
    "keep_prompts": "Keep prompts in the run records of the ledger.",
    "ledger": "File of recorded spending; default: TSN_LEDGER.",
    "cache": "use: read and write; refresh: write only; off: neither; only: read, and send nothing.",
    "extra_body": "Other fields of the request, as a JSON object or @FILE.",
    "prices": "File of prices; default: TSN_PRICES. Without prices costs are unknown.",
    "system": "The system message, with {column} placeholders, or @FILE.",
    "repeat": "Other numbers give independent answers to equal requests.",
    "votes": "Independent answers for each row: 3, or 2,5 for two, and up to five where they differ.",
    "usage": "Whether to add tokens, cost and cached.",
    "include": "More facts of the answer, with commas between: model,answered_at,request_key.",
    "examples": "A table of rows with their labels or fields, shown to the model first.",
}


class Parsed(click.ParamType):  # type: ignore[type-arg]  # the lowest click has no parameter here
    """A type of option that a function parses; ``@FILE`` is the text of a file."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the parsed value, or fail as a usage error."""
        try:
            return self._parse(text_or_file(value))
        except (ValueError, InvalidOperation, OSError) as error:
            self.fail(f"{value!r} is not a valid {self.name}: {error}", param, ctx)


def text_or_file(value: str) -> str:
    """Return a text; ``@path`` is the text of a file, and ``@@`` begins a text with one ``@``."""
    if not value.startswith("@") or value.startswith("@@"):
        return value.removeprefix("@") if value.startswith("@@") else value
    return Path(value[1:]).expanduser().read_text(encoding="utf-8-sig").rstrip("\r\n")


def split(value: str) -> list[str]:
    """Return the words between commas."""
    return [word.strip() for word in value.split(",") if word.strip()]


def _object(value: str) -> dict[str, Any]:
    found = json.loads(value)
    if not isinstance(found, dict):
        raise ValueError('a JSON object such as {"logprobs": true} is needed')  # noqa: TRY004 - the text is wrong, not its type
    return found


def _votes(value: str) -> int | tuple[int, int]:
    numbers = [int(word) for word in value.split(",")]
    if len(numbers) > 2:
        raise ValueError("one number, or two with a comma between")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


TEXT = Parsed("text", str)
JSON = Parsed("json", _object)
_TYPES: Mapping[str, Any] = {  # of options by their names, and of others by the types of their parameters
    "votes": Parsed("votes", _votes), "max_cost": Parsed("amount", Decimal),
    "int": int, "float": float, "str": TEXT, "dict": JSON, "Sequence[str]": Parsed("words", split), "DataFrame": str,
}  # fmt: skip


def verb_options(verb: Callable[..., Any]) -> list[click.Option]:
    """Return the options of a verb, in the order of its signature."""
    sentences = {
        **_sentences(complete),
        **{name: text for name, text in _sentences(verb).items() if not text.startswith("As for")},
    }
    return [_option(one, sentences.get(one.name, "")) for one in _parameters(verb, _NOT_ON_A_COMMAND_LINE)]


def client_options() -> list[click.Option]:
    """Return the options of the client and of its limits; a key is never one of them."""
    own = list(_parameters(Client, _NOT_OF_CLIENT))
    sentences = {**_sentences(Client), **_sentences(Limits)}
    cache = click.Option(["--cache-dir"], metavar="FOLDER", help=CACHE_DIR)
    return [*(_option(one, sentences.get(one.name, "")) for one in (*own, *_parameters(Limits, set()))), cache]


def client_of(values: dict[str, Any]) -> Any:
    """Take the options of the client out of all options, and return the client that they describe."""
    limits = {one.name: values.pop(one.name, None) for one in _parameters(Limits, set())}
    own = {one.name: values.pop(one.name, None) for one in _parameters(Client, _NOT_OF_CLIENT)}
    return Client(cache=values.pop("cache_dir", None), limits=Limits(**given(limits)), **given(own))


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in values.items() if value is not None and value != ()}


def _parameters(function: Callable[..., Any], without: set[str]) -> Iterator[inspect.Parameter]:
    for one in inspect.signature(function).parameters.values():
        if one.name not in without:
            yield one


def _option(one: inspect.Parameter, sentence: str) -> click.Option:
    """Return the option of a parameter, by its readable type."""
    flag, kinds = f"--{one.name.replace('_', '-')}", str(one.annotation).strip("'").split(" | ")
    text: dict[str, Any] = {"help": _HELP.get(one.name, sentence), "default": None}
    words = [word.strip("'") for word in re.findall(r"'\w+'", str(one.annotation))]
    if one.name == "stop":
        return click.Option([flag], multiple=True, metavar="TEXT", **text)
    if kinds[0] == "bool":
        return click.Option([f"{flag}/--no-{flag[2:]}"], **text)
    if words:
        return click.Option([flag], type=click.Choice(words), **text)
    found = next((kind for name, kind in _TYPES.items() if name in (one.name, *kinds)), TEXT)
    return click.Option([flag], type=found, **text)


def _sentences(function: Callable[..., Any]) -> dict[str, str]:
    """Return the first sentence on each parameter in a docstring of numpy's style."""
    text = inspect.cleandoc(function.__doc__ or "").partition("Parameters\n----------\n")[2]
    entries = re.findall(r"^(\w[\w, ]*) : [^\n]*\n((?:    [^\n]*\n|\n)+)", text, re.MULTILINE)
    return {name.strip(): _first_sentence(body) for names, body in entries for name in names.split(",")}


def _first_sentence(body: str) -> str:
    plain = re.sub(r":\w+:`([^`]*)`|``([^`]*)``", lambda found: found[1] or found[2], " ".join(body.split()))
    return re.split(r"(?<=\.) (?=[A-Z])", plain)[0].rstrip(".") + "."
