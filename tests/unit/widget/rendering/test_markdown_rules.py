"""What models write beyond CommonMark: formulas and prices, scripts, footnotes, tasks, bare links."""

from __future__ import annotations

import re

import pytest
from support.html_safety import Parsed, check_safe

from tsn_frames.widget.rendering.incremental_markdown import IncrementalMarkdown, render
from tsn_frames.widget.rendering.mathml import DEPTH, MOST, mathml

SOURCE = re.compile(r'<annotation encoding="application/x-tex">([^<]*)</annotation>')


def formulas(text):
    """Return the sources of the formulas that a text shows as MathML."""
    html = check_safe(render(text)) and render(text)
    return [found.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">") for found in SOURCE.findall(html)]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (r"Is \(x_1 + x_2\) or *so*?", "x_1 + x_2"),
        (r"Is \[\frac{a}{b} \\ c\] so?", r"\frac{a}{b} \\ c"),
        (r"Is $$\{a\}_*b*$$ so?", r"\{a\}_*b*"),
        (r"Is \(a < b\) so?", "a < b"),
        ("Is $x$?", "x"),
        ("($x$), **$y_1$** or $z$-scores of $n$th rank", "x"),
        ("价格是$x^2$元", "x^2"),
        (r"about $5\%$ of it", r"5\%"),
        (r"$2 \times 3$ is six", r"2 \times 3"),
        ("$$x$$", "x"),
        ("$$\nx\n$$", "x"),
        (
            "\\[\n\\begin{aligned}\na &= b \\\\\n- c &= d\n\\end{aligned}\n\\]",
            "\\begin{aligned}\na &= b \\\\\n- c &= d\n\\end{aligned}",
        ),
        ("So:\n$$\na\n+ b\n$$\nand on", "a\n+ b"),
        ("- a\n  $$\n  x\n  - y\n  $$\n- b", "x\n- y"),
        ("> \\[\n> x\n> \\]", "x"),
        ("| a |\n|---|\n| $x$ |", "x"),
        ("# About $x$", "x"),
    ],
)
def test_a_formula_is_mathml_that_keeps_its_source(text, source):
    assert formulas(text)[0] == source
    assert not set("$\\") & set(SOURCE.sub("", render(text)))


def test_a_formula_on_lines_of_its_own_is_a_block():
    assert '<math display="block">' in render("$$\nx\n$$") and '<math display="block">' in render(r"So \[x\] is")
    assert "display" not in render(r"$x$ and \(y\)")


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5.", "from $5 to $10", "$5-$10", "$5 and 6$", "$5.00 (was 6.00 or so$)", "US$5 (A$7)", "**$1,000** or **$2,000**", "5$ and 6$", "$5/$6",
        "$ x $", "$HOME/$USER", "$AAPL and $MSFT", "a $ b $ c", "$", "$$", "$$$", "the $10k and the $20k plan", "`$x$`", "$x\n\ny$", r"\$x\$", r"\$5 and $6",
        "$1, $2 and $3", "cost: $3.50/1M in, $10.00/1M out",
    ],
)  # fmt: skip
def test_prices_and_other_dollars_stay_text(text):
    assert formulas(text) == []
    assert "".join(Parsed(render(text)).texts).strip().count("$") == text.count("$")


@pytest.mark.parametrize(
    "tex",
    [
        r"\frac{1}",
        r"\unknown{x}",
        r"\begin{tikzpicture}x\end{tikzpicture}",
        "{x",
        "x}",
        r"\left( x",
        "x^",
        r"\def\a{\a\a}\a",
        "a & b",
        r"\sqrt",
    ],
)
def test_a_formula_that_cannot_be_read_stays_as_it_is_written(tex):
    for text in (f"$${tex}$$", f"\\[\n{tex}\n\\]", f"so \\({tex}\\) is"):
        assert formulas(text) == []
        assert "".join(Parsed(render(text)).texts).strip() == text


def test_a_formula_is_text_until_it_is_closed():
    page, text = IncrementalMarkdown(), "So:\n\n\\[\nx_1\n- *y*\n\\]\n\nand \\(z_1\\)."
    closed = text.index("\\]") + 2
    for at in range(len(text) + 1):
        page.grow(text[:at])
        assert ('display="block"' in "".join(page.blocks)) == (at >= closed)
    for at in range(text.index("x_1"), closed):
        page = IncrementalMarkdown()
        page.grow(text[:at])
        assert "<em>" not in "".join(page.blocks) and "<li>" not in "".join(page.blocks)
    assert "<math>" in render(text)


@pytest.mark.parametrize(
    ("tex", "html"),
    [
        (r"\lim_{x\to0} x", "<munder><mo"),
        (r"\ln x", ">ln</mo>"),
        (r"\mathrm{d}x", "<mi>d</mi>"),
        (r"\boldsymbol{\beta}", "𝜷"),
        (r"p \pm 2", "<mo>±</mo>"),
        (r"\infty", "<mi>∞</mi>"),
        (r"\boxed{42}", '<menclose notation="box">'),
        (r"\begin{align}a&=b\tag{1}\end{align}", '<mtd columnalign="right"><mi>a</mi></mtd>'),
        (r"\begin{gathered}a\\b\end{gathered}", "<mtr><mtd><mi>a</mi></mtd></mtr>"),
        (r"\arg\max_x", ">argmax</mo>"),
        (r"a \not= b \& c", "≠"),
        ("x % a comment {", "<mi>x</mi>"),
    ],
)
def test_what_models_write_is_read(tex, html):
    assert html in mathml(tex, block=True)


HOSTILE_TEX = [
    r"\href{javascript:alert(1)}{x}", r"\style{background:url(https://evil.example)}{x}", r"\class{jp-Cell}{x}", r"\cssId{x}{y}", r"\url{javascript:alert(1)}",
    r"\includegraphics{https://evil.example/x.png}", r"\text{<img src=x onerror=alert(1)>}", "<img src=x onerror=alert(1)>", r"\text{</math><script>alert(1)</script>}",
    r"\mathrm{</annotation><script>alert(1)</script>}", r"\color{red;background:url(https://evil.example)}{x}", r"\hspace{1em\" onclick=\"alert(1)}", r"\operatorname{<b onclick=alert(1)>}",
    r"\unicode{x3C}script\unicode{x3E}", r"\begin{array}{c\" onclick=\"alert(1)}x\end{array}", r"\xrightarrow{<script>}", r"\text{&lt;script&gt;alert(1)}", r"\htmlData{a=b}{x}",
    r"\mathchoice{<a>}{b}{c}{d}", r"\text{<style>@import 'https://evil.example'</style>}", "\x00<script\x00>",
]  # fmt: skip


@pytest.mark.parametrize("tex", HOSTILE_TEX, ids=range(len(HOSTILE_TEX)))
def test_nothing_in_a_formula_runs_or_is_fetched(tex):
    for text in (f"${tex}$", f"$${tex}$$", f"\\[\n{tex}\n\\]", f"[\\({tex}\\)](https://x.y)", f"| a |\n|---|\n| ${tex}$ |"):
        seen = check_safe(render(text))
        assert not any("evil.example" in value or "javascript" in value for _, _, value in seen.attributes)


ENDLESS = {
    "long": "x+" * MOST, "deep groups": "{" * (DEPTH + 1) + "}" * (DEPTH + 1), "deep roots": r"\sqrt{" * 900 + "}" * 900, "bare roots": r"\sqrt" * 390 + " x",
    "brackets": "(" * 1990, "square": "[" * 1990, "doubling": "".join(rf"\newcommand{{\x{c}}}{{\x{d}\x{d}}}" for c, d in zip("bcdefghijklmnop", "abcdefghijklmno")) + r"\xp",
    "primes": "'" * 1990, "cells": r"\begin{matrix}" + "&" * 1900 + r"\end{matrix}", "fractions": r"\frac x" * 280 + " x", "left": r"\left(" * 300, "scripts": "x" + "^{x" * 500 + "}" * 500,
}  # fmt: skip


@pytest.mark.parametrize("name", ENDLESS)
def test_a_hostile_formula_is_bounded_in_size(name):
    assert len(mathml(ENDLESS[name], block=True) or "") < 40 * MOST
    assert "".join(Parsed(render(f"$${ENDLESS[name]}$$")).texts)


def test_scripts_are_one_word_right_after_another():
    assert render("H~2~O, x^2^, 10^-3^, 19^th^") == "<p>H<sub>2</sub>O, x<sup>2</sup>, 10<sup>-3</sup>, 19<sup>th</sup></p>\n"
    for text in ("a^2+b^2=c^2", "2^3^4", "~5 to ~10", "^a^", "~a~", "x^2 and y^2"):
        assert render(text) == f"<p>{text}</p>\n"
    assert render("~~gone~~") == "<p><s>gone</s></p>\n"
    assert render("H<sub>2</sub>O<br>x<SUP>2</SUP>") == "<p>H<sub>2</sub>O<br>\nx<sup>2</sup></p>\n"


def test_a_footnote_is_a_number_where_it_is_used_and_before_its_text():
    html = render("One[^1], two[^b].\n\n[^1]: First *note*.\n[^b]: https://x.y\n")
    assert "One<sup>1</sup>, two<sup>b</sup>." in html
    assert "<p><sup>1</sup> First <em>note</em>.</p>" in html and '<p><sup>b</sup> <a href="https://x.y"' in html
    assert render("a set [^1] of") == "<p>a set [^1] of</p>\n"


def test_a_task_has_a_box():
    assert render("- [ ] one\n- [x] *two*\n- [y] three") == (
        '<ul>\n<li><span class="task">☐</span> one</li>\n<li><span class="task">☑</span> <em>two</em></li>\n<li>[y] three</li>\n</ul>\n'
    )


@pytest.mark.parametrize(
    ("text", "url", "after"),
    [
        ("see https://x.y/a_b_c?d=e&f#g.", "https://x.y/a_b_c?d=e&f#g", "."),
        ("(https://x.y/a_(b))", "https://x.y/a_(b)", ")"),
        ("**HTTP://x.y**", "HTTP://x.y", ""),
        ("见https://x.y/a。好", "https://x.y/a", "。好"),
        ('"https://x.y/a"', "https://x.y/a", '"'),
    ],
)
def test_a_bare_link_is_a_link_without_the_marks_after_it(text, url, after):
    seen = check_safe(render(text))
    assert ("a", "href", url) in seen.attributes
    assert "".join(seen.texts).strip().endswith(url + after)


@pytest.mark.parametrize(
    "text",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "xhttp://x.y",
        "http:/x",
        "https:///x",
        "file:///etc/passwd",
        "`https://x.y`",
        "http:",
        "https://",
    ],
)
def test_nothing_else_is_a_bare_link(text):
    assert "a" not in check_safe(render(text)).tags


def test_a_link_in_a_link_is_its_text():
    assert check_safe(render("[a https://x.y b](https://z.w)")).tags == ["p", "a"]
