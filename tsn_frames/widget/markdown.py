"""Markdown to blocks of HTML that passed an allow-list, each with what was worked out for it before. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from .highlight import CLASSES, LANGUAGES, code_html

_ALIGNED = re.compile(r"text-align:(left|right|center)")
_SCHEME = re.compile(r"https?://[^/]", re.IGNORECASE)
_TAGS = {
    "a", "blockquote", "br", "code", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "span",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_CLASSES = {
    "span": CLASSES,
    "code": {f"language-{name}" for name in LANGUAGES.values()},
    "td": {"left", "right", "center"},
    "th": {"left", "right", "center"},
}
NESTING = 20  # quotes and lists in one another: what lies deeper isn't read, for reading it may cost a minute
Links = dict[str, Any]


class Block(NamedTuple):
    """One block at the top level: its HTML, the line where it ends, and its text with what stood before it."""

    html: str
    end: int
    source: str


class BlockCache:
    """What was worked out for the last text and need not be for the next one."""

    def __init__(self) -> None:
        self._old: dict[Any, str] = {}
        self._new: dict[Any, str] = {}
        self._links: Links = {}

    def get(self, key: Any, make: Callable[[], str]) -> str:
        """Return what was made for a key, making it where it wasn't."""
        if key not in self._new:
            self._new[key] = self._old[key] if key in self._old else make()
        return self._new[key]

    def relink(self, links: Links) -> None:
        """Forget everything where links have other targets."""
        if links != self._links:
            self._links, self._old, self._new = links, {}, {}

    def turn(self) -> None:
        """Forget what the last text had no use for."""
        self._old, self._new = self._new, {}


class _Markdown(MarkdownIt):
    """Markdown without HTML, whose links lead to the web only: neither into the notebook's own server nor into scripts.

    A line that a model ends is ended, as in letters and addresses.
    """

    def __init__(self) -> None:
        super().__init__("commonmark", {"html": False, "xhtmlOut": False, "breaks": True})
        self.enable(["table", "strikethrough"])

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the library's name
        return _SCHEME.match(url) is not None


@cache
def _inlines() -> MarkdownIt:
    return _Markdown()


@cache
def _outlines() -> MarkdownIt:
    """Return what finds the blocks and leaves their texts alone, for those are remembered."""
    return _Markdown().disable(["inline", "text_join"])


@cache
def _writer() -> RendererHTML:
    return RendererHTML()


@cache
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=_TAGS, attributes={"*": set(), "a": {"href"}, "ol": {"start"}}, allowed_classes=_CLASSES, url_schemes={"http", "https"},
        url_relative="deny", link_rel="noopener noreferrer", set_tag_attribute_values={"a": {"target": "_blank"}},
    )  # fmt: skip


def render_blocks(text: str, links: Links, memo: BlockCache) -> tuple[list[Block], Links]:
    """Return the blocks of a text, and the links that are defined after it."""
    env: dict[str, Any] = {"references": dict(links)}
    tokens = _outlines().parse(text, env)
    after = {label: {"title": link["title"], "href": link["href"]} for label, link in env["references"].items()}
    memo.relink(after)
    blocks, lines, begin, depth, line = [], lines_of(text), 0, 0, 0
    for i, token in enumerate(tokens):
        depth += token.nesting
        if not depth:
            end = (tokens[begin].map or [0, line])[1]
            some = tokens[begin : i + 1]
            html = code_html("".join(lines[(some[0].map or [line])[0] : end])) if _is_too_deep(some) else _html(some, env, memo)
            html = _cleaner().clean(html)
            blocks.append(Block(html, end, "".join(lines[line:end])))
            begin, line = i + 1, end
    return blocks, after


def _is_too_deep(tokens: Sequence[Token]) -> bool:
    """Return whether the reader has left out what is in a quote or in a list."""
    return any(token.level >= NESTING - 1 and token.type in ("blockquote_open", "list_item_open") for token in tokens)


def _html(tokens: Sequence[Token], env: dict[str, Any], memo: BlockCache) -> str:
    out = []
    for i, token in enumerate(tokens):
        if token.type == "inline":
            out.append(memo.get(token.content, partial(_inline, token.content, env)))
        elif token.type == "fence":
            growing = _is_open(token)
            out.append(
                memo.get((token.info, token.content, growing), partial(code_html, token.content, token.info, growing=growing))
            )
        elif token.type == "code_block":
            out.append(code_html(token.content))
        else:
            if token.type in ("th_open", "td_open"):
                _align(token)
            out.append(_writer().renderToken(tokens, i, _outlines().options, env))
    return "".join(out)


def _inline(text: str, env: dict[str, Any]) -> str:
    children = _inlines().parseInline(text, env)[0].children or []
    return _writer().renderInline(_without_images(children, env), _inlines().options, env)


def _without_images(tokens: Sequence[Token], env: dict[str, Any]) -> list[Token]:
    """Return links in place of images, for showing one tells its server; within a link only the text."""
    out, depth = [], 0
    for token in tokens:
        depth += {"link_open": 1, "link_close": -1}.get(token.type, 0)
        if token.type != "image":
            out.append(token)
            continue
        alt = _writer().renderInlineAsText(token.children, _inlines().options, env) or "image"
        text = Token("text", "", 0, content=alt)
        link = Token("link_open", "a", 1, attrs={"href": token.attrs["src"]})
        out += [text] if depth else [link, text, Token("link_close", "a", -1)]
    return out


def _align(token: Token) -> None:
    found = _ALIGNED.match(str(token.attrs.get("style", "")))
    token.attrs = {"class": found[1]} if found else {}


def _is_open(token: Token) -> bool:
    """Return whether a fence isn't closed yet."""
    begin, end = token.map or [0, 0]
    inside = token.content.count("\n") + (token.content != "" and not token.content.endswith("\n"))
    return end - begin - 1 <= inside


def close_code_fence(text: str) -> str:
    r"""Return a text with the end of its last code block, where that is missing, as after a stop: more can follow then.

    Examples
    --------
    >>> close_code_fence("```py\nx = 1"), close_code_fence("```py\nx = 1\n```")
    ('```py\nx = 1\n```', '```py\nx = 1\n```')
    """
    last = next(reversed(_outlines().parse(text, {})), None)
    if last is None or last.type != "fence" or not _is_open(last):
        return text
    return text + ("" if text.endswith("\n") else "\n") + last.markup


def lines_of(text: str) -> list[str]:
    """Return the lines as markdown has them, each with its end."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)
