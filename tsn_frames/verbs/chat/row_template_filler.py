"""Fill the templates of a chat from its row, and find cells of the row that a template contains as literal text."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping

import pandas as pd

from ...engine.chat.template_protocol import escaped
from ...errors import PromptError
from ...frames import values
from ...frames.missing_policy import Missing, check_missing
from ...frames.prompt import LONGEST, too_long
from ...frames.template import columns_of, parse
from ...text import warnings_to
from .row import label_text

LONG, SHORT = 20, 6  # characters of a cell that is looked for in a prompt: any text; words that only this row has


class Templates:
    """The templates of a chat about one row of a frame; ``context`` is the template of its cells, empty without one."""

    def __init__(self, df: pd.DataFrame, row: pd.DataFrame, context: str, missing: Missing) -> None:
        check_missing(missing, df)
        self._df, self._row, self._missing = df, row, missing
        self.about, self.context = f"row {label_text(row.index[0])}", context
        self._cells = self.fill(context, "context") if context else ""
        self.example = f"{{{_longest(df)}}}"

    def fill(self, template: str, what: str = "question") -> str:
        """Return a template filled from the row. A cell is inserted as it is and never parsed."""
        parts = parse(template, self._row.columns, what=what)
        text = "".join(part if isinstance(part, str) else self._cell(part.label) for part in parts)
        if len(text) > LONGEST:
            raise PromptError(too_long(len(text)).message)
        return text

    def system_template(self, text: str) -> str:
        """Return a template of a literal system prompt; where it holds the row's cells, they become placeholders."""
        before, cells, after = text.partition(self._cells) if self._cells else (text, "", "")
        return escaped(before) + (self.context + escaped(after) if cells else "")

    def columns(self, template: str) -> list[Hashable]:
        """Return the columns that a template names."""
        with warnings_to(lambda _: None):  # given when it was filled
            return columns_of(parse(template, self._row.columns))

    def literal_cells(self, template: str) -> list[str]:
        """Return the columns whose text in this row a template contains literally."""
        with warnings_to(lambda _: None):
            text = "\0".join(part for part in parse(template, self._row.columns) if isinstance(part, str))
        return [name for name, cell in self._distinctive_cells() if cell in text]

    def _distinctive_cells(self) -> Iterator[tuple[str, str]]:
        """Yield the columns and texts of the row that a prompt can't contain by chance, as it can a category."""
        for label in self._df.columns:
            column = self._df[label]
            if isinstance(column, pd.DataFrame) or not isinstance(value := self._row[label].iloc[0], str):
                continue
            cell = value.strip()
            phrase = len(cell) >= SHORT and len(cell.split()) > 1
            if len(cell) >= LONG or (phrase and (column == value).sum() == 1):
                yield str(label), cell

    def _cell(self, label: Hashable) -> str:
        [text] = values.texts(values.column(self._row, label))
        if self._missing == "empty" or not values.is_blank([text])[0]:
            return text
        if isinstance(self._missing, Mapping) and label in self._missing:
            return str(self._missing[label])
        raise PromptError(
            f"values of {self.about} are missing or blank: {label!r}. missing='empty' sends an empty text in their place, "
            f"missing={{{label!r}: '...'}} that text"
        )


def _longest(df: pd.DataFrame) -> str:
    """Return the column with the longest texts, for an example of a placeholder."""
    head = df.head(100)
    once = [label for label in head.columns if list(head.columns).count(label) == 1 and not set("{}") & set(str(label))]
    lengths = {str(label): sum(len(text) for text in head[label] if isinstance(text, str)) for label in once}
    return max(lengths, key=lambda name: lengths[name], default="column")
