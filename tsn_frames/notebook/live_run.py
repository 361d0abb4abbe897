"""A run in the background below a cell: a bar that goes on by itself, with a Stop button, until it is one line of text."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from .ipython_shell import in_notebook, show_output
from .progress_bar import RunView

SECONDS_BETWEEN = 0.3  # two drawings of a bar


class LiveRun(Protocol):
    """A run that can be shown: the event of its end, what it is at now, and stopping it."""

    finished: threading.Event

    def _view(self) -> RunView: ...

    def stop(self) -> None:
        """Send nothing more."""


def show_run(run: LiveRun) -> None:
    """Show a run below the cell; one that goes on is followed by a thread until it is over."""
    if not in_notebook():
        print(repr(run))  # noqa: T201 - the shell asks for it in place of its own line
        return
    view = run._view()
    if view.over:
        show_output(view.html, str(view))
    else:
        from IPython.display import display

        box, bar, button = _widgets(run, view)
        bundle = {**box._repr_mimebundle_(), "text/html": view.html, "text/plain": str(view)}
        handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        threading.Thread(target=_follow, args=(run, bar, button, handle), name="tsn_frames-bar", daemon=True).start()


def _follow(run: LiveRun, bar: Any, button: Any, handle: Any) -> None:
    """Draw a run until it is over; then plain HTML takes the place of the widget, so that a saved notebook can be read."""
    while not run.finished.wait(SECONDS_BETWEEN):
        bar.value = run._view().html
    view = run._view()
    bar.value, button.layout.display = view.html, "none"  # in a page that was loaded again, the display can't be replaced
    show_output(view.html, str(view), handle)


def _widgets(run: LiveRun, view: RunView) -> tuple[Any, Any, Any]:
    import ipywidgets

    bar = ipywidgets.HTML(view.html, layout=ipywidgets.Layout(flex="1 1 16em", margin="0"))
    button = ipywidgets.Button(description="Stop", icon="stop", tooltip="Send nothing more; what is answered is kept",
                               layout=ipywidgets.Layout(width="8em"))  # fmt: skip

    def stop(_: Any) -> None:
        button.disabled, button.description = True, "Stopping"
        run.stop()

    button.on_click(stop)
    box = ipywidgets.HBox([bar, button], layout=ipywidgets.Layout(flex_flow="row wrap", align_items="center"))
    return box, bar, button
