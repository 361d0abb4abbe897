"""Messages of a page while a cell runs."""

from __future__ import annotations

from typing import Any


def use_subshell_of_page(comm: Any) -> None:
    """Handle a page's messages on the subshell thread that the page names.

    JupyterLab names a kernel subshell on which no cell runs, so a page is answered while a cell runs. ipykernel 7.4 and later use the
    subshell of the last reply instead: that of the running cell, or one that has ended.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _data, named: named
