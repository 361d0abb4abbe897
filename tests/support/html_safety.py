"""What an HTML text holds, and the check that nothing in it runs or is fetched."""

from html.parser import HTMLParser

MATHS = {
    "annotation", "math", "menclose", "mfrac", "mi", "mn", "mo", "mover", "mpadded", "mphantom", "mroot", "mrow", "mspace", "msqrt", "mstyle", "msub",
    "msubsup", "msup", "mtable", "mtd", "mtext", "mtr", "munder", "munderover", "semantics",
}  # fmt: skip
# Attributes that hold a number, a word or a length: none names an address, a style or a script.
OF_MATHS = {
    "accent", "accentunder", "columnalign", "columnlines", "display", "displaystyle", "encoding", "fence", "form", "linethickness", "lspace", "mathvariant",
    "maxsize", "minsize", "movablelimits", "notation", "rowlines", "rspace", "scriptlevel", "stretchy", "width",
}  # fmt: skip
ALLOWED_TAGS = MATHS | {
    "a", "blockquote", "br", "code", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "span", "strong", "sub", "sup", "table", "tbody",
    "td", "th", "thead", "tr", "ul",
}  # fmt: skip


class Parsed(HTMLParser):
    """Every tag and every attribute of an HTML text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.outline, self.texts, self.others = [], [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag != "span":
            self.outline.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("span", "br", "hr"):
            self.outline.append(f"/{tag}")

    def handle_data(self, data):
        self.texts.append(data)

    def handle_comment(self, data):
        self.others.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def check_safe(html, begins=("http://", "https://")):
    seen = Parsed(html)
    assert set(seen.tags) <= ALLOWED_TAGS
    assert not seen.others
    for tag, name, value in seen.attributes:
        allowed = OF_MATHS if tag in MATHS else {"a": ("href", "target", "rel"), "ol": ("start",)}.get(tag, ("class",))
        assert name in allowed, (tag, name, value)
        if name == "href":
            assert value.lower().startswith(begins), value
            assert not any(c <= " " for c in value), value
        if name == "start":
            assert value.isdigit()
        if name == "class":
            assert all(c.isalnum() or c in "-_" for c in value), value
    for link in [(tag, value) for tag, name, value in seen.attributes if name == "target"]:
        assert link == ("a", "_blank")
    assert seen.tags.count("a") == sum(name == "rel" and value == "noopener noreferrer" for _, name, value in seen.attributes)
    return seen
