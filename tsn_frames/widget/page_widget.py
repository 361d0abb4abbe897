"""What chat and review share as widgets: the source of their pages, messages while a cell runs, and no copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, NoReturn, SupportsIndex

import anywidget

_HERE = Path(__file__).parent


def page_source(name: str) -> str:
    """Return a page's script or style sheet, after the one that the pages share."""
    path = _HERE / name
    return "\n".join(one.read_text(encoding="utf-8") for one in (_HERE / f"page{path.suffix}", path))


class PageWidget(anywidget.AnyWidget):
    """A widget that can't be copied and whose page is answered while a cell runs."""

    _instead_of_copy: ClassVar[str]

    def __init__(self, **state: Any) -> None:
        """Handle the page's messages on the subshell thread that the page names.

        JupyterLab names a kernel subshell on which no cell runs. ipykernel 7.4 and later use the subshell of the last reply instead:
        that of the running cell, or one that has ended.
        """
        super().__init__(**state)
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = lambda _data, named: named

    def __copy__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} can't be copied or pickled: {self._instead_of_copy}")

    def __deepcopy__(self, memo: dict[int, Any]) -> NoReturn:
        self.__copy__()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        self.__copy__()
