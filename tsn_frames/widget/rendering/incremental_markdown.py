"""Safe HTML of model text that streams: markdown-it-py parses, Pygments highlights, nh3 sanitises. Pure.

Only blocks that can still change are rendered again. A block is final once a complete line after it belongs to another block.
A link definition may follow later; then the final blocks that contain ``[`` are rendered again.
"""

from __future__ import annotations

from .highlight import code_html
from .markdown import Block, BlockCache, Links, lines_of, render_blocks

MOST = 200_000  # characters parsed as markdown; the rest is shown as plain text


def render(text: str) -> str:
    """Return the HTML of a whole text."""
    begin, rest = _parts(text)
    return "".join([*(block.html for block in render_blocks(begin, {}, BlockCache())[0]), rest])


class IncrementalMarkdown:
    r"""The HTML of a growing text, block by block.

    >>> page = IncrementalMarkdown()
    >>> page.grow("Hello *wor")
    [(0, '<p>Hello *wor</p>\n')]
    >>> page.grow("Hello *world*\n\n- a")
    [(0, '<p>Hello <em>world</em></p>\n'), (1, '<ul>\n<li>a</li>\n</ul>\n')]
    >>> "".join(page.blocks) == render("Hello *world*\n\n- a")
    True
    """

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self._text, self._at, self._seen = "", 0, 0
        self._final, self._tail = list[Block](), list[Block]()
        self._links: Links = {}  # defined by final text
        self._linked: Links = {}  # used when the final blocks were rendered
        self._memo = BlockCache()

    def grow(self, text: str) -> list[tuple[int, str]]:
        """Update to the text so far and return the new and changed blocks with their positions.

        A block that was merged into another one is returned empty. A text that doesn't start with the previous one restarts.
        """
        begin, rest = _parts(text)
        if not begin.startswith(self._text):
            self._restart()
        if begin != self._text:
            self._text = begin
            settled = len(self._final)
            self._settle()
            self._tail, links = render_blocks(begin[self._at :], self._links, self._memo)
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
        """Mark the blocks as final that further text can't change.

        An incomplete line decides nothing: ``1`` is a paragraph, ``1. x`` one more item of the list before it. Lines after the
        last final block stay open too: the title of a link definition may span several of them.
        """
        complete = self._text.rfind("\n") + 1
        if complete == self._seen:
            return
        self._seen, source = complete, self._text[self._at : complete]
        blocks, _ = render_blocks(source, self._links, self._memo)
        if len(blocks) < 2:
            return
        source = "".join(lines_of(source)[: blocks[-2].end])
        final, self._links = render_blocks(source + "\n", self._links, self._memo)  # a formula that is open stays so
        self._final += final
        self._at += len(source)

    def _relink(self, links: Links, settled: int) -> None:
        """Render the final blocks again that a later link definition may change."""
        first = 0 if links != self._linked else settled if links != self._links else len(self._final)
        self._linked, memo = links, BlockCache()
        for i in range(first, len(self._final)):
            if "[" in self._final[i].source:
                self._final[i] = render_blocks(self._final[i].source + "\n\n", links, memo)[0][0]


def _parts(text: str) -> tuple[str, str]:
    """Return the text to parse as markdown, and the HTML of the rest."""
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    return text[:MOST], code_html(text[MOST:]) if len(text) > MOST else ""
