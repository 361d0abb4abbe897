"""Model text to HTML that is safe to show: markdown by markdown-it-py, code by Pygments, an allow-list by nh3. Pure.

While an answer grows, only the blocks that may still change are rendered again. A block is final when a whole line after it
belongs to another block; the definition of a link may come later, and renders the blocks again that have a ``[``.
"""

from __future__ import annotations

from .highlight import code_html
from .markdown import Block, BlockCache, Links, lines_of, render_blocks

MOST = 200_000  # characters of a text that is read as markdown; what comes after them is shown as it is


def render(text: str) -> str:
    r"""Return the HTML of a whole text.

    Examples
    --------
    >>> render("**Hi** <script>")
    '<p><strong>Hi</strong> &lt;script&gt;</p>\n'
    >>> render("[a](javascript:alert)")
    '<p>[a](javascript:alert)</p>\n'
    """
    begin, rest = _parts(text)
    return "".join([*(block.html for block in render_blocks(begin, {}, BlockCache())[0]), rest])


class IncrementalMarkdown:
    r"""The HTML of a text that grows, block by block.

    Examples
    --------
    >>> page = IncrementalMarkdown()
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
        self._final, self._tail = list[Block](), list[Block]()
        self._links: Links = {}  # those that final text defines
        self._linked: Links = {}  # those with which the final blocks were rendered
        self._memo = BlockCache()

    @property
    def html(self) -> str:
        """The HTML of all blocks."""
        return "".join(self.blocks)

    def grow(self, text: str) -> list[tuple[int, str]]:
        """Take in the text so far, and return the blocks that are new or have changed, with their positions.

        A block that is no more, since its text became a part of another one, is returned empty. A text that doesn't begin
        with the one before is taken for a new one.
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
        """Make the blocks final that no further text can change.

        A line that isn't complete says nothing: ``1`` is a paragraph, and ``1. x`` one more item of the list before it.
        Lines after the last final block stay open, too: the title of a link's definition may go on for several of them.
        """
        complete = self._text.rfind("\n") + 1
        if complete == self._seen:
            return
        self._seen, source = complete, self._text[self._at : complete]
        blocks, _ = render_blocks(source, self._links, self._memo)
        if len(blocks) < 2:
            return
        source = "".join(lines_of(source)[: blocks[-2].end])
        final, self._links = render_blocks(source, self._links, self._memo)
        self._final += final
        self._at += len(source)

    def _relink(self, links: Links, settled: int) -> None:
        """Render those final blocks again that a definition which came after them may change."""
        first = 0 if links != self._linked else settled if links != self._links else len(self._final)
        self._linked, memo = links, BlockCache()
        for i in range(first, len(self._final)):
            if "[" in self._final[i].source:
                self._final[i] = render_blocks(self._final[i].source, links, memo)[0][0]


def _parts(text: str) -> tuple[str, str]:
    """Return what is read as markdown, and the HTML of what comes after that."""
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    return text[:MOST], code_html(text[MOST:]) if len(text) > MOST else ""
