"""Notebooks run from the first cell to the last, short, and with outputs committed."""

import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore:Kernel is running over TCP")
def test_notebook_runs(path):
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert 0 < len(cells) < 12
    assert not any("def " in cell.source for cell in cells), "logic belongs in a module"
    committed = [bool(cell.outputs) for cell in cells]
    assert any(committed), "outputs are committed"
    start = time.perf_counter()
    client = NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}
    )
    client.execute()
    seconds = time.perf_counter() - start
    assert [bool(cell.outputs) for cell in cells] == committed
    print(f"{path.name}: {seconds:.0f} s")


def test_there_is_a_notebook():
    assert [path.stem for path in NOTEBOOKS] == ["compare_two_arms"]
