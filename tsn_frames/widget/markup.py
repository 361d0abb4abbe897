"""Model text to HTML that is safe to show: markdown by markdown-it-py, code by Pygments, an allow-list by nh3. Pure.

While an answer grows, only the blocks that may still change are rendered again. A block is final when a whole line after it
belongs to another block; the definition of a link may come later, and renders the blocks again that have a ``[``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from html import escape
from time import thread_time
from typing import Any, NamedTuple

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from pygments import format as format_tokens
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES

LANGUAGES = {
    "bash": "bash", "c": "c", "c#": "csharp", "c++": "cpp", "cpp": "cpp", "cs": "csharp", "csharp": "csharp", "css": "css",
    "diff": "diff", "go": "go", "html": "html", "ini": "ini", "java": "java", "javascript": "javascript", "js": "javascript",
    "json": "json", "jsx": "javascript", "julia": "julia", "kotlin": "kotlin", "py": "python", "python": "python",
    "python3": "python", "r": "r", "rb": "ruby", "ruby": "ruby", "rs": "rust", "rust": "rust", "scala": "scala", "sh": "bash",
    "shell": "bash", "sql": "sql", "swift": "swift", "toml": "toml", "ts": "typescript", "tsx": "typescript",
    "typescript": "typescript", "xml": "xml", "yaml": "yaml", "yml": "yaml", "zsh": "bash",
}  # fmt: skip
"""The word after a code block's fence -> the lexer that colours it."""
LIVE = 4_000  # characters of code that is coloured while its fence is open
MOST_CODE, MOST_LINE = 50_000, 2_000  # characters of code, and of one line of it, that is coloured at all
LEXING = 0.2  # seconds of a processor that colouring a block may take: some lexers are slow on purposely odd code
MOST = 200_000  # characters of a text that is read as markdown; what comes after them is shown as it is
_ALIGNED = re.compile(r"text-align:(left|right|center)")
_SCHEME = re.compile(r"https?://[^/]", re.IGNORECASE)
_TAGS = {
    "a", "blockquote", "br", "code", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "span",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_CLASSES = {
    "span": {name for name in STANDARD_TYPES.values() if name},
    "code": {f"language-{name}" for name in LANGUAGES.values()},
    "td": {"left", "right", "center"},
    "th": {"left", "right", "center"},
}
Links = dict[str, Any]


def render(text: str) -> str:
    r"""Return the HTML of a whole text.

    Examples
    --------
    >>> render("**Hi** <script>")
    '<p><strong>Hi</strong> &lt;script&gt;</p>\n'
    >>> render("[a](javascript:alert)")
    '<p>[a](javascript:alert)</p>\n'
    """
    read, rest = _parts(text)
    return "".join([*(block.html for block in _read(read, {}, _Memo())[0]), rest])


class Rendering:
    r"""The HTML of a text that grows, block by block.

    Examples
    --------
    >>> page = Rendering()
    >>> page.grow("Hello *wor")
    [(0, '<p>Hello *wor</p>\n')]
    >>> page.grow("Hello *world*\n\n- a")
    [(0, '<p>Hello <em>world</em></p>\n'), (1, '<ul>\n<li>a</li>\n</ul>\n')]
    >>> page.html == render("Hello *world*\n\n- a")
    True
    """

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self._text, self._at, self._seen = "", 0, 0
        self._final, self._tail = list[_Block](), list[_Block]()
        self._links: Links = {}  # those that final text defines
        self._linked: Links = {}  # those with which the final blocks were rendered
        self._memo = _Memo()

    @property
    def html(self) -> str:
        """The HTML of all blocks."""
        return "".join(self.blocks)

    def grow(self, text: str) -> list[tuple[int, str]]:
        """Take in the text so far, and return the blocks that are new or have changed, with their positions.

        A block that is no more, since its text became a part of another one, is returned empty. A text that doesn't begin
        with the one before is taken for a new one.
        """
        read, rest = _parts(text)
        if not read.startswith(self._text):
            self._restart()
        if read != self._text:
            self._text = read
            settled = len(self._final)
            self._settle()
            self._tail, links = _read(read[self._at :], self._links, self._memo)
            self._memo.turn()
            self._relink(links, settled)
        htmls = [block.html for block in (*self._final, *self._tail)] + ([rest] if rest else [])
        htmls += [""] * (len(self.blocks) - len(htmls))
        changed = [(i, html) for i, html in enumerate(htmls) if i >= len(self.blocks) or html != self.blocks[i]]
        self.blocks = htmls
        return changed

    def _restart(self) -> None:
        shown = self.blocks
        self.__init__()  # type: ignore[misc]
        self.blocks = shown

    def _settle(self) -> None:
        """Make the blocks final that no further text can change.

        A line that isn't complete says nothing: ``1`` is a paragraph, and ``1. x`` one more item of the list before it.
        Lines after the last final block stay open, too: the title of a link's definition may go on for several of them.
        """
        complete = self._text.rfind("\n") + 1
        if complete == self._seen:
            return
        self._seen, source = complete, self._text[self._at : complete]
        blocks, _ = _read(source, self._links, self._memo)
        if len(blocks) < 2:
            return
        source = "".join(_lines(source)[: blocks[-2].end])
        final, self._links = _read(source, self._links, self._memo)
        self._final += final
        self._at += len(source)

    def _relink(self, links: Links, settled: int) -> None:
        """Render those final blocks again that a definition which came after them may change."""
        first = 0 if links != self._linked else settled if links != self._links else len(self._final)
        self._linked, memo = links, _Memo()
        for i in range(first, len(self._final)):
            if "[" in self._final[i].source:
                self._final[i] = _read(self._final[i].source, links, memo)[0][0]


class _Block(NamedTuple):
    """One block at the top level: its HTML, the line where it ends, and its text with what stood before it."""

    html: str
    end: int
    source: str


class _Memo:
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
    """Markdown without HTML, whose links lead to the web only: neither into the notebook's own server nor into scripts."""

    def __init__(self) -> None:
        super().__init__("commonmark", {"html": False, "xhtmlOut": False})
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


def _read(text: str, links: Links, memo: _Memo) -> tuple[list[_Block], Links]:
    """Return the blocks of a text, and the links that are defined after it."""
    env: dict[str, Any] = {"references": dict(links)}
    tokens = _outlines().parse(text, env)
    after = {label: {"title": link["title"], "href": link["href"]} for label, link in env["references"].items()}
    memo.relink(after)
    blocks, lines, begin, depth, line = [], _lines(text), 0, 0, 0
    for i, token in enumerate(tokens):
        depth += token.nesting
        if not depth:
            end = (tokens[begin].map or [0, line])[1]
            html = _cleaner().clean(_html(tokens[begin : i + 1], env, memo))
            blocks.append(_Block(html, end, "".join(lines[line:end])))
            begin, line = i + 1, end
    return blocks, after


def _html(tokens: Sequence[Token], env: dict[str, Any], memo: _Memo) -> str:
    out = []
    for i, token in enumerate(tokens):
        if token.type == "inline":
            out.append(memo.get(token.content, partial(_inline, token.content, env)))
        elif token.type == "fence":
            out.append(memo.get((token.info, token.content, _is_open(token)), partial(_fence, token)))
        elif token.type == "code_block":
            out.append(_code(token.content, ""))
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


def _fence(token: Token) -> str:
    words = token.info.split(maxsplit=1)
    language = LANGUAGES.get(words[0].lower(), "") if words else ""
    code = token.content
    longest = LIVE if _is_open(token) else MOST_CODE
    if not language or len(code) > longest or max(map(len, code.split("\n"))) > MOST_LINE:
        return _code(code, language)
    return _code(code, language, _coloured(code, language))


def _code(code: str, language: str, html: str | None = None) -> str:
    named = f' class="language-{language}"' if language else ""
    return f"<pre><code{named}>{escape(code) if html is None else html}</code></pre>\n"


@lru_cache(64)  # so that what took too long once takes no time again, and looks the same
def _coloured(code: str, language: str) -> str | None:
    """Return code as HTML; None where that takes too long."""
    end, tokens = thread_time() + LEXING, []
    for token in _lexer(language).get_tokens(code):
        tokens.append(token)
        if thread_time() > end:
            return None
    formatted: str = format_tokens(tokens, _formatter())
    return formatted


@cache
def _lexer(language: str) -> Any:
    return get_lexer_by_name(language, stripnl=False, ensurenl=False)


@cache
def _formatter() -> Any:
    return HtmlFormatter(nowrap=True)


def _lines(text: str) -> list[str]:
    """Return the lines as markdown has them, each with its end."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _parts(text: str) -> tuple[str, str]:
    """Return what is read as markdown, and the HTML of what comes after that."""
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    return text[:MOST], _code(text[MOST:], "") if len(text) > MOST else ""
