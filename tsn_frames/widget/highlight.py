"""Code blocks, coloured by Pygments with classes, as far as that costs little. Pure."""

from __future__ import annotations

from functools import cache, lru_cache
from html import escape
from time import thread_time
from typing import Any

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
_TURNING = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")  # code that isn't what it looks like
CLASSES = {name for name in STANDARD_TYPES.values() if name}


def code_html(code: str, info: str = "", *, growing: bool = False) -> str:
    r"""Return the HTML of a code block.

    Parameters
    ----------
    code : str
        The code.
    info : str
        What stands after its fence: the language is the first word.
    growing : bool
        Whether more may come: long code has no colours then, for each part that comes would cost as much as the whole.

    Examples
    --------
    >>> code_html("x = 1", "py")
    '<pre><code class="language-python"><span class="n">x</span> <span class="o">=</span> <span class="mi">1</span></code></pre>\n'
    """
    code, words = code.translate(_TURNING), info.split(maxsplit=1)
    language = LANGUAGES.get(words[0].lower(), "") if words else ""
    short = len(code) <= (LIVE if growing else MOST_CODE) and max(map(len, code.split("\n"))) <= MOST_LINE
    coloured = _coloured(code, language) if language and short else None
    named = f' class="language-{language}"' if language else ""
    return f"<pre><code{named}>{escape(code) if coloured is None else coloured}</code></pre>\n"


@lru_cache(64)  # so that what took too long once takes no time again, and looks the same
def _coloured(code: str, language: str) -> str | None:
    """Return code as HTML; None where that takes too long."""
    lexer, formatter = _lexer(language), _formatter()  # to load them takes a while, once: not a part of what the code takes
    end, tokens = thread_time() + LEXING, []
    for token in lexer.get_tokens(code):
        tokens.append(token)
        if thread_time() > end:
            return None
    formatted: str = format_tokens(tokens, formatter)
    return formatted if code.endswith("\n") else formatted.removesuffix("\n")  # which the formatter adds to any last line


@cache
def _lexer(language: str) -> Any:
    return get_lexer_by_name(language, stripnl=False, ensurenl=False)


@cache
def _formatter() -> Any:
    return HtmlFormatter(nowrap=True)
