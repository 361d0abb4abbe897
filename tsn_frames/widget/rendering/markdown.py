"""Render markdown to sanitised HTML blocks, with a cache of the parts that did not change. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import Any, NamedTuple

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from . import mathml
from .highlight import CLASSES, LANGUAGES, code_html
from .markdown_rules import add_rules

_TASK = re.compile(r"\[([ xX])\][ \n]")
_ALIGNED = re.compile(r"text-align:(left|right|center)")
_SCHEME = re.compile(r"https?://[^/]", re.IGNORECASE)
_TAGS = {
    "a", "blockquote", "br", "code", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "span",
    "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_CLASSES = {
    "span": CLASSES | {"task"},
    "code": {f"language-{name}" for name in LANGUAGES.values()},
    "td": {"left", "right", "center"},
    "th": {"left", "right", "center"},
}
_CHECKED = {" ": '<span class="task">\u2610</span> ', "x": '<span class="task">\u2611</span> '}
NESTING = 20  # levels of nested quotes and lists: deeper text is not parsed, since that may take a minute
Links = dict[str, Any]


class Block(NamedTuple):
    """A top-level block: its HTML, the line where it ends, and its source with blank lines before it."""

    html: str
    end: int
    source: str


class BlockCache:
    """Rendered parts of the previous text, reused for the next one."""

    def __init__(self) -> None:
        self._old: dict[Any, str] = {}
        self._new: dict[Any, str] = {}
        self._links: Links = {}

    def get(self, key: Any, make: Callable[[], str]) -> str:
        """Return the cached value of a key, making it on a miss."""
        if key not in self._new:
            self._new[key] = self._old[key] if key in self._old else make()
        return self._new[key]

    def relink(self, links: Links) -> None:
        """Clear the cache if link definitions have changed."""
        if links != self._links:
            self._links, self._old, self._new = links, {}, {}

    def turn(self) -> None:
        """Drop the entries that the last text didn't use."""
        self._old, self._new = self._new, {}


class _Markdown(MarkdownIt):
    """Markdown without HTML and with absolute http(s) links only: none to the notebook's own server, none to scripts.

    A single line break is kept, as in letters and addresses.
    """

    def __init__(self) -> None:
        super().__init__("commonmark", {"html": False, "xhtmlOut": False, "breaks": True})
        self.enable(["table", "strikethrough"])
        add_rules(self)

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the library's name
        return _SCHEME.match(url) is not None


class _Renderer(RendererHTML):
    """HTML of the tokens of the added rules; a formula that can't be read is its source."""

    def math(self, tokens: Sequence[Token], i: int, *_: Any) -> str:
        return _math(tokens[i].content, block=False)

    def math_display(self, tokens: Sequence[Token], i: int, *_: Any) -> str:
        return _math(tokens[i].content, block=True)

    def math_block(self, tokens: Sequence[Token], i: int, *_: Any) -> str:
        return f"<p>{_math(tokens[i].content, block=True)}</p>\n"

    def math_source(self, tokens: Sequence[Token], i: int, *_: Any) -> str:
        return f"<p>{_source(tokens[i].content)}</p>\n"

    def subscript(self, tokens: Sequence[Token], i: int, *_: Any) -> str:
        return f"<sub>{escape(tokens[i].content)}</sub>"

    def superscript(self, tokens: Sequence[Token], i: int, *_: Any) -> str:
        return f"<sup>{escape(tokens[i].content)}</sup>"

    footnote = superscript


def _math(text: str, *, block: bool) -> str:
    marks = 2 if text[:2] in ("$$", r"\(", r"\[") else 1
    return mathml.mathml(text[marks:-marks].strip(), block=block) or _source(text)


def _source(text: str) -> str:
    return escape(text).replace("\n", "<br>\n")


_INLINES = _Markdown()
_BLOCKS = _Markdown().disable(["inline", "text_join"])  # inline text is rendered separately and cached
_RENDERER = _Renderer()
_CLEANER = nh3.Cleaner(
    tags=_TAGS | mathml.TAGS, attributes={**mathml.ATTRIBUTES, "*": set(), "a": {"href"}, "ol": {"start"}},
    allowed_classes=_CLASSES, url_schemes={"http", "https"},
    url_relative="deny", link_rel="noopener noreferrer", set_tag_attribute_values={"a": {"target": "_blank"}},
)  # fmt: skip


def render_blocks(text: str, links: Links, memo: BlockCache) -> tuple[list[Block], Links]:
    """Return the blocks of a text and the link definitions known after it."""
    env: dict[str, Any] = {"references": dict(links)}
    tokens = _BLOCKS.parse(text, env)
    after = {label: {"title": link["title"], "href": link["href"]} for label, link in env["references"].items()}
    memo.relink(after)
    blocks, lines, begin, depth, line = [], lines_of(text), 0, 0, 0
    for i, token in enumerate(tokens):
        depth += token.nesting
        if not depth:
            end = (tokens[begin].map or [0, line])[1]
            some = tokens[begin : i + 1]
            html = code_html("".join(lines[(some[0].map or [line])[0] : end])) if _is_too_deep(some) else _html(some, env, memo)
            html = _CLEANER.clean(html)
            blocks.append(Block(html, end, "".join(lines[line:end])))
            begin, line = i + 1, end
    return blocks, after


def _is_too_deep(tokens: Sequence[Token]) -> bool:
    """Return whether the parser has dropped content because of its nesting limit."""
    return any(token.level >= NESTING - 1 and token.type in ("blockquote_open", "list_item_open") for token in tokens)


def _html(tokens: Sequence[Token], env: dict[str, Any], memo: BlockCache) -> str:
    out = []
    for i, token in enumerate(tokens):
        if token.type == "inline":
            task = _TASK.match(token.content) if i > 1 and tokens[i - 2].type == "list_item_open" else None
            out.append(_CHECKED[task[1].lower()] if task else "")
            text = token.content[task.end() :] if task else token.content
            out.append(memo.get(text, partial(_inline, text, env)))
        elif token.type == "fence":
            growing = _is_open(token)
            out.append(
                memo.get((token.info, token.content, growing), partial(code_html, token.content, token.info, growing=growing))
            )
        elif token.type == "code_block":
            out.append(code_html(token.content))
        elif token.type == "math_block":
            out.append(_RENDERER.math_block(tokens, i))
        elif token.type == "math_source":
            out.append(_RENDERER.math_source(tokens, i))
        else:
            if token.type in ("th_open", "td_open"):
                _align(token)
            out.append(_RENDERER.renderToken(tokens, i, _BLOCKS.options, env))
    return "".join(out)


def _inline(text: str, env: dict[str, Any]) -> str:
    children = _INLINES.parseInline(text, env)[0].children or []
    return _RENDERER.renderInline(_without_images(children, env), _INLINES.options, env)


def _without_images(tokens: Sequence[Token], env: dict[str, Any]) -> list[Token]:
    """Replace images by links: loading an image would notify its server. Inside a link keep only the text."""
    out, depth = [], 0
    for token in tokens:
        depth += {"link_open": 1, "link_close": -1}.get(token.type, 0)
        if token.type != "image":
            out.append(token)
            continue
        alt = _RENDERER.renderInlineAsText(token.children, _INLINES.options, env) or "image"
        text = Token("text", "", 0, content=alt)
        link = Token("link_open", "a", 1, attrs={"href": token.attrs["src"]})
        out += [text] if depth else [link, text, Token("link_close", "a", -1)]
    return out


def _align(token: Token) -> None:
    found = _ALIGNED.match(str(token.attrs.get("style", "")))
    token.attrs = {"class": found[1]} if found else {}


def _is_open(token: Token) -> bool:
    """Return whether a code fence is still open."""
    begin, end = token.map or [0, 0]
    inside = token.content.count("\n") + (token.content != "" and not token.content.endswith("\n"))
    return end - begin - 1 <= inside


def close_code_fence(text: str) -> str:
    r"""Close the last code fence of a text if it is open, as after a stop.

    >>> close_code_fence("```py\nx = 1"), close_code_fence("```py\nx = 1\n```")
    ('```py\nx = 1\n```', '```py\nx = 1\n```')
    """
    last = next(reversed(_BLOCKS.parse(text, {})), None)
    if last is None or last.type != "fence" or not _is_open(last):
        return text
    return text + ("" if text.endswith("\n") else "\n") + last.markup


def lines_of(text: str) -> list[str]:
    """Return the lines of a markdown text with their line ends."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)
