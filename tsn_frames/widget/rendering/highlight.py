"""Syntax highlighting of code blocks by Pygments, within a time limit. Pure."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from time import thread_time

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
"""Info word of a fenced code block -> Pygments lexer."""
LIVE = 4_000  # characters: longer code is not highlighted while it streams
MOST_CODE, MOST_LINE = 50_000, 2_000  # characters: longer code, or code with a longer line, is not highlighted
LEXING = 0.2  # CPU seconds per block: hostile code makes some lexers very slow
# Bidi controls can make code look like other code.
_BIDI_CONTROLS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")
_FORMATTER = HtmlFormatter(nowrap=True)
CLASSES = {name for name in STANDARD_TYPES.values() if name}


def code_html(code: str, info: str = "", *, growing: bool = False) -> str:
    r"""Return the HTML of a code block.

    >>> code_html("x = 1", "py")
    '<pre><code class="language-python"><span class="n">x</span> <span class="o">=</span> <span class="mi">1</span></code></pre>\n'
    """
    code, words = code.translate(_BIDI_CONTROLS), info.split(maxsplit=1)
    language = LANGUAGES.get(words[0].lower(), "") if words else ""
    # All of a block is highlighted at each update, so long code only at its end.
    short = len(code) <= (LIVE if growing else MOST_CODE) and max(map(len, code.split("\n"))) <= MOST_LINE
    highlighted = _highlight(code, language) if language and short else None
    named = f' class="language-{language}"' if language else ""
    return f"<pre><code{named}>{escape(code) if highlighted is None else highlighted}</code></pre>\n"


@lru_cache(64)  # code that took too long once is not tried again
def _highlight(code: str, language: str) -> str | None:
    """Return highlighted code as HTML; None if that takes too long."""
    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)  # loaded before the clock starts: that takes a while once
    end, tokens = thread_time() + LEXING, []
    for token in lexer.get_tokens(code):
        tokens.append(token)
        if thread_time() > end:
            return None
    formatted: str = format_tokens(tokens, _FORMATTER)
    return formatted if code.endswith("\n") else formatted.removesuffix("\n")  # the formatter adds it
