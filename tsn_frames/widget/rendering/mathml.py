"""TeX to MathML by latex2mathml, within limits of size and depth; what it can't read whole is left to be shown as its source. Pure."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from html import escape, unescape
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert_to_element

MOST, DEPTH = 2_000, 30  # the most characters of a formula, and levels of its groups
TAGS = {
    "annotation", "math", "menclose", "mfrac", "mi", "mn", "mo", "mover", "mpadded", "mphantom", "mroot", "mrow", "mspace", "msqrt",
    "mstyle", "msub", "msubsup", "msup", "mtable", "mtd", "mtext", "mtr", "munder", "munderover", "semantics",
}  # fmt: skip
_SHARED = {"displaystyle", "scriptlevel", "mathvariant"}
_OPERATOR = {"accent", "fence", "form", "lspace", "maxsize", "minsize", "movablelimits", "rspace", "stretchy"}
ATTRIBUTES = {
    **dict.fromkeys(TAGS, _SHARED), "annotation": {"encoding"}, "math": {"display"}, "menclose": {"notation"},
    "mfrac": {"linethickness"}, "mo": _SHARED | _OPERATOR, "mover": {"accent"}, "mspace": {"width"},
    "mtable": _SHARED | {"columnlines", "rowlines"}, "mtd": {"columnalign"}, "munder": {"accentunder"},
}  # fmt: skip
_CHILDREN = {"mfrac": 2, "mover": 2, "mroot": 2, "msub": 2, "msubsup": 3, "msup": 2, "munder": 2, "munderover": 3}
_UNDER = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}
_LIMITS = {"lim", "lim inf", "lim sup", "inf", "max", "min", "sup", "argmax", "argmin"}
_ENVIRONMENTS = {"array", "cases", "smallmatrix", "split", *(f"{kind}matrix" for kind in ("", "p", "b", "B", "v", "V"))}
_ENVIRONMENT = re.compile(r"\\begin\s*\{([^{}]*)\}")
_GROUP = re.compile(r"\\(?:[A-Za-z]+|.)|[{}]", re.DOTALL)
_OPENS, _CLOSES = {"{", r"\left", r"\begin"}, {"}", r"\right", r"\end"}
# The library's own names for what it calls otherwise, or doesn't know. Numbers of equations belong to a page, not to a formula.
_REPLACEMENTS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?<!\\)%[^\n]*\n?", ""),
        (r"\\(begin|end)\{(?:align|aligned|alignat|alignedat|eqnarray|flalign)\*?\}", r"\\\1{split}"),
        (r"\\(begin|end)\{(?:gather|gathered|multline)\*?\}", r"\\\1{matrix}"),
        (r"\\(begin|end)\{dcases\}", r"\\\1{cases}"),
        (r"\\(?:begin|end)\{(?:equation|displaymath|math)\*?\}|\\(?:nonumber|notag)(?![A-Za-z])|\\label\{[^{}]*\}", ""),
        (r"\\tag\*?\{([^{}]*)\}", r"\\qquad\\text{(\1)}"),
        (r"(?<!\\)\\&", r"\\text{&}"),
        (r"\\not\s*=", r"\\neq "),
        (r"\\not\s*\\in(?![A-Za-z])", r"\\notin "),
        (r"\\arg\s*\\(max|min)(?![A-Za-z])", r"\\operatorname{arg\1}"),
        (r"\\(arg|argmax|argmin)(?![A-Za-z])", r"\\operatorname{\1}"),
    )
)


@lru_cache(1024)
def mathml(source: str, *, block: bool = False) -> str | None:
    r"""Return a formula as MathML with its source as annotation; None if it can't be read whole, or is too long or too deep.

    >>> mathml("x")
    '<math><semantics><mrow><mi>x</mi></mrow><annotation encoding="application/x-tex">x</annotation></semantics></math>'
    >>> mathml(r"\frac{1"), mathml(r"\unknown{1}")
    (None, None)
    """
    if len(source) > MOST or not source.strip():
        return None
    tex = source
    for pattern, replacement in _REPLACEMENTS:
        tex = pattern.sub(replacement, tex)
    if not _is_balanced(tex) or not set(_ENVIRONMENT.findall(tex)) <= _ENVIRONMENTS:
        return None
    try:
        body = "".join(_html(child, block=block) for child in convert_to_element(tex, display="block" if block else "inline"))
    except Exception:  # noqa: BLE001 - whatever a parser of another's makes of a model's text, the source is shown
        return None
    annotation = f'<annotation encoding="application/x-tex">{escape(source, quote=False)}</annotation>'
    display = ' display="block"' if block else ""
    return f"<math{display}><semantics>{body}{annotation}</semantics></math>"


def _is_balanced(tex: str) -> bool:
    """Return whether each group is closed, and none is too deep."""
    depth = 0
    for mark in _GROUP.findall(tex):
        depth += (mark in _OPENS) - (mark in _CLOSES)
        if not 0 <= depth <= DEPTH:
            return False
    return depth == 0


def _html(element: Element, *, block: bool) -> str:
    """Return an element as HTML, in the terms that browsers know of MathML Core."""
    tag, attributes, text = element.tag, dict(element.attrib), unescape(element.text or "")
    if tag not in TAGS or "\\" in text or (text == "&" and tag != "mtext") or len(element) != _CHILDREN.get(tag, len(element)):
        raise ValueError(tag)  # an unknown command, a mark out of its place, a missing argument
    if tag in _UNDER and block and element[0].text in _LIMITS:
        tag = _UNDER[tag]
    if tag in ("mi", "mo") and len(text) == 1:
        tag = "mi" if text in "∞∅" else "mo" if unicodedata.category(text) == "Sm" else tag  # an operator has space around it
    if tag in ("mi", "mo") and len(text) > 1 and text.replace(" ", "").isalpha():
        tag, attributes = "mo", {"lspace": "0.167em", "rspace": "0.167em", **attributes}
    if attributes.get("mathvariant", "normal") != "normal" and len(text) == 1:
        text = _styled(text, attributes.pop("mathvariant"))
    shown = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items() if name in ATTRIBUTES[tag])
    children = "".join(_html(child, block=block) for child in element)
    return f"<{tag}{shown}>{escape(text, quote=False)}{children}</{tag}>"


def _styled(letter: str, variant: str) -> str:
    """Return a letter in a style, by the letters that Unicode has for that; the letter itself where there is none."""
    name = unicodedata.name(letter, "").replace("LATIN ", "").replace("GREEK ", "").replace(" LETTER", "")
    try:
        return unicodedata.lookup(f"MATHEMATICAL {variant.replace('bold-', 'bold ').upper()} {name}")
    except KeyError:
        return letter
