r"""Rules that models write beyond CommonMark: maths, sub- and superscript, bare links, footnotes. Pure.

A block that is final stays as it is, so no rule decides by text that may follow later, except for link definitions and footnotes.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, paragraph
from markdown_it.rules_inline import StateInline

MOST_LINES = 60  # the most lines of a displayed formula
_INLINE_MATH = re.compile(r"\\\((.{1,2000}?)\\\)|\\\[(.{1,2000}?)\\\]|\$\$(?!\$)(.{1,2000}?)\$\$", re.DOTALL)
_DOLLARS = re.compile(r"\$(?![\s$])((?:[^$\\]|\\.){1,2000}?)(?<![\s\\])\$(?![\d$])", re.DOTALL)
_COMMAND = re.compile(r"\\[A-Za-z]+(?:\s*\{[^{}]*\})?")
_WORD = re.compile(r"[A-Za-z]{2,}")
_MATH_MARK = re.compile(r"[\\^_=<>{}]")
_SCRIPT = re.compile(r"\^([+\-\u2212]?[^\W_]{1,20})\^(?![\w^])|(?<!~)~([^\W_]{1,20})~(?!~)")
_TAG = re.compile(r"<(sub|sup)>([^<>\n]{1,200})</\1>|<(br)\s*/?>", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s<>\"`|\\^{}\[\]\u3000-\u303f\uff00-\uffef]+", re.IGNORECASE)
_SCHEME_END = re.compile(r"(?<![A-Za-z0-9])https?$", re.IGNORECASE)
_FOOTNOTE = re.compile(r"\[\^(\w{1,30})\](:?)")
_CLOSERS = {"$$": "$$", r"\[": r"\]"}


def add_rules(md: MarkdownIt) -> None:
    """Add all rules to a parser."""
    md.inline.ruler.before("escape", "added", _added)
    md.block.ruler.before("fence", "math_block", _math_block, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    md.block.ruler.before("reference", "footnote", _footnote, {"alt": ["paragraph", "reference"]})


def _added(state: StateInline, silent: bool) -> bool:
    """Try the rules of a character: one call for each character that may be a mark."""
    return any(rule(state, silent) for rule in _RULES_OF.get(state.src[state.pos], ()))


def footnote_label(name: str) -> str:
    """Return the label of a footnote among the definitions of links; no link can have it, since it is in upper case there."""
    return f"footnote {name}"


def _push(state: StateInline, kind: str, content: str, end: int, *, silent: bool) -> bool:
    if not silent:
        state.push(kind, "", 0).content = content
    state.pos = end
    return True


def _inline_math(state: StateInline, silent: bool) -> bool:
    found = _INLINE_MATH.match(state.src, state.pos, state.posMax)
    return found is not None and _push(state, "math" if found[1] else "math_display", found.group(), found.end(), silent=silent)


def _dollars(state: StateInline, silent: bool) -> bool:
    r"""Read ``$x$``: no space within the marks, no letter or digit before and no digit after, as for Pandoc; and no prices."""
    found = _DOLLARS.match(state.src, state.pos, state.posMax)
    before = state.src[state.pos - 1] if state.pos else ""
    if found is None or (before.isascii() and before.isalnum()) or _is_prose(found[1], state.src[found.end() : found.end() + 1]):
        return False
    return _push(state, "math", found.group(), found.end(), silent=silent)


def _is_prose(content: str, after: str) -> bool:
    """Return whether words stand between two dollar signs: "$5 and 6$", "$HOME/$USER"."""
    words = _WORD.search(_COMMAND.sub("", content)) is not None
    name = after.isascii() and (after.isalpha() or after in ("_", "{"))
    return words and not _MATH_MARK.search(content) and (content[0].isdigit() or bool(name and after) or " " in content)


def _scripts(state: StateInline, silent: bool) -> bool:
    """Read ``x^2^`` and ``H~2~O``: one word, right after another; ``a^2+b^2`` and ``~5`` are neither."""
    if not state.pos or not state.src[state.pos - 1].isalnum():
        return False
    found = _SCRIPT.match(state.src, state.pos, state.posMax)
    return found is not None and _push(
        state, "superscript" if found[1] else "subscript", found[1] or found[2], found.end(), silent=silent
    )


def _tags(state: StateInline, silent: bool) -> bool:
    """Read the three tags of HTML that models use for lack of a mark: sub, sup, and br in a table's cell."""
    found = _TAG.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    kind = {"sub": "subscript", "sup": "superscript"}.get((found[1] or "").lower(), "hardbreak")
    return _push(state, kind, found[2] or "", found.end(), silent=silent)


def _urls(state: StateInline, silent: bool) -> bool:
    """Read a bare link, without the punctuation after it; called at the colon."""
    if state.linkLevel or not (scheme := _SCHEME_END.search(state.src[max(0, state.pos - 6) : state.pos])):
        return False
    begin = state.pos - len(scheme.group())
    found = _URL.match(state.src, begin, state.posMax)
    url = _without_punctuation(found.group()) if found else ""
    if not url or not state.md.validateLink(url) or not state.pending.endswith(scheme.group()):
        return False
    if not silent:
        state.pending = state.pending[: -len(scheme.group())]
        state.push("link_open", "a", 1).attrs = {"href": state.md.normalizeLink(url)}
        state.push("text", "", 0).content = url
        state.push("link_close", "a", -1)
    state.pos = begin + len(url)
    return True


def _without_punctuation(url: str) -> str:
    while url and (url[-1] in ".,:;!?'*_~$" or (url[-1] == ")" and url.count(")") > url.count("("))):
        url = url[:-1]
    return url


def _footnotes(state: StateInline, silent: bool) -> bool:
    """Read ``[^1]`` of a footnote that is defined somewhere, and the mark before its text."""
    found = _FOOTNOTE.match(state.src, state.pos, state.posMax)
    if found is None or footnote_label(found[1]) not in state.env.get("references", {}):
        return False
    end = found.end() if not state.pos else found.end(1) + 1
    return _push(state, "footnote", found[1], end, silent=silent)


_RULES_OF = {
    "\\": (_inline_math,), "$": (_inline_math, _dollars), "^": (_scripts,), "~": (_scripts,), "<": (_tags,), ":": (_urls,),
    "[": (_footnotes,),
}  # fmt: skip


def _footnote(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    """Read a footnote's text: a separate paragraph that defines its name."""
    start = state.bMarks[begin] + state.tShift[begin]
    found = _FOOTNOTE.match(state.src, start, state.eMarks[begin])
    if found is None or not found[2] or state.is_code_block(begin):
        return False
    if silent:
        return True
    definition = {"title": "", "href": ""}
    state.env.setdefault("references", {}).setdefault(footnote_label(found[1]), definition)
    return paragraph(state, begin, end, silent)


def _math_block(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    r"""Read ``$$`` or ``\[`` at the beginning of a line, and its closing mark at the end of this or a later one; no blank line between.

    One that is open where the text ends is kept as source, since its end may follow.
    """
    first = _line(state, begin)
    closer = _CLOSERS.get(first[:2])
    if closer is None or state.is_code_block(begin):
        return False
    if closer in first[2:] or silent:  # an opening mark alone interrupts a paragraph, whatever follows
        closed = _closes(first[2:], closer)
        return (closed or first[2:] == "") if silent else closed and _push_block(state, "math_block", begin, begin + 1)
    for line in range(begin + 1, min(end, begin + MOST_LINES)):
        text = _line(state, line)
        if not text or state.sCount[line] < state.blkIndent:
            return False
        if closer in text:
            return _closes(text, closer) and _push_block(state, "math_block", begin, line + 1)
    return end - begin < MOST_LINES and _push_block(state, "math_source", begin, end)


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()


def _closes(text: str, closer: str) -> bool:
    return text.endswith(closer) and text.count(closer) == 1


def _push_block(state: StateBlock, kind: str, begin: int, end: int) -> bool:
    token = state.push(kind, "", 0)
    token.content = state.getLines(begin, end, state.blkIndent, False).strip()
    token.map = [begin, end]
    state.line = end
    return True
