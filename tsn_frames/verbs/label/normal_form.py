"""The normal form in which answers and labels are compared: the same words and numbers, however they are written. Pure."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_JOINERS = re.compile(r"(?<=\w)[\s_\-\u2010-\u2015/]+(?=\w)")
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"  # no width
_BEFORE = _INVISIBLE + " \t\r\n\"'`*()[]{}\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a"
_AFTER = _BEFORE + ".,;:!?\u3002\uff0c"
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u2032`\u00b4", "'"))
_SAME_MEANING = {"<wide", "<narrow", "<font", "<noBreak", "<initial", "<medial", "<final", "<isolated"}
_SAME_LETTERS = {"Ll", "Lu", "Lt", "Lo", "Lm", "Zs", "Po"}  # ligatures, blanks and dots, but no numerals and symbols


def normal_form(text: str) -> str:
    """Return the form in which an answer and a label are compared.

    Case, Unicode form, outer punctuation and quotes, and the characters that join words (blank, hyphen, underscore, slash) don't
    count. Words and numbers do: no prefix, substring or similar word is ever taken for a label, no superscript, fraction or
    circled digit for a digit, and no fraction for a range of numbers.

    >>> normal_form('"Customer_Service."'), normal_form("  Größe "), normal_form("-1"), normal_form("1²"), normal_form("18 - 24")
    ('customer service', 'grösse', '-1', '1²', '18-24')
    """
    folded = _compatible(_compatible(text).casefold())
    return _JOINERS.sub(_joiner, folded.lstrip(_BEFORE).rstrip(_AFTER).translate(_APOSTROPHES))


def _compatible(text: str) -> str:
    """Return the Unicode form NFC, with one form for characters that differ in width, typeface or position only."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", "".join(map(_plain_character, unicodedata.normalize("NFC", text))))


@cache
def _plain_character(character: str) -> str:
    """Return what a character is written as without its typeface; itself where the letters or digits alone would mean another thing."""
    kind = unicodedata.decomposition(character).partition(">")[0]
    same = kind in _SAME_MEANING or (kind == "<compat" and unicodedata.category(character) in _SAME_LETTERS)
    return unicodedata.normalize("NFKC", character) if same else character


def _joiner(found: re.Match[str]) -> str:
    """Return what joins two words, or two numbers: there a dash is a range and a slash a fraction."""
    before, after = found.string[found.start() - 1], found.string[found.end()]
    if not (before.isnumeric() and after.isnumeric()):
        return " "
    return "/" if "/" in found[0] else " " if not found[0].strip(" \t\r\n_") else "-"
