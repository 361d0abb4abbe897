"""The help of the verbs: what each does, and examples."""

from __future__ import annotations

import re

SUMMARIES = {
    "complete": "Answer every row of a table with a chat completion.",
    "label": "Give every row of a table one of a closed set of labels.",
    "extract": "Extract what each text says into typed columns.",
}
_EXAMPLES = {
    "complete": """
  tsn-frames complete in.csv -p 'Summarise: {text}' --name summary -o out.csv
  tsn-frames complete in.jsonl -p @prompt.txt --max-tokens 200 --max-cost 5 -o out.xlsx
  tsn-frames complete big.parquet -p 'Topic? {text}' -o parts/
  cat in.csv | tsn-frames complete -p 'Translate: {text}' --rows 5 | head""",
    "label": """
  cat in.csv | tsn-frames label --text body --labels billing,delivery,other > out.csv
  tsn-frames label in.xlsx --text '{title} {body}' --labels @codebook.csv -o out.xlsx
  tsn-frames label in.csv --text body --labels yes,no --votes 2,5 --sample 200 -o out.csv""",
    "extract": """
  tsn-frames extract in.csv --text body --schema invoice.json -o out.parquet
  tsn-frames extract in.csv --text body --schema fields.py:Invoice --explain quote -o out.csv""",
}
EPILOG = """The key is read from TSN_API_KEY: there is no option for it, since a shell keeps what is typed. TSN_BASE_URL, TSN_MODEL,
TSN_PRICES, TSN_CACHE_DIR and TSN_LEDGER are read as in Python. Exit codes: 0 done, 1 rows failed, 2 usage, 3 ended early,
130 interrupted; the same command again sends only what has no answer."""


def verb_help(name: str) -> str:
    """Return the help of a verb."""
    return f"{SUMMARIES[name]}\n\n\b\nExamples:{_EXAMPLES[name]}"


def estimate_help(name: str) -> str:
    """Return the help of the estimate of a verb, which has no output."""
    examples = re.sub(r" (-o \S+|> \S+|\| head)", "", _EXAMPLES[name]).replace("tsn-frames ", "tsn-frames estimate ")
    return f"Estimate what `{name}` would send, use and cost; nothing is sent.\n\n\b\nExamples:{examples}"
