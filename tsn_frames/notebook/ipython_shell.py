"""The IPython shell that runs this code, and whether it is the kernel of a notebook. IPython is never imported here."""

from __future__ import annotations

import sys
from typing import Any


def running_shell() -> Any:
    """Return the IPython shell of this process, or None in a plain Python."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def in_notebook() -> bool:
    """Return whether this code runs in a kernel that shows rich outputs."""
    return any(kind.__name__ == "ZMQInteractiveShell" for kind in type(running_shell()).__mro__)


def show_output(html: str, text: str, handle: Any = None) -> Any:
    """Show an output below the running cell, or in place of the one with this handle; return its handle."""
    bundle = {"text/html": html, "text/plain": text}
    if handle is not None:
        handle.update(bundle, raw=True)
        return handle
    from IPython.display import display

    return display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
