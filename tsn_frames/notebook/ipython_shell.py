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


def display_handle(html: str, text: str) -> Any:
    """Show an output below the running cell and return its handle; :func:`update_display` replaces it."""
    from IPython.display import display

    return display(_bundle(html, text), raw=True, display_id=True)  # type: ignore[no-untyped-call]


def update_display(handle: Any, html: str, text: str) -> None:
    """Replace an output that is shown."""
    handle.update(_bundle(html, text), raw=True)


def _bundle(html: str, text: str) -> dict[str, str]:
    return {"text/html": html, "text/plain": text}
