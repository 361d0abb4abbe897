"""How long hostile and large Markdown takes to render: no model's answer may stop the reader's kernel."""

from __future__ import annotations

import time

import pytest
from support.html_safety import Parsed, check_safe

from tsn_frames.widget.rendering import highlight
from tsn_frames.widget.rendering.incremental_markdown import IncrementalMarkdown, render

DEEP = {
    "brackets": "[" * 10_000, "links": "[a](" * 10_000, "closed brackets": "[a" * 10_000 + "]" * 10_000, "quotes": ">" * 10_000, "bullets": "- " * 10_000,
    "stars": "*a **b " * 5_000, "many stars": "*" * 10_000 + "a" + "*" * 10_000, "ticks": "".join("`" * i + " " for i in range(150)), "angles": "<" * 10_000,
    "ampersands": "&" * 10_000, "autolinks": "<http://a" * 5_000, "images": "![a](" * 5_000, "definitions": "[a]: https://x.y\n" * 5_000, "references": "[a][b] " * 5_000,
    "rows": "|a|\n|-|\n" + "|b|\n" * 5_000, "columns": "|a" * 3_000 + "|\n" + "|-" * 3_000 + "|\n|x|\n", "stairs": "".join("  " * i + "- a\n" for i in range(200)),
    "escapes": "\\" * 10_000, "lines": "a\n" * 10_000, "titles": '[a](<b> "' * 5_000, "fences": "```\n" * 5_001, "lazy quote": ">" * 100 + "a\n" + "b\n" * 5_000,
    "open titles": '[a]: https://x.y "\n' * 3_000, "blanks": " " * 10_000 + "a", "bangs": "![" * 10_000, "underscores": "_a" * 10_000, "tildes": "~~a " * 5_000,
    "dollars": "$" * 10_000, "open dollars": "$a " * 5_000, "formulas": "".join(f"$x_{{{i}}}$ " for i in range(1_500)), "open brackets": "\\[\n" * 3_000,
    "opened": "\\[\n" * 3_000 + "\n", "double dollars": "$$\na\n" * 3_000, "deep formula": "$" + "\\sqrt{" * 3_000 + "$", "long formula": "$$" + "x+" * 10_000 + "$$",
    "brackets of formulas": "\n\n".join("$$" + "(" * 1_900 + "$$" for _ in range(20)), "parentheses": "\\(" * 5_000, "circumflexes": "a^" * 5_000, "urls": "http://a " * 2_000,
    "colons": "http:" * 5_000, "footnotes": "".join(f"[^{i}]: a\n" for i in range(1_500)), "uses": "[^1]: a\n\n" + "[^1]" * 3_000, "tags": "<sub>" * 5_000,
    "one line of code": "```py\n" + "(" * 50_000 + "\n```", "code": "```py\n" + "f('''\n" * 5_000 + "\n```",
}  # fmt: skip


@pytest.mark.parametrize("name", DEEP)
def test_depth_costs_no_more_than_a_second(name):
    """The least of up to three: what else a processor does only ever adds to it."""
    assert least(lambda: check_safe(render(DEEP[name])), 1.5) < 1.5, "a second, and half of one to check it"


def least(work, enough):
    """Return the seconds of a processor that some work takes: the least of up to three tries."""
    took = []
    while min(took, default=enough) >= enough and len(took) < 3:
        begun = time.process_time()
        work()
        took.append(time.process_time() - begun)
    return min(took)


@pytest.mark.parametrize("language", sorted(set(highlight.LANGUAGES.values())))
def test_no_lexer_can_be_held_up(language):
    for piece in (
        "(",
        '"',
        "'",
        "\\",
        "/*",
        "<",
        "{",
        "a ",
        "`",
        "#",
        "'''",
        "@",
        "<!--",
        "${",
        "=",
        "0",
        "/",
        "<<A\n",
        "-",
        ":",
        "%",
    ):
        code = piece * (1_900 // len(piece))
        assert least(lambda: check_safe(render(f"```{language}\n{code}\n```")), 1) < 1, piece  # noqa: B023 - called at once


@pytest.mark.parametrize(
    ("language", "line"),
    [("csharp", "a "), ("java", "a "), ("c", "\t"), ("python", "\t"), ("scala", "("), ("ini", "="), ("html", "&")],
)
def test_a_lexer_that_is_slow_is_left_for_plain_text(language, line):
    code = f"{line}\n" * (49_000 // (len(line) + 1))
    begun = time.process_time()
    html = render(f"```{language}\n{code}```\n")
    assert time.process_time() - begun < 1.5
    assert html == render(f"```{language}\n{code}```\n")
    assert "".join(Parsed(html).texts).startswith(code)


def test_a_growing_answer_costs_a_fraction_of_rendering_it_again_and_again():
    section = "## Part\n\nSome *text* with `code` and [a link](https://x.y).\n\n- one\n- two\n\n```py\nx = [1, 2]\n```\n\n"
    text = section * 60
    steps = range(0, len(text), 200)

    def seconds(work):
        begun = time.process_time()
        for at in steps:
            work(text[:at])
        return time.process_time() - begun

    assert seconds(IncrementalMarkdown().grow) < 0.3 * seconds(render)
