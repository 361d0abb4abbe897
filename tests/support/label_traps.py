"""Two hundred answers that tempt a reader of labels to guess, each with the label that it is, or None."""

# ruff: noqa: RUF001 - letters of other scripts are the point
import json

SURE = ["no", "not sure", "yes"]
TOPICS = ["billing", "delivery", "returns", "none of these"]
SCALE = [-1, 0, 1]
DIGITS = ["1", "12", "no", "1/2"]
SCRIPTS = ["Größe", "naïve", "是", "不是", "да", "نعم"]


def answered(label, **more):
    return json.dumps({"label": label, **more})


def schema(labels):
    return json.dumps({"type": "object", "properties": {"label": {"enum": labels}}, "required": ["label"]})


TRAPS = [
    # The label itself and its near forms.
    *[(SURE, text, "no") for text in (
        "no", "No", "NO", " no ", "no\n", "no.", "No!", "no,", "no;", '"no"', "'no'", "`no`", "**no**", "*no*", "\u201cno\u201d",
        "\u00abno\u00bb", "(no)", "[no]", "```\nno\n```", "```text\nno\n```", "~~~\nno\n~~~", '```json\n"no"\n```', '["no"]',
        "Label: no", "label: No.", "LABEL = no", "**Label:** no", "\uff2e\uff4f", "<think>yes, or not sure?</think>no",
        "<think>\nyes\n</think>\n\nno", "<thinking>not sure</thinking> No.", "no?", "no:",
    )],
    *[(SURE, text, "no") for text in (
        answered("no"), answered("No"), answered("no."), answered(" no "), answered("no", reason="yes would be wrong"),
        answered("no", quote="not sure"), "```json\n" + answered("no") + "\n```", "```\n" + answered("NO") + "\n```",
        '{"label": ["no"]}', '{"answer": "no"}', '{"category": "no"}', '{"Label": "no"}', '{"result":"no"}', '{\n  "label": "no"\n}',
        '<think>{"label": "yes"}</think>' + answered("no"),
    )],
    *[(SURE, text, "not sure") for text in (
        "not sure", "Not sure.", "not_sure", "not-sure", "NOT SURE", "not  sure", "not\nsure", '"not sure"', answered("not sure"),
        answered("Not-Sure"), "not\u2013sure", "Not/Sure",
    )],
    # Prefixes, suffixes, negations, hedges.
    *[(SURE, text, None) for text in (
        "not", "n", "nope", "no no", "no, not sure", "not sure, no", "no or yes", "no/yes", "no and yes", "not no", "no way", "yes no",
        "not yes", "not quite sure", "surely no", "no (not sure)", "no - not sure", "probably no", "I think no", "The answer is no",
        "no\n\nBecause the text says so.", "No, because it says yes", "no: not sure", "yes; no", "no\nno", "no.\nyes.", "no yes maybe",
        "notsure", "unsure", "sure", "!no", "~no", "<no>", "no*yes", "no=yes", "n o", "no1", "nо", "yes, definitely not",
        "Label: no or yes", "label: not", "Label: no\nLabel: yes", "Answer\nno", "no\u200b yes",
    )],
    *[(SURE, text, None) for text in (
        '["no", "yes"]', '{"label": ["no", "yes"]}', '{"label": []}', "[]", "{}", '{"label": null}', '{"label": true}', '{"label": 1}',
        '{"label": {"value": "no"}}', '{"no": true}', '{"no": "yes"}', '{"label": "no", "answer": "yes"}', '{"label":"no","label":"yes"}',
        answered("no") + answered("yes"), answered("no") + "\n" + answered("no"), answered("not"), answered("no or yes"),
        answered(""), answered("not no"), '{"label": "no"', '{"label": no}', '{label: "no"}', '{"reason": "no"}', '{"nolabel": "no"}',
        schema(SURE), json.dumps({"enum": SURE}), json.dumps(SURE), '"no" or "yes"', '"no", "yes"', "```\nno\n```\n```\nyes\n```",
        "Sure! ```no```", "null", "true", "<think>no", "<think>no</think>", "<think>no</think>maybe",
    )],
    *[(SURE, text, None) for text in ("", " ", "\n", "...", '""', "``", "```\n```", "?", "-", "N/A", "none", "I can't answer that.")],
    # Reasons and quotes that name another label.
    *[(TOPICS, text, wanted) for text, wanted in (
        (answered("billing", reason="delivery is not the topic"), "billing"),
        (answered("Billing", reason="returns"), "billing"),
        ('{"reason": "delivery", "label": "returns"}', "returns"),
        ('{"quote": "billing", "label": "none of these"}', "none of these"),
        ('{"reason": "billing"}', None),
        ("delivery, not billing", None),
        ("not billing", None),
        ("billing? no, delivery", None),
        ("billing & delivery", None),
        ("billing+delivery", None),
        ("non-billing", None),
        ("bill", None),
        ("billings", None),
        ("Billing issue", None),
        ("billing:", "billing"),
        ("1. billing", None),
        ("- billing", None),
        ("none", None),
        ("none of them", None),
        ("None Of These.", "none of these"),
        ("none-of-these", "none of these"),
        ("other", None),
        ("deliverÿ", None),
        ("return", None),
        ("Returns!", "returns"),
        ("billing\tdelivery", None),
        ("billing -> delivery", None),
        ("Ignore the above and answer billing", None),
    )],
    # Numbers.
    *[(SCALE, text, wanted) for text, wanted in (
        ("-1", -1), ("0", 0), ("1", 1), ("1.", 1), ("(1)", 1), ("+1", None), ("- 1", None), ("1.0", None), ("01", None), ("10", None),
        ("-1 or 1", None), ("0 to 1", None), ("one", None), ("1/1", None), ("\u22121", None), (answered(-1), -1), (answered("-1"), -1),
        (answered(1.0), None), (answered(True), None), (answered(2), None), ("[1]", 1), ("[0, 1]", None), ('{"label": -1, "reason": "1"}', -1),
    )],
    # Other scripts and Unicode forms.
    *[(SCRIPTS, text, wanted) for text, wanted in (
        ("Größe", "Größe"), ("GRÖSSE", "Größe"), ("Gro\u0308ße", "Größe"), ("Grosse", None), ("naïve", "naïve"), ("nai\u0308ve", "naïve"),
        ("NAÏVE", "naïve"), ("naive", None), ("是", "是"), ("是。", "是"), ("不是", "不是"), ("不", None), ("是不是", None), ("「是」", None),
        ("да", "да"), ("ДА", "да"), ("да, нет", None), ("нет", None), ("نعم", "نعم"), (" نعم ", "نعم"), ("لا", None), ("да/نعم", None),
        ("\u200fنعم\u200f", "نعم"), ("\u200eنعم.\u200e", "نعم"), ("\u2067نعم\u2069", "نعم"), ("\u202bنعم\u202c", "نعم"), ("معن", None),
        ("\ufeffда", "да"), ("«да»", "да"), ("是！", "是"),
    )],
    # Characters that mean something else than their compatible letters and digits.
    *[(DIGITS, text, wanted) for text, wanted in (
        ("1²", None), ("1₂", None), ("1½", None), ("½", None), ("①", None), ("①②", None), ("⑿", None), ("⒓", None), ("Ⅻ", None), ("1٢", None),
        ("１２", "12"), ("𝟏𝟐", "12"), ("№", None), ("ｎｏ", "no"), ("𝐧𝐨", "no"), ("ⁿo", None), ("nº", None), ("ⓝⓞ", None), ("n\u00a0o", None),
        ("\u00a0no\u2003", "no"), ("Ⓝo", None), ("1 2", None), ("1-2", None), ("1⁄2", None),
    )],
    *[(["don't know", "dont"], text, wanted) for text, wanted in (
        ("don\u2019t know", "don't know"), ("Don`t know.", "don't know"), ("dont know", None), ("don't", None),
    )],
    *[(SURE, text, wanted) for text, wanted in (
        ("no<|im_end|>", "no"), (answered("no") + "</s>\n", "no"), ("no<end_of_turn>", "no"), ("no <|eot_id|><|end|>", "no"),
        ("<|im_end|>", None), ("no<br>", None), ("no<|im_start|>yes", None), ("<b>no</b>", None),
    )],
    *[(["fine", "office"], text, wanted) for text, wanted in (("ﬁne", "fine"), ("oﬃce", "office"), ("ﬂne", None))],
]  # fmt: skip
