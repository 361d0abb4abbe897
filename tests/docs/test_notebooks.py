"""The notebooks run from top to bottom, and what is stored in them gives nothing away."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
# Keys, paths of a machine, and the state that widgets leave behind.
TELLTALE = re.compile(
    r"tsn_(?:live|test)_\w|\bsk-\w{8}|(?i:bearer )\w|/(?:home|root|Users|tmp|work|var)/\w|[A-Z]:\\\\|application/vnd\.jupyter\.widget"
)
WIDGET = "application/vnd.jupyter.widget-view+json"


# Each starts a kernel: those after the first one are for the slow tests.
TO_RUN = [pytest.param(path, id=path.name, marks=[pytest.mark.slow] if at else []) for at, path in enumerate(NOTEBOOKS)]


@pytest.fixture(scope="module", params=TO_RUN)
def notebook(request):
    nbformat = pytest.importorskip("nbformat")
    return nbformat.read(request.param, as_version=4)


def test_there_is_a_notebook():
    assert NOTEBOOKS


def without_widgets(cell):
    """The outputs that can be read without a kernel; a widget has another one beside it that says the same."""
    return [output for output in cell.get("outputs", ()) if WIDGET not in output.get("data", ())]


def shown_outputs(notebook):
    """What a reader sees, without what differs from run to run: ports, seconds, and cells that say so by their tag."""
    same = [cell for cell in notebook.cells if "varies" not in cell.metadata.get("tags", ())]
    texts = [output["data"]["text/plain"] for cell in same for output in without_widgets(cell) if "data" in output]
    return [re.sub(r"127\.0\.0\.1:\d+|\d+\.\d s\b", "...", text) for text in texts]


@pytest.mark.timeout(600)
def test_it_runs_and_shows_what_is_stored(notebook, tmp_path, monkeypatch):
    stored = shown_outputs(notebook)
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    executed = nbclient.NotebookClient(
        notebook, timeout=300, startup_timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    executed.execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type != "error"
    assert shown_outputs(notebook) == stored


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_what_is_stored_is_clean(path):
    text = path.read_text(encoding="utf-8")
    data = json.loads(text)
    assert not TELLTALE.search(text), TELLTALE.search(text)
    assert "widgets" not in data["metadata"]
    assert data["metadata"]["kernelspec"]["name"] == "python3"
    for cell in data["cells"]:
        assert "execution" not in cell["metadata"], "times of execution change with every run"
        assert not [output for output in cell.get("outputs", ()) if output.get("name") == "stderr"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_was_stored_after_running_from_top_to_bottom(path):
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert any(cell["outputs"] for cell in cells)


def test_a_whole_study_takes_at_most_twelve_calls():
    path = next(path for path in NOTEBOOKS if path.name == "05_study.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    calls = [
        node.func for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    ours = [ast.unparse(call) for call in calls if re.search(r"\btsn\.\w+$|\breview\.to_frame$", ast.unparse(call))]
    verbs = ["gold_sample", "review", "to_frame", "label", "evaluate", "shares", "corrected", "archive", "load_archive"]
    assert {call.rpartition(".")[2] for call in ours} >= set(verbs) and len(ours) <= 12, ours


def rewrite(path):
    """Run a notebook and store its outputs, and nothing else."""
    import nbclient
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3", record_timing=False).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = without_widgets(cell)
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    nbformat.write(notebook, path)


if __name__ == "__main__":  # python tests/docs/test_notebooks.py: after a change of what a notebook shows
    for notebook_path in NOTEBOOKS:
        rewrite(notebook_path)
