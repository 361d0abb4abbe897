"""The texts of answers: closed choices and short seeded sentences."""

from __future__ import annotations

import re

MARK = "[simulated]"
"""The prefix of every free text, so that it can't be mistaken for a model's answer."""

_OFFER = re.compile(r"\bone of\b[^:\n]{0,40}:[ \t]*(.+?)(?:\.(?=\s|$)|\n|$)", re.IGNORECASE)
_EDGES = " \t\"'`[](){}*.;:!?,"
_WORDS: list[str] = re.findall(
    r"\w+",
    """
    about after again along also answer around because before between bright calm careful clear close
    common could different early easy enough even every example first found full general good great
    group half hand high important inside large later level light likely little long main many mostly
    near never often open other part plain point quite reason result several short simple small steady
    strong than
    """,
)


def offered(system: str, user: str) -> tuple[list[str], str]:
    """Find the choices that a prompt offers ("one of: a, b, c") and the text that the choice is about."""
    for place in (user, system):
        if "one of" in place.lower():
            match = _OFFER.search(place)
            if match:
                options = [option for option in map(_option, match[1].split(",")) if option]
                text = user[: match.start()] + " " + user[match.end() :] if place is user else user
                return options, text
    return [], user


def _option(text: str) -> str:
    """Strip quotes and a last "or", which belong to the sentence and not to the choice."""
    text = text.strip(_EDGES)
    return text[3:].strip(_EDGES) if text[:3].lower() == "or " else text


def choose(options: list[str], text: str, number: int) -> str:
    """Pick the option that occurs first in the text as a whole word, else one by the number."""
    text = text.lower()
    found: list[tuple[int, int]] = []
    for index, option in enumerate(options):
        # The plain search first: it is quick, and mostly there is nothing to look at more closely.
        if option.lower() in text:
            match = re.search(rf"(?<!\w){re.escape(option.lower())}(?!\w)", text)
            if match:
                found.append((match.start(), index))
    return options[min(found)[1] if found else number % len(options)]


def sentence(text: str, seed: bytes) -> str:
    """Write 5 to 40 words that mention a few words of the text; the seed has 64 bytes."""
    words = [_WORDS[byte & 63] for byte in seed[1 : 6 + seed[0] % 33]]
    for place, word in zip((1, 3, 4), topics(text), strict=False):
        words[place] = word
    return f"{MARK} {words[0].capitalize()} {' '.join(words[1:])}."


def topics(text: str) -> list[str]:
    """Return up to three words of the text, from its end, where templates have their data."""
    tail = text[-240:].split()
    return [word for word in (item.strip(_EDGES) for item in tail) if 3 < len(word) < 25][-3:]


def pieces(text: str) -> list[str]:
    """Cut a text into the parts that a stream sends; joined they are the text again."""
    return re.findall(r"\s*\S+(?:\s+$)?|\s+$", text)


def other_words(seed: bytes, count: int) -> list[str]:
    """Return words that could have stood there instead."""
    return [" " + _WORDS[(seed[index % 64] + index) & 63] for index in range(count)]
